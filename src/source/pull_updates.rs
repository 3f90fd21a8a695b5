//! `POST /pull-updates`: the pages of a Turso database at one revision, all of them, some, or what changed since.
//!
//! Protobuf: a request message, and for an answer messages with their length before each (varint): first a header,
//! then one message per page. There is no end mark; complete is an answer that has every page that was asked for.

use std::ops::Range;

use prost::Message;
use reqwest::{
    Method,
    header::{ACCEPT_ENCODING, HeaderMap, HeaderValue},
};
use roaring::RoaringBitmap;

use super::{
    body_channel::{BodyReceiver, BodySender},
    http::{Call, ProbeResponse, Server},
};
use crate::error::{Error, Kind, Result};

const PATH: &str = "pull-updates";

/// The largest message that is accepted: a page and a little, or a header.
const MESSAGE_BYTES_MAX: usize = 1 << 16;

/// Characters of a revision that are accepted; it goes into files.
const REVISION_LENGTH_MAX: usize = 200;

/// The page stream, in `stream_kind`; 1 is the logical log of an MVCC database.
const PAGES: i32 = 0;

/// "Throw away what you have", in `apply_mode`.
const REPLACE_BASE: i32 = 1;

/// An MVCC database, in `protocol`.
const MVCC_LOGICAL: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "2")]
    server_revision: String,
    #[prost(string, tag = "3")]
    client_revision: String,
    #[prost(bytes = "vec", tag = "5")]
    server_pages_selector: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    server_revision: String,
    #[prost(uint64, tag = "2")]
    db_size: u64,
    #[prost(bytes = "vec", optional, tag = "4")]
    zstd_encoding: Option<Vec<u8>>,
    #[prost(int32, tag = "5")]
    stream_kind: i32,
    #[prost(int32, tag = "6")]
    apply_mode: i32,
    #[prost(int32, tag = "8")]
    protocol: i32,
}

#[derive(Clone, PartialEq, Message)]
struct PageMessage {
    #[prost(uint64, tag = "1")]
    page_id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    encoded_page: bytes::Bytes,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageSelection {
    /// Everything, at the newest revision.
    All,
    /// These pages, counted from 0, at this revision.
    Some(String, Vec<Range<u64>>),
    /// What changed since this revision.
    Since(String),
    /// What changed between two revisions.
    Between(String, String),
}

/// What a server answers.
pub enum Updates {
    /// Pages come.
    Coming(BodySender, UpdatesReader),
    /// It has no such path, or not for this database, and why.
    NotOffered(String),
}

/// The first message of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The revision that the pages are of.
    pub revision: String,
    /// Size of the database in pages at this revision.
    pub pages: u64,
    /// Whether the pages are all of them although only changes were asked for.
    pub replaces: bool,
}

/// The reading side of an answer.
pub struct UpdatesReader {
    pieces: BodyReceiver,
    buffer: bytes::BytesMut,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Counted from 0.
    pub index: u64,
    /// Its bytes.
    pub bytes: bytes::Bytes,
}

/// How reading an answer went wrong.
#[derive(Debug)]
pub enum UpdatesFault {
    /// It ended inside a message, or before the first.
    Cut,
    /// The server has this database in another form, and which.
    OtherForm(&'static str),
    /// It isn't what this protocol defines.
    Refused(Error),
}

impl Server {
    /// Asks for pages.
    ///
    /// # Errors
    /// `SourceUnreachable`, `SourceDenied`, `SourceRefused`, `Interrupted`.
    pub async fn pull_updates(&self, wanted: &PageSelection) -> Result<Updates> {
        let mut request = Request::default();
        match wanted {
            PageSelection::All => {}
            PageSelection::Some(revision, pages) => {
                request.server_revision.clone_from(revision);
                request.server_pages_selector = selector(pages)?;
            }
            PageSelection::Since(revision) => request.client_revision.clone_from(revision),
            PageSelection::Between(from, to) => {
                request.client_revision.clone_from(from);
                request.server_revision.clone_from(to);
            }
        }
        let mut headers = HeaderMap::new();
        // As the clients of this protocol send it.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("application/protobuf"));
        let body = request.encode_to_vec().into();
        let content_type = "application/protobuf";
        let call = Call { method: Method::POST, path: PATH, content_type, headers, body };
        Ok(match self.probe(&call).await? {
            ProbeResponse::Absent(response) => {
                let status = response.status().as_u16();
                Updates::NotOffered(format!("it has no /{PATH} (status {status})"))
            }
            ProbeResponse::Answered(response) => {
                let (pump, pieces) = self.pump(response);
                Updates::Coming(pump, UpdatesReader { pieces, buffer: bytes::BytesMut::new() })
            }
        })
    }
}

impl UpdatesReader {
    /// The answer's first message. Blocks: call it on a thread of its own.
    ///
    /// # Errors
    /// [`UpdatesFault`].
    pub fn opening(&mut self) -> std::result::Result<Opening, UpdatesFault> {
        let refused = |what: &str| UpdatesFault::Refused(Error::new(Kind::SourceRefused, what));
        let message = self.next_message()?.ok_or(UpdatesFault::Cut)?;
        let header = Header::decode(message).map_err(|_| refused("the server's first message can't be read"))?;
        if header.stream_kind != PAGES || header.protocol == MVCC_LOGICAL {
            return Err(UpdatesFault::OtherForm("it is an MVCC database, whose pages are not the whole of it"));
        }
        if header.zstd_encoding.is_some() {
            return Err(refused("the server compresses pages, which was not asked for"));
        }
        if header.db_size == 0 {
            return Err(UpdatesFault::OtherForm("it has no pages to send"));
        }
        let revision = header.server_revision;
        let plain =
            (1..=REVISION_LENGTH_MAX).contains(&revision.len()) && revision.bytes().all(|b| b.is_ascii_graphic());
        if !plain {
            return Err(refused("the server's revision isn't one"));
        }
        Ok(Opening { revision, pages: header.db_size, replaces: header.apply_mode == REPLACE_BASE })
    }

