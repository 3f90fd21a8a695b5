//! A cursor's answer on its way from the network (async) to the thread that reads it, with bounded memory.
//!
//! Lines are never cut: a [`LineBatch`] holds whole lines. All batches on the way together hold at most
//! `ON_THE_WAY_KIB`; a line longer than that is assembled alone, when everything before it has been consumed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::http::{self, ProbeResponse, Server};
use crate::{
    context::Cancellation,
    error::{Error, Kind, Result},
};

/// Bytes of a batch below which more lines are waited for.
const BATCH_BYTES: usize = 128 * 1024;

/// What may be on the way, in KiB.
const ON_THE_WAY_KIB: u32 = 4 * 1024;

/// Whole lines, and the right to have them in memory.
pub struct LineBatch {
    bytes: Vec<u8>,
    permit: OwnedSemaphorePermit,
}

/// How a cursor's answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorEnd {
    /// The server ended its answer in order. Whether it is complete is for the reader to see.
    Closed,
    /// The connection broke, or the body ended before its announced end.
    Cut,
    /// The server said nothing for too long.
    Silent,
    /// The reader had seen enough.
    Unwanted,
}

/// The body of a cursor's answer, not read yet.
pub struct CursorBody {
    response: reqwest::Response,
    stop: Cancellation,
}

/// The reading side.
pub struct LineReceiver {
    batches: mpsc::Receiver<LineBatch>,
    current: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
    position: usize,
    received_bytes: u64,
}

/// The writing side.
pub struct LineSender {
    body: CursorBody,
    sender: mpsc::Sender<LineBatch>,
    budget: Arc<Semaphore>,
}

impl Server {
    /// Sends a `/v3/cursor` request and gives its answer as two halves: run the pump on the async side and read the
    /// lines on a thread of their own.
    ///
    /// # Errors
    /// As [`Server::query`], if the server refuses before the first line.
    pub async fn cursor(&self, body: String) -> Result<(LineSender, LineReceiver)> {
        let response = match self.probe(&http::json_call("v3/cursor", body)).await? {
            ProbeResponse::Answered(response) => response,
            ProbeResponse::Absent(response) if response.status().is_success() => {
                return Err(self.refused("it sent a web page"));
            }
            ProbeResponse::Absent(response) => return Err(self.has_no_cursor(response.status().as_u16())),
        };
        let (sender, batches) = mpsc::channel(64);
        let pump = LineSender {
            body: CursorBody { response, stop: self.stop().clone() },
            sender,
            budget: Arc::new(Semaphore::new(ON_THE_WAY_KIB as usize)),
        };
        let lines = LineReceiver { batches, current: Vec::new(), permit: None, position: 0, received_bytes: 0 };
        Ok((pump, lines))
    }

    fn has_no_cursor(&self, status: u16) -> Error {
        let message = format!("{} has no cursors, by which a server sends rows (status {status})", self.endpoint());
        Error::new(Kind::SourceRefused, message).with_hint(
            "check the host name, the --namespace, and that the token is for this database; a Turso sync server has \
             none: stop it, run `tursodb FILE \"PRAGMA journal_mode = 'wal'\"` on its database if that is in MVCC form, \
             and give FILE as --source",
        )
    }
}

