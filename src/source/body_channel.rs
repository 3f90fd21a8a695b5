//! A binary answer on its way from the network (async) to the thread that reads it, in pieces, with bounded memory.

use tokio::sync::mpsc;

use super::{
    hrana_cursor::Ending,
    http::{self, Server},
};
use crate::{context::Stop, error::Result};

/// Pieces that may be on the way; a piece has at most some hundred KiB.
const PIECES_ON_THE_WAY: usize = 16;

/// The writing side: run it on the async side.
pub struct Pump {
    response: reqwest::Response,
    sender: mpsc::Sender<bytes::Bytes>,
    stop: Stop,
}

/// The reading side, for a thread of its own.
pub struct Pieces {
    receiver: mpsc::Receiver<bytes::Bytes>,
    received_bytes: u64,
}

impl Server {
    /// The two sides of an answer's body.
    pub(super) fn pump(&self, response: reqwest::Response) -> (Pump, Pieces) {
        let (sender, receiver) = mpsc::channel(PIECES_ON_THE_WAY);
        (Pump { response, sender, stop: self.stop().clone() }, Pieces { receiver, received_bytes: 0 })
    }
}

impl Pump {
    /// Moves the answer to the reader until it ends, or the reader is gone.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn run(mut self) -> Result<Ending> {
        loop {
            let piece = tokio::select! {
                () = self.stop.wished() => { self.stop.check()?; continue }
                () = self.sender.closed() => return Ok(Ending::Unwanted),
                piece = self.response.chunk() => piece,
            };
            match piece {
                Ok(Some(piece)) => {
                    if self.sender.send(piece).await.is_err() {
                        return Ok(Ending::Unwanted);
                    }
                }
                Ok(None) => return Ok(Ending::Closed),
                Err(failure) if http::is_silence(&failure) => return Ok(Ending::Silent),
                Err(_) => return Ok(Ending::Cut),
            }
        }
    }
}

impl Pieces {
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
