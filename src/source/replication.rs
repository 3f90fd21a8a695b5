//! The replication log of a self-hosted libSQL server: who keeps it, how far it is, and its frames as they come.
//!
//! gRPC-web over the server's normal port. A frame is a whole page; the running CRC-64 in its header chains it to the
//! frame before, so that a damaged page and another log are both noticed. Nothing here touches a file.

use crc::{CRC_64_GO_ISO, Crc, Table};
use prost::Message;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{
    body_channel::{BodyReceiver, BodySender},
    grpc_web::{self, BodyPart, Decoder, Frame, FrameMessage, GrpcStatus, HelloRequest, HelloResponse, LogOffset},
    hrana,
    http::{Call, Server},
    page_assembler::PAGE_BYTES,
};
use crate::error::{Error, Kind, Result};

/// Bytes of the answer to `Hello` that are read at most.
const HELLO_BYTES_MAX: usize = 1 << 16;

/// gRPC's status codes, where they mean something here.
const FAILED_PRECONDITION: u32 = 9;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;
const PERMISSION_DENIED: u32 = 7;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_GO_ISO);

/// The checksum of a frame whose page this is, after a frame with this checksum.
#[must_use]
pub fn checksum_after(previous: u64, page: &[u8]) -> u64 {
    let mut digest = CRC.digest_with_initial(previous);
    digest.update(page);
    digest.finalize()
}

/// What a server says of its log.
#[derive(Debug, Clone)]
pub struct Log {
    /// The log's identity: another one means another log, whatever the numbers say.
    pub id: String,
    /// The last committed frame, counted from 0; none in an empty database.
    pub last: Option<u64>,
    /// Bytes of the answer.
    pub received_bytes: u64,
    session: HeaderValue,
}

/// Whether a server offers its log.
#[derive(Debug)]
pub enum Greeting {
    /// It does.
    Log(Log),
    /// It doesn't, and why.
    NotOffered(String),
}

/// Which frames are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The log itself, one frame after the other, without an end.
    Log,
    /// What a part of the log that is no longer kept comes down to: the newest state of each page, newest first.
    Snapshot,
}

/// What a server answers to a request for frames.
pub enum FramesResponse {
    /// They come.
    Coming(BodySender, FrameReader),
    /// It refuses, in gRPC's words.
    Refused(GrpcStatus),
}

/// The reading side, for a thread of its own.
pub struct FrameReader {
    pieces: BodyReceiver,
    decoder: Decoder,
}

/// What a stream of frames holds.
#[derive(Debug)]
pub enum FrameItem {
    /// A frame.
    Frame(Frame),
    /// The end, in gRPC's words.
    End(GrpcStatus),
}

/// Why an answer can't be read on: the server spoils it, or something on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedFrames(pub &'static str);

impl Server {
    /// Asks for the log. Small.
    ///
    /// # Errors
    /// `SourceUnreachable`, `SourceDenied`, `SourceRefused`, `SourceTruncated`, `Interrupted`.
    pub async fn hello(&self) -> Result<Greeting> {
        let request = HelloRequest { handshake_version: Some(1) };
        let call = self.grpc("wal_log.ReplicationLog/Hello", grpc_web::encode(&request), None)?;
        let whole = self.probe_whole(&call, HELLO_BYTES_MAX).await?;
        if !whole.is_there {
            return Ok(Greeting::NotOffered(format!("it has no replication log (status {})", whole.status)));
        }
        let received_bytes = whole.body.len() as u64;
        let mut status = header_status(&whole.headers);
        let (mut decoder, mut message) = (Decoder::default(), None);
        decoder.push(&whole.body);
        while let Some(part) = decoder.next_part().map_err(|_| self.refused("its greeting isn't gRPC-web"))? {
            match part {
                BodyPart::Message(bytes) => message = Some(bytes),
                BodyPart::Trailers(trailers) => status = Some(trailers),
            }
        }
        match status {
            Some(status) if status.code == 0 => {}
            Some(status) => return self.not_offered(&status),
            None => return Ok(Greeting::NotOffered("it doesn't speak gRPC-web".to_owned())),
        }
        let hello = message.and_then(|message| HelloResponse::decode(message).ok());
        let hello = hello.ok_or_else(|| self.refused("its greeting can't be read"))?;
        let session = HeaderValue::from_bytes(&hello.session_token);
        let session = session.map_err(|_| self.refused("its greeting has no session"))?;
        // The identity goes into files and messages: take a UUID and nothing else.
        if hello.log_id.len() != 36 || !hello.log_id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(self.refused("its log has no identity"));
        }
        Ok(Greeting::Log(Log { id: hello.log_id, last: hello.current_replication_index, received_bytes, session }))
    }

    /// Asks for the frames from this number on.
    ///
    /// # Errors
    /// As [`Self::hello`].
    pub async fn frames(&self, log: &Log, flow: FrameKind, from: u64) -> Result<FramesResponse> {
        let path = match flow {
            FrameKind::Log => "wal_log.ReplicationLog/LogEntries",
            FrameKind::Snapshot => "wal_log.ReplicationLog/Snapshot",
        };
        let call = self.grpc(path, grpc_web::encode(&LogOffset { next_offset: from }), Some(&log.session))?;
        let response = self.send(&call).await?;
        if let Some(status) = header_status(response.headers()).filter(|status| status.code != 0) {
            return Ok(FramesResponse::Refused(status));
        }
        let (pump, pieces) = self.pump(response);
        Ok(FramesResponse::Coming(pump, FrameReader { pieces, decoder: Decoder::default() }))
    }

    fn grpc<'a>(&self, path: &'a str, body: Vec<u8>, session: Option<&HeaderValue>) -> Result<Call<'a>> {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
        put("x-grpc-web", HeaderValue::from_static("1"));
        if let Some(value) = self.authorization() {
            put("x-authorization", value.clone());
        }
        if let Some(session) = session {
            put("x-session-token", session.clone());
        }
        if self.namespace().is_none() {
            let name = self.endpoint().first_label().unwrap_or_else(|| "default".to_owned());
            let value = HeaderValue::from_str(&hrana::base64_bare(name.as_bytes()));
            put("x-namespace-bin", value.map_err(|_| Error::new(Kind::Usage, "the namespace can't be sent"))?);
        }
        let content_type = "application/grpc-web+proto";
        Ok(Call { method: Method::POST, path, content_type, headers, body: body.into() })
    }

    fn not_offered(&self, status: &GrpcStatus) -> Result<Greeting> {
        let reason = match (status.code, status.message.as_str()) {
            (UNIMPLEMENTED, _) => "it doesn't lend its replication log",
            (FAILED_PRECONDITION, "cannot replicate a shared schema db") => "it is a schema database, which has no log",
            _ => return Err(self.grpc_failed(status)),
        };
        Ok(Greeting::NotOffered(reason.to_owned()))
    }

    /// The error for a refusal in gRPC's words.
    #[must_use]
    pub fn grpc_failed(&self, status: &GrpcStatus) -> Error {
        let address = self.endpoint();
        match (status.code, status.message.as_str()) {
            (UNAUTHENTICATED | PERMISSION_DENIED, _) => self.denied(&format!("gRPC status {}", status.code)),
            // libSQL's word for a request without the authorization that it wants.
            (INTERNAL, _) if self.authorization().is_none() => self.denied("gRPC status 13"),
            (FAILED_PRECONDITION, "NAMESPACE_DOESNT_EXIST") => {
                Error::new(Kind::SourceRefused, format!("{address} has no such namespace"))
                    .with_hint("check the host name, the --namespace, and that the token is for this database")
            }
            (UNAVAILABLE, _) => Error::new(Kind::SourceUnreachable, format!("{address} is busy (gRPC status 14)")),
            (code, _) => self.refused(&format!("it refuses its replication log (gRPC status {code})")),
        }
    }
}

