//! `/info`, `/export/{generation}` and `/sync/{generation}/{from}/{to}`: a Turso database as the file of a generation
//! and the write-ahead-log frames since.
//!
//! The end of the frames is an answer of status 400 whose JSON says up to which frame there are any; nothing else is
//! taken for the end.

use reqwest::{Method, header::HeaderMap};
use serde::Deserialize;

use super::{
    body_channel::{BodyReceiver, BodySender},
    http::{Call, Server},
    page_assembler::PAGE_BYTES,
};
use crate::error::{Error, Kind, Result};

/// Frames that one request asks for.
const FRAMES_PER_REQUEST: u64 = 128;

/// A frame as SQLite writes it to a log: 24 bytes of header and the page.
const FRAME_BYTES: usize = 24 + PAGE_BYTES;

/// Bytes of a small JSON answer that are read at most.
const SMALL_BYTES_MAX: usize = 1 << 16;

/// Whether a server offers its generations.
pub enum Generations {
    /// It does, and this is the present one.
    Present(u64),
    /// It doesn't, and why.
    NotOffered(String),
}

/// A frame of a generation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    /// The page, counted from 0.
    pub index: u64,
    /// Size of the database in pages if the frame ends a transaction; else 0.
    pub size_after: u64,
    /// The page's bytes.
    pub page: bytes::Bytes,
}

/// What a request for frames gives.
pub enum FrameBatch {
    /// So many, in order.
    Frames(Vec<LogFrame>, u64),
    /// There are no more.
    End(GenerationEnd),
}

/// The end of a generation's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct GenerationEnd {
    /// The server's present generation.
    pub generation: u64,
    /// The last frame of the generation that was asked for.
    pub max_frame_no: u64,
}

#[derive(Deserialize)]
struct Info {
    current_generation: u64,
}

impl Server {
    /// Asks for the present generation. Small.
    ///
    /// # Errors
    /// `SourceUnreachable`, `SourceDenied`, `SourceRefused`, `Interrupted`.
    pub async fn generation(&self) -> Result<Generations> {
        let whole = self.probe_whole(&get("info"), SMALL_BYTES_MAX).await?;
        if !whole.is_there {
            return Ok(Generations::NotOffered(format!("it has no /info (status {})", whole.status)));
        }
        Ok(match serde_json::from_slice::<Info>(&whole.body) {
            Ok(info) => Generations::Present(info.current_generation),
            Err(_) => Generations::NotOffered("its /info names no generation".to_owned()),
        })
    }

    /// Asks for the file of a generation.
    ///
    /// # Errors
    /// As [`Self::generation`].
    pub async fn export(&self, generation: u64) -> Result<(BodySender, BodyReceiver)> {
        let response = self.send(&get(&format!("export/{generation}"))).await?;
        Ok(self.pump(response))
    }

    /// Asks for the frames of a generation from this one on, counted from 1.
    ///
    /// # Errors
    /// As [`Self::generation`]; `SourceTruncated` for an answer that isn't whole.
    pub async fn log_frames(&self, generation: u64, from: u64) -> Result<FrameBatch> {
        let path = format!("sync/{generation}/{from}/{}", from + FRAMES_PER_REQUEST);
        let limit = usize::try_from(FRAMES_PER_REQUEST).unwrap_or(usize::MAX).saturating_mul(FRAME_BYTES);
        let whole = self.probe_whole(&get(&path), limit).await?;
        if !whole.is_there && whole.status == 400 {
            let end = serde_json::from_slice(&whole.body);
            return end.map(FrameBatch::End).map_err(|_| self.refused("its /sync refuses without a reason"));
        }
        if !whole.is_there {
            return Err(self.refused(&format!("its /sync answered with status {}", whole.status)));
        }
        let body = whole.body;
        let received = body.len() as u64;
        if body.is_empty() || !body.len().is_multiple_of(FRAME_BYTES) {
            return Err(Error::new(Kind::SourceTruncated, "the server's frames are not whole"));
        }
        let body = bytes::Bytes::from(body);
        let frames = (0..body.len() / FRAME_BYTES).map(|place| parse(&body.slice(place * FRAME_BYTES..)));
        let frames: Option<Vec<LogFrame>> = frames.collect();
        frames
            .map(|frames| FrameBatch::Frames(frames, received))
            .ok_or_else(|| Error::new(Kind::SourceRefused, "the server's log names a page without a place"))
    }
}

fn get(path: &str) -> Call<'_> {
    let content_type = "application/json";
    Call { method: Method::GET, path, content_type, headers: HeaderMap::new(), body: bytes::Bytes::new() }
}

/// Reads `page number u32 | size after u32 | 16 bytes of salts and checksums | page`, big-endian.
fn parse(bytes: &bytes::Bytes) -> Option<LogFrame> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (size_after, _) = rest.split_first_chunk::<4>()?;
    let index = u64::from(u32::from_be_bytes(*number)).checked_sub(1)?;
    let size_after = u64::from(u32::from_be_bytes(*size_after));
    Some(LogFrame { index, size_after, page: bytes.slice(24..FRAME_BYTES) })
}