    /// The next page; none at the end of the answer. Blocks.
    ///
    /// # Errors
    /// [`UpdatesFault`].
    pub fn next_page(&mut self) -> std::result::Result<Option<Page>, UpdatesFault> {
        let Some(message) = self.next_message()? else { return Ok(None) };
        let refused = || UpdatesFault::Refused(Error::new(Kind::SourceRefused, "a message of the server isn't a page"));
        let page = PageMessage::decode(message).map_err(|_| refused())?;
        Ok(Some(Page { index: page.page_id, bytes: page.encoded_page }))
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.pieces.received_bytes()
    }

    fn next_message(&mut self) -> std::result::Result<Option<bytes::Bytes>, UpdatesFault> {
        loop {
            match take_message(&mut self.buffer) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(TooLarge) => {
                    let text = "a message of the server is larger than a page";
                    return Err(UpdatesFault::Refused(Error::new(Kind::SourceRefused, text)));
                }
            }
            match self.pieces.next_piece() {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(UpdatesFault::Cut),
            }
        }
    }
}

struct TooLarge;

/// Takes a whole message with its length off the front of the buffer, if it is there.
fn take_message(buffer: &mut bytes::BytesMut) -> std::result::Result<Option<bytes::Bytes>, TooLarge> {
    let mut length = 0_usize;
    for (place, byte) in buffer.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 != 0 {
            continue;
        }
        if length > MESSAGE_BYTES_MAX {
            return Err(TooLarge);
        }
        if buffer.len() < place + 1 + length {
            return Ok(None);
        }
        let mut message = buffer.split_to(place + 1 + length);
        return Ok(Some(message.split_off(place + 1).freeze()));
    }
    if buffer.len() < 5 { Ok(None) } else { Err(TooLarge) }
}

/// The pages as a Roaring bitmap in its portable form.
fn selector(pages: &[Range<u64>]) -> Result<Vec<u8>> {
    let beyond = || Error::new(Kind::SourceRefused, "the database has more pages than can be asked for one by one");
    let mut bitmap = RoaringBitmap::new();
    for range in pages {
        let number = |page: u64| u32::try_from(page).map_err(|_| beyond());
        bitmap.insert_range(number(range.start)?..number(range.end)?);
    }
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes).map_err(|_| Error::new(Kind::Bug, "a page selection can't be written"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let page = PageMessage { page_id: 300, encoded_page: vec![7; 4096].into() };
        let mut body = page.encode_length_delimited_to_vec();
        body.extend_from_slice(&Header { db_size: 9, ..Header::default() }.encode_length_delimited_to_vec());
        for cut in 0..body.len() {
            let mut buffer = bytes::BytesMut::new();
            let mut found = Vec::new();
            for piece in [&body[..cut], &body[cut..]] {
                buffer.extend_from_slice(piece);
                while let Ok(Some(message)) = take_message(&mut buffer) {
                    found.push(message);
                }
            }
            assert!(buffer.is_empty() && found.len() == 2);
            assert_eq!(PageMessage::decode(found[0].clone()).unwrap(), page);
        }
    }

    #[test]
    fn a_giant_message_is_refused() {
        for bytes in [&[0xff_u8, 0xff, 0x7f, 0, 0][..], &[0xff; 5]] {
            assert!(take_message(&mut bytes::BytesMut::from(bytes)).is_err());
        }
    }

    #[test]
    fn a_selection_reads_back() {
        let bytes = selector(&[0..3, 70_000..70_002]).unwrap();
        let pages: Vec<u32> = RoaringBitmap::deserialize_from(&bytes[..]).unwrap().iter().collect();
        assert_eq!(pages, [0, 1, 2, 70_000, 70_001]);
        assert!(selector(&[0..1, 1..(1 << 33)]).is_err());
    }
}