/// Whether a refusal means that the frames asked for are only there as a snapshot.
#[must_use]
pub fn needs_snapshot(status: &GrpcStatus) -> bool {
    status.code == FAILED_PRECONDITION && status.message == "NEED_SNAPSHOT"
}

/// Whether a refusal may pass by itself or by a new greeting.
#[must_use]
pub fn is_passing(status: &GrpcStatus) -> bool {
    // A server that shuts down, or whose log is being rewritten, ends its streams with an internal error.
    matches!((status.code, status.message.as_str()), (FAILED_PRECONDITION, "NO_HELLO") | (UNAVAILABLE | INTERNAL, _))
}

fn header_status(headers: &HeaderMap) -> Option<GrpcStatus> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?;
    Some(GrpcStatus::parse(&format!("grpc-status: {code}\ngrpc-message: {}", text("grpc-message").unwrap_or_default())))
}

impl FrameReader {
    /// The next item; none if the answer broke off. Blocks: call it on a thread of its own.
    ///
    /// # Errors
    /// Why it can't be read on, for what isn't a frame.
    pub fn next_item(&mut self) -> std::result::Result<Option<FrameItem>, MalformedFrames> {
        let wrong = MalformedFrames;
        loop {
            match self.decoder.next_part().map_err(|_| wrong("the answer stopped being gRPC-web"))? {
                Some(BodyPart::Trailers(status)) => return Ok(Some(FrameItem::End(status))),
                Some(BodyPart::Message(bytes)) => {
                    let message = FrameMessage::decode(bytes)
                        .map_err(|_| wrong("the server sent a message that isn't a frame"))?;
                    let frame = Frame::parse(message.data, PAGE_BYTES)
                        .ok_or_else(|| wrong("the server sent a frame without a page"))?;
                    return Ok(Some(FrameItem::Frame(frame)));
                }
                None => match self.pieces.next_piece() {
                    Some(piece) => self.decoder.push(&piece),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.pieces.received_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_depends_on_the_page_and_on_what_came_before() {
        // The check value of CRC-64/GO-ISO, for the checksum that the algorithm itself begins with.
        assert_eq!(checksum_after(u64::MAX, b"123456789"), 0xb909_56c7_75a4_1001);
        let first = checksum_after(0, &[0; PAGE_BYTES]);
        assert_ne!(first, checksum_after(first, &[0; PAGE_BYTES]));
        assert_ne!(first, checksum_after(0, &[1; PAGE_BYTES]));
    }

    #[test]
    fn a_refusal_is_understood() {
        let status = |code, message: &str| GrpcStatus { code, message: message.to_owned() };
        assert!(needs_snapshot(&status(9, "NEED_SNAPSHOT")));
        assert!(!needs_snapshot(&status(9, "NO_HELLO")));
        assert!(is_passing(&status(9, "NO_HELLO")) && is_passing(&status(14, "")));
        assert!(!is_passing(&status(16, "")));
    }
}
