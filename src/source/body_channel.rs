//! A binary answer on its way from the network (async) to the thread that reads it, in pieces, with bounded memory.

use tokio::sync::mpsc;

use super::{
    hrana_cursor::CursorEnd,
    http::{self, Server},
};
use crate::{context::Cancellation, error::Result};

/// Pieces that may be on the way; a piece has at most some hundred KiB.
const PIECES_ON_THE_WAY: usize = 16;

/// The writing side: run it on the async side.
pub struct BodySender {
    response: reqwest::Response,
    sender: mpsc::Sender<bytes::Bytes>,
    stop: Cancellation,
}

/// The reading side, for a thread of its own.
pub struct BodyReceiver {
    receiver: mpsc::Receiver<bytes::Bytes>,
    received_bytes: u64,
}

impl Server {
    /// The two sides of an answer's body.
    pub(super) fn pump(&self, response: reqwest::Response) -> (BodySender, BodyReceiver) {
        let (sender, receiver) = mpsc::channel(PIECES_ON_THE_WAY);
        (BodySender { response, sender, stop: self.stop().clone() }, BodyReceiver { receiver, received_bytes: 0 })
    }
}

impl BodySender {
    /// Moves the answer to the reader until it ends, or the reader is gone.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn run(mut self) -> Result<CursorEnd> {
        loop {
            let piece = tokio::select! {
                () = self.stop.requested() => { self.stop.check()?; continue }
                () = self.sender.closed() => return Ok(CursorEnd::Unwanted),
                piece = self.response.chunk() => piece,
            };
            match piece {
                Ok(Some(piece)) => {
                    if self.sender.send(piece).await.is_err() {
                        return Ok(CursorEnd::Unwanted);
                    }
                }
                Ok(None) => return Ok(CursorEnd::Closed),
                Err(failure) if http::is_silence(&failure) => return Ok(CursorEnd::Silent),
                Err(_) => return Ok(CursorEnd::Cut),
            }
        }
    }
}

impl BodyReceiver {
    /// The next piece; none at the end. Blocks: call it on a thread of its own.
    pub fn next_piece(&mut self) -> Option<bytes::Bytes> {
        let piece = self.receiver.blocking_recv()?;
        self.received_bytes += piece.len() as u64;
        Some(piece)
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }
}
