//! Small answers, read as a whole: bounded, ended by a cancellation request, and asked for again when they break off.

use std::time::{Duration, Instant};

use reqwest::{Response, header::HeaderMap};

use super::http::{Call, ProbeResponse, Server};
use crate::{
    error::{Error, Kind, Result},
    model::Stage,
    retry::{Failure, Tries},
};

/// How often a question is asked whose answers break off.
const TRIES: u32 = 4;

/// A whole answer.
pub(super) struct BufferedResponse {
    /// Whether the server has what was asked for.
    pub(super) is_there: bool,
    /// The answer's status.
    pub(super) status: u16,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) body: Vec<u8>,
}

/// How long an answer may take to come, besides the time that its bytes take.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// Bytes of a small answer that come in a second, at least.
const BYTES_PER_SECOND: u64 = 4 << 10;

/// Whether an answer that has come so far in this time would hold the tool up for no good reason.
fn is_too_slow(elapsed: Duration, bytes: usize) -> bool {
    let seconds = u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES_PER_SECOND;
    elapsed > SLOW_AFTER + Duration::from_secs(seconds)
}

impl Server {
    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// `SourceUnreachable`, `SourceDenied`, `SourceRefused` (for a body larger than `limit` bytes, too),
    /// `SourceTruncated`, `Interrupted`.
    pub(super) async fn send_whole(&self, call: &Call<'_>, limit: usize) -> Result<Vec<u8>> {
        self.whole(call, false, limit).await.map(|whole| whole.body)
    }

    /// The same for a path that a server need not have.
    ///
    /// # Errors
    /// As [`Self::send_whole`].
    pub(super) async fn probe_whole(&self, call: &Call<'_>, limit: usize) -> Result<BufferedResponse> {
        self.whole(call, true, limit).await
    }

    async fn whole(&self, call: &Call<'_>, may_lack: bool, limit: usize) -> Result<BufferedResponse> {
        let mut tries = Tries::new(self.ctx(), Stage::Dump, TRIES);
        loop {
            let (is_there, response) = if may_lack {
                match self.probe(call).await? {
                    ProbeResponse::Answered(response) => (true, response),
                    ProbeResponse::Absent(response) => (false, response),
                }
            } else {
                (true, self.send(call).await?)
            };
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            if let Some(body) = self.read_whole(response, limit).await? {
                return Ok(BufferedResponse { is_there, status, headers, body });
            }
            tries.next(Failure::Passing(self.ended_early(), None)).await?;
        }
    }

    /// The body of an answer; none if it broke off.
    ///
    /// # Errors
    /// `SourceRefused` for one larger than `limit` bytes, `Interrupted`.
    async fn read_whole(&self, mut response: Response, limit: usize) -> Result<Option<Vec<u8>>> {
        let (mut body, begun) = (Vec::new(), Instant::now());
        loop {
            match self.ctx().stop.or(response.chunk()).await? {
                Ok(Some(_)) if is_too_slow(begun.elapsed(), body.len()) => {
                    let message = format!("{} sends a small answer too slowly", self.endpoint());
                    return Err(Error::new(Kind::SourceUnreachable, message)
                        .with_hint("check the connection to the server, and whatever is between"));
                }
                Ok(Some(piece)) if body.len() + piece.len() <= limit => body.extend_from_slice(&piece),
                Ok(Some(_)) => return Err(self.refused("its answer is larger than any that was asked for")),
                Ok(None) => return Ok(Some(body)),
                Err(_) => return Ok(None),
            }
        }
    }

    /// The error for an answer that broke off.
    fn ended_early(&self) -> Error {
        let message = format!("the answer of {} ended early", self.endpoint());
        Error::new(Kind::SourceTruncated, message)
            .with_hint("check the connection to the server, then run the same command again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_drips_is_not_waited_for_without_an_end() {
        assert!(!is_too_slow(Duration::from_secs(60), 0));
        // A byte every two seconds.
        assert!(is_too_slow(Duration::from_secs(62), 31));
        assert!(!is_too_slow(Duration::from_secs(600), 10 << 20));
    }
}
