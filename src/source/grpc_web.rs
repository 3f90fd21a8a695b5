//! gRPC-web framing and the messages of libSQL's replication log (`wal_log.ReplicationLog`).
//!
//! A body is a sequence of `flag (1 byte) | length (4 bytes, big-endian) | payload`; flag 0x80 marks the trailers as
//! text, anything else a protobuf message. A stream without its trailers, or that stops inside a part, was cut.

use prost::Message;

/// The largest single part that is accepted. A frame, which is the largest thing asked for, has 4 KiB and a little.
const PART_BYTES_MAX: usize = 1 << 16;

const TRAILERS: u8 = 0x80;
const HEADER_BYTES: usize = 5;

/// The request of `Hello`.
#[derive(Clone, PartialEq, Message)]
pub struct HelloRequest {
    /// Version of the handshake; 1 today.
    #[prost(uint64, optional, tag = "1")]
    pub handshake_version: Option<u64>,
}

/// The answer to `Hello`, so far as it matters here.
#[derive(Clone, PartialEq, Message)]
pub struct HelloResponse {
    /// The log's identity: another one means that the server's log was reset.
    #[prost(string, tag = "3")]
    pub log_id: String,
    /// To be sent back with every further request.
    #[prost(bytes = "vec", tag = "4")]
    pub session_token: Vec<u8>,
    /// The last frame of the log at this moment; absent for an empty database.
    #[prost(uint64, optional, tag = "5")]
    pub current_replication_index: Option<u64>,
}

/// The request of `LogEntries` and `Snapshot`: the first frame wanted.
#[derive(Clone, PartialEq, Message)]
pub struct LogOffset {
    /// Frame number.
    #[prost(uint64, tag = "1")]
    pub next_offset: u64,
}

/// One frame as sent.
#[derive(Clone, PartialEq, Message)]
pub struct FrameMessage {
    /// Header and page, see [`Frame`].
    #[prost(bytes = "bytes", tag = "1")]
    pub data: bytes::Bytes,
}

/// One page of the database as one write left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Position in the log.
    pub number: u64,
    /// Running CRC-64 over this page and those before it.
    pub checksum: u64,
    /// The page, counted from 1.
    pub page_number: u32,
    /// Database size in pages after the transaction that ends with this frame; 0 inside a transaction.
    pub size_after: u32,
    /// The page's bytes.
    pub page: bytes::Bytes,
}

impl Frame {
    /// Reads `number u64 | checksum u64 | page number u32 | size after u32 | page`, little-endian.
    #[must_use]
    pub fn parse(mut data: bytes::Bytes, page_bytes: usize) -> Option<Self> {
        if data.len() != 24 + page_bytes {
            return None;
        }
        let page = data.split_off(24);
        let header: &[u8; 24] = data.as_ref().try_into().ok()?;
        let (number, rest) = header.split_first_chunk::<8>()?;
        let (checksum, rest) = rest.split_first_chunk::<8>()?;
        let (page_number, rest) = rest.split_first_chunk::<4>()?;
        let (size_after, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            number: u64::from_le_bytes(*number),
            checksum: u64::from_le_bytes(*checksum),
            page_number: u32::from_le_bytes(*page_number),
            size_after: u32::from_le_bytes(*size_after),
            page,
        })
    }
}

/// One part of a gRPC-web body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPart {
    /// A protobuf message.
    Message(bytes::Bytes),
    /// `grpc-status` and `grpc-message`: the end of the stream.
    Trailers(GrpcStatus),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcStatus {
    /// 0 is success.
    pub code: u32,
    /// The server's word, such as `NEED_SNAPSHOT`.
    pub message: String,
}

impl GrpcStatus {
    /// Reads `name: value` lines.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "grpc-status" => status.code = value.trim().parse().unwrap_or(2),
                "grpc-message" => status.message = plain_word(value.trim()),
                _ => {}
            }
        }
        status
    }
}

/// The message if it is made of plain words: a server's own text is never kept, it may quote anything.
fn plain_word(text: &str) -> String {
    let plain = |text: &&str| {
        text.len() <= 160 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ %:.".contains(&byte))
    };
    Some(text).filter(plain).unwrap_or_default().replace("%20", " ")
}

/// Why a body can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Wraps a message for a request body.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    let payload = message.encode_to_vec();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&payload);
    body
}

/// Cuts a body that arrives in pieces into its parts.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: bytes::BytesMut,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole part, if it is there.
    ///
    /// # Errors
    /// If a part claims more than this tool accepts.
    pub fn next_part(&mut self) -> Result<Option<BodyPart>, Malformed> {
        let Some(([flag, length @ ..], _)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let flag = *flag;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed)?;
        if length > PART_BYTES_MAX {
            return Err(Malformed);
        }
        if self.buffer.len() < HEADER_BYTES + length {
            self.buffer.reserve(HEADER_BYTES + length - self.buffer.len());
            return Ok(None);
        }
        let mut part = self.buffer.split_to(HEADER_BYTES + length);
        let payload = part.split_off(HEADER_BYTES).freeze();
        if flag & TRAILERS == 0 {
            return Ok(Some(BodyPart::Message(payload)));
        }
        Ok(Some(BodyPart::Trailers(GrpcStatus::parse(&String::from_utf8_lossy(&payload)))))
    }

    /// Whether the body stopped inside a part.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Vec<u8> {
        let mut body = encode(&LogOffset { next_offset: 300 });
        body.extend_from_slice(&[TRAILERS, 0, 0, 0, 44]);
        body.extend_from_slice(b"grpc-status: 9\r\ngrpc-message: NEED_SNAPSHOT\r\n");
        let trailers = body.len() - 5 - encode(&LogOffset { next_offset: 300 }).len();
        body[encode(&LogOffset { next_offset: 300 }).len() + 4] = u8::try_from(trailers).unwrap();
        body
    }

    #[test]
    fn parts_come_out_whole_however_the_body_is_cut() {
        let body = body();
        for cut in 0..body.len() {
            let mut decoder = Decoder::default();
            let mut parts = Vec::new();
            for piece in [&body[..cut], &body[cut..]] {
                decoder.push(piece);
                while let Some(part) = decoder.next_part().unwrap() {
                    parts.push(part);
                }
            }
            assert!(!decoder.has_rest());
            let [BodyPart::Message(message), BodyPart::Trailers(status)] = &parts[..] else { panic!("{parts:?}") };
            assert_eq!(LogOffset::decode(message.clone()).unwrap().next_offset, 300);
            assert_eq!((status.code, status.message.as_str()), (9, "NEED_SNAPSHOT"));
        }
    }

    #[test]
    fn a_cut_part_is_noticed_and_a_giant_one_refused() {
        let body = body();
        let mut decoder = Decoder::default();
        decoder.push(&body[..body.len() - 1]);
        while decoder.next_part().unwrap().is_some() {}
        assert!(decoder.has_rest());
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next_part(), Err(Malformed));
    }

    #[test]
    fn a_frame_of_another_length_is_no_frame() {
        let mut data = vec![0_u8; 24 + 4096];
        data[0] = 7;
        data[16] = 3;
        data[20] = 9;
        let frame = Frame::parse(data.clone().into(), 4096).unwrap();
        assert_eq!((frame.number, frame.page_number, frame.size_after, frame.page.len()), (7, 3, 9, 4096));
        data.pop();
        assert_eq!(Frame::parse(data.into(), 4096), None);
    }
}
