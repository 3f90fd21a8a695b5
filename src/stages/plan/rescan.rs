//! Reads tables a second time after the types are chosen, only where it is needed: rows to reject, the places that
//! explain a wider type, and texts that SQLite itself misreads.

use std::path::Path;

use super::{table_draft::TableDraft, table_outline::subject};
use crate::{
    error::{Error, Kind, Result},
    model::{
        FindingCode, Severity,
        conversion_plan::{OffType, RowAddress},
    },
    rules::type_choice::{self, counted, value_check},
    sqlite::{
        profile::{Candidate, MismatchScan},
        table_rows::TableReader,
    },
};

/// Looks again.
///
/// # Errors
/// `SourceInvalid` if the dump can't be read; what `check` returns.
pub(super) fn look(path: &Path, drafts: &mut [TableDraft<'_>], check: &dyn Fn() -> Result<()>) -> Result<()> {
    let mut reader = TableReader::open(path)?;
    let encoding: String = reader
        .connection()
        .query_row("PRAGMA encoding", (), |row| row.get(0))
        .map_err(|failure| Error::new(Kind::SourceInvalid, format!("asking for the encoding: {failure}")))?;
    for draft in drafts {
        let mut look = MismatchScan {
            reader: &mut reader,
            table: &draft.outline.source.name,
            rowid: draft.outline.address.rowid_name(),
            is_virtual: draft.outline.address == RowAddress::Ordinal,
            check,
        };
        let rejected = rejected(&mut look, draft)?;
        let spoilers = spoilers(&mut look, draft)?;
        let misread = if encoding == "UTF-8" { Vec::new() } else { misread(&look, draft, encoding == "UTF-16be")? };
        draft.rejected = rejected;
        for (column, spoiler) in draft.columns.iter_mut().zip(spoilers) {
            column.profile.first_spoiler = spoiler;
        }
        draft.findings.extend(misread);
    }
    Ok(())
}

fn rejected(look: &mut MismatchScan<'_>, draft: &TableDraft<'_>) -> Result<u64> {
    let columns = draft.outline.columns.iter().zip(&draft.columns).filter_map(|(outline, column)| {
        let choice = &column.choice;
        (choice.exceptions.off_type == Some(OffType::Reject)).then(|| {
            let candidate = Candidate { pg_type: choice.pg_type.clone(), conversion: choice.conversion };
            (outline.source.name.as_str(), candidate, choice.exceptions.empty_as_null)
        })
    });
    let columns: Vec<_> = columns.collect();
    if columns.is_empty() { Ok(0) } else { look.rows_with_mismatches(&columns) }
}

/// For each column where a cell occurs first that the promised type doesn't hold.
fn spoilers(look: &mut MismatchScan<'_>, draft: &TableDraft<'_>) -> Result<Vec<Option<i64>>> {
    let mut found = Vec::with_capacity(draft.columns.len());
    for (outline, column) in draft.outline.columns.iter().zip(&draft.columns) {
        let subject = subject(&draft.outline, outline, &column.profile, draft.vector_extension);
        let promised = type_choice::promised(&subject).filter(|promised| {
            let chosen = &column.choice.pg_type;
            let is_other = promised != chosen && column.profile.values() > 0 && outline.requested.is_none();
            is_other && !(promised.needs_pgvector() && chosen.needs_pgvector())
        });
        found.push(match promised {
            None => None,
            Some(pg_type) => {
                let candidate = |conversion| Candidate { pg_type: pg_type.clone(), conversion };
                let candidates = value_check::candidates(&pg_type, None).into_iter().map(candidate).collect();
                look.first_mismatch(&outline.source.name, candidates)?
            }
        });
    }
    Ok(found)
}

/// Findings about texts with surrogates that have no partner.
fn misread(look: &MismatchScan<'_>, draft: &TableDraft<'_>, big_endian: bool) -> Result<Vec<crate::model::Finding>> {
    let mut findings = Vec::new();
    for (outline, column) in draft.outline.columns.iter().zip(&draft.columns) {
        if column.profile.texts == 0 {
            continue;
        }
        let misread = look.misread_surrogates(&outline.source.name, big_endian)?;
        let Some(first) = misread.first else { continue };
        let subject = subject(&draft.outline, outline, &column.profile, draft.vector_extension);
        let message = format!(
            "{} with a UTF-16 surrogate that has no partner (first at {}): SQLite itself gives other characters for it, and \
             these are loaded; the original units stay in the dump only",
            counted(misread.count, "text"),
            subject.place_of(first)
        );
        let finding = subject.finding(FindingCode::TextNotStorable, Severity::NeedsDecision, message);
        findings.push(
            finding
                .counting(misread.count)
                .choice("correct the texts in the source and dump again")
                .choice(format!("--accept text-not-storable@{}.{}", subject.table, outline.source.name)),
        );
    }
    Ok(findings)
}