impl LineSender {
    /// Moves the answer to the reader until it ends. Ends early, with `Unwanted`, when the reader is dropped.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn run(mut self) -> Result<CursorEnd> {
        let mut ready: Vec<u8> = Vec::new();
        let mut unfinished: Vec<u8> = Vec::new();
        let mut alone: Option<OwnedSemaphorePermit> = None;
        loop {
            let stop = self.body.stop.clone();
            let chunk = tokio::select! {
                () = stop.requested() => { stop.check()?; continue }
                () = self.sender.closed() => return Ok(CursorEnd::Unwanted),
                chunk = self.body.response.chunk() => chunk,
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    // A last line without a line feed is still a line; the reader knows whether it is whole.
                    ready.append(&mut unfinished);
                    let delivered = self.deliver(&mut ready, &mut alone).await;
                    return Ok(if delivered { CursorEnd::Closed } else { CursorEnd::Unwanted });
                }
                Err(failure) if http::is_silence(&failure) => return Ok(CursorEnd::Silent),
                Err(_) => return Ok(CursorEnd::Cut),
            };
            split_lines(&chunk, &mut ready, &mut unfinished);
            if ready.len() >= BATCH_BYTES && !self.deliver(&mut ready, &mut alone).await {
                return Ok(CursorEnd::Unwanted);
            }
            if kib(unfinished.len()) >= ON_THE_WAY_KIB && alone.is_none() {
                if !self.deliver(&mut ready, &mut alone).await {
                    return Ok(CursorEnd::Unwanted);
                }
                alone = self.budget.clone().acquire_many_owned(ON_THE_WAY_KIB).await.ok();
            }
        }
    }

    /// Hands the ready lines over; says whether the reader is still there.
    async fn deliver(&self, ready: &mut Vec<u8>, alone: &mut Option<OwnedSemaphorePermit>) -> bool {
        if ready.is_empty() {
            return !self.sender.is_closed();
        }
        let permit = if let Some(permit) = alone.take() {
            permit
        } else {
            let share = kib(ready.len()).clamp(1, ON_THE_WAY_KIB);
            match self.budget.clone().acquire_many_owned(share).await {
                Ok(permit) => permit,
                Err(_) => return false,
            }
        };
        self.sender.send(LineBatch { bytes: std::mem::take(ready), permit }).await.is_ok()
    }
}

impl LineReceiver {
    /// The next line without its line feed; none at the end of the answer. Blocks: call it on a thread of its own.
    pub fn next_line(&mut self) -> Option<&[u8]> {
        while self.position >= self.current.len() {
            // Gone before the next batch is waited for: the pump may need the memory it stands for.
            self.current = Vec::new();
            self.permit = None;
            let batch = self.batches.blocking_recv()?;
            self.received_bytes += batch.bytes.len() as u64;
            self.current = batch.bytes;
            self.permit = Some(batch.permit);
            self.position = 0;
        }
        let rest = self.current.get(self.position..)?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        self.position += length + 1;
        rest.get(..length)
    }

    /// Frees the lines handed out so far, if all of them were: a single line may be very large. More comes only when
    /// the next line is asked for.
    pub fn release(&mut self) {
        if self.position >= self.current.len() {
            self.current = Vec::new();
            self.position = 0;
        }
    }

    /// Bytes handed out so far, after decompression.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }
}

/// Appends the whole lines of a chunk to `ready`, and what follows the last line feed to `unfinished`.
fn split_lines(chunk: &[u8], ready: &mut Vec<u8>, unfinished: &mut Vec<u8>) {
    match chunk.iter().rposition(|byte| *byte == b'\n').and_then(|end| chunk.split_at_checked(end + 1)) {
        None => unfinished.extend_from_slice(chunk),
        Some((lines, rest)) => {
            if ready.is_empty() {
                std::mem::swap(ready, unfinished);
            } else {
                ready.append(unfinished);
            }
            ready.extend_from_slice(lines);
            unfinished.clear();
            unfinished.extend_from_slice(rest);
        }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_whatever_the_chunks() {
        let text = b"first\nsecond line\n\nlast without feed";
        for size in 1..text.len() {
            let (mut ready, mut unfinished) = (Vec::new(), Vec::new());
            for chunk in text.chunks(size) {
                split_lines(chunk, &mut ready, &mut unfinished);
                assert!(ready.is_empty() || ready.ends_with(b"\n"));
            }
            assert_eq!(ready, b"first\nsecond line\n\n");
            assert_eq!(unfinished, b"last without feed");
        }
    }
}
