//! Reads a server: every row of a table, as the image of what it holds.

use futures_util::{StreamExt, pin_mut};

use super::{
    canonical_row::CanonicalRow,
    decode_server::{CopyFrames, MalformedCopy, append, fields},
    progress::ScanMeter,
    row_diff::RowName,
};
use crate::{
    error::{Error, Kind, Result},
    model::PgType,
    postgres::Session,
};

/// How a table of a server is read.
#[derive(Debug, Clone)]
pub(super) struct ServerScan {
    /// The COPY statement.
    pub(super) sql: String,
    /// Types of the columns, without the `ctid`.
    pub(super) types: Vec<PgType>,
    /// Whether the first column is the `ctid`.
    pub(super) with_ctid: bool,
}

impl From<MalformedCopy> for Error {
    fn from(_: MalformedCopy) -> Self {
        Self::new(Kind::Bug, "a server's COPY stream is not as the protocol says")
    }
}

/// One row that a server sent.
pub(super) struct SentRow<'a> {
    row: &'a [u8],
    with_ctid: bool,
}

impl<'a> SentRow<'a> {
    /// The tuple's place: a 32-bit block and a 16-bit item (PostgreSQL `tidsend`).
    pub(super) fn ctid(&self) -> RowName {
        match fields(self.row).next().flatten() {
            Some(tid) if self.with_ctid => {
                let block = tid.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let item = tid.last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
                RowName::Ctid(block, item)
            }
            _ => RowName::Ctid(0, 0),
        }
    }

    /// The columns without the `ctid`.
    pub(super) fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        fields(self.row).skip(usize::from(self.with_ctid))
    }
}

impl ServerScan {
    /// Hands over each row; returns how many there are.
    pub(super) async fn run(
        &self,
        session: &Session,
        meter: &mut ScanMeter<'_>,
        mut each: impl FnMut(&mut CanonicalRow, &SentRow<'_>),
    ) -> Result<u64> {
        let failed = |failure: tokio_postgres::Error| session.error("reading a table", &failure);
        let stream = session.client().copy_out(&self.sql).await.map_err(failed)?;
        pin_mut!(stream);
        let columns = self.types.len() + usize::from(self.with_ctid);
        let mut frames = CopyFrames::default();
        let mut image = CanonicalRow::default();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(failed)?;
            frames.feed(&chunk, columns, &mut |row| -> Result<()> {
                let sent = SentRow { row, with_ctid: self.with_ctid };
                image.clear();
                for (pg_type, field) in self.types.iter().zip(sent.values()) {
                    append(&mut image, pg_type, field);
                }
                meter.row(image.len())?;
                each(&mut image, &sent);
                Ok(())
            })?;
        }
        frames.finish()?;
        meter.report()?;
        Ok(meter.rows)
    }
}
