//! Reports what the reading of all values found: values that are none of the type, values that are cut or rounded, and
//! what was taken for granted. Decides what becomes of the first.

use rusqlite::Connection;

use super::{
    units,
    values::{ColumnMismatches, GuidOrders, Occurrences, TableMismatches},
};
use crate::{
    error::Result,
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, Severity, TablePlan,
        conversion_plan::{GuidOrder, OFFTYPE_TABLE, OffType},
        human_format::counted,
        overrides::Overrides,
        pg_column_type::{Element, PgColumnType},
    },
    rules::{
        existing_schema::{Altered, Mismatch, Note},
        type_choice::column_setting,
    },
};

/// One column with what was found in it.
struct Judged<'a> {
    table: &'a TablePlan,
    column: &'a ColumnPlan,
    verdict: &'a ColumnMismatches,
}

/// Adds the findings of a table, and what follows from them for its columns.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub(super) fn judge(
    connection: &Connection,
    table: &mut TablePlan,
    found: &TableMismatches,
    overrides: &Overrides,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let settled: Vec<ColumnPlan> =
        table.columns.iter().zip(&found.columns).map(|(column, verdict)| settled(column, verdict)).collect();
    table.columns = settled;
    table.rejected = found.rejected;
    for (column, verdict) in table.columns.iter().zip(&found.columns) {
        let judged = Judged { table, column, verdict };
        for (mismatch, occurrences) in &verdict.mismatches {
            findings.push(judged.misfit(connection, *mismatch, occurrences)?);
        }
        findings.extend(verdict.altered.iter().map(|(altered, found)| judged.altered(*altered, found)));
        findings.extend(verdict.notes.iter().map(|(note, count)| judged.note(*note, *count)));
        findings.extend(judged.replaced_text(overrides));
        findings.extend(judged.empty_texts());
        findings.extend(judged.byte_order());
    }
    Ok(())
}

/// The column with what follows from its values.
fn settled(column: &ColumnPlan, verdict: &ColumnMismatches) -> ColumnPlan {
    let mut column = column.clone();
    if verdict.misfits() == 0 {
        column.exceptions.off_type = None;
    }
    let empties = column.exceptions.empty_as_null && column.evidence.texts_empty > 0;
    column.records_off_type |= empties || column.exceptions.off_type == Some(OffType::Null);
    if let Conversion::ExistingType(reading) = &mut column.conversion
        && verdict.guids.decided() == Some(GuidOrder::Dotnet)
    {
        reading.guid = GuidOrder::Dotnet;
    }
    column
}

impl GuidOrders {
    /// The order that all values show; none if there are values and they show none, or both.
    fn decided(&self) -> Option<GuidOrder> {
        let all = |count: u64| count == self.blobs;
        if all(self.network) && (!all(self.swapped_v4) || all(self.network_v4)) {
            return Some(GuidOrder::Network);
        }
        all(self.swapped_v4).then_some(GuidOrder::Dotnet)
    }
}

impl Judged<'_> {
    fn finding(&self, code: FindingCode, severity: Severity, message: String, count: u64) -> Finding {
        let finding = Finding::new(code, severity, message);
        finding.at_table(&self.table.source).at_column(&self.column.source).counting(count)
    }

    fn setting(&self, inside: &str) -> String {
        column_setting(&self.table.source, &self.column.source, inside)
    }

    fn accept(&self, code: FindingCode) -> String {
        format!("--accept {}@{}.{}", code.word(), self.table.source, self.column.source)
    }

    /// `3 of 10 values`.
    fn share(&self, count: u64) -> String {
        format!("{count} of {}", counted(self.column.evidence.values(), "value", "values"))
    }

    /// Where the first ones are, and the form of the first.
    fn places(&self, found: &Occurrences) -> String {
        let word = if self.table.address.rowid_name().is_some() { "rowid" } else { "row" };
        let first: Vec<String> = found.first.iter().map(i64::to_string).collect();
        format!("first at {word} {}; the form of the first is {}", first.join(", "), found.form)
    }

    /// Values that are none of the type. What becomes of them is for the configuration to say.
    fn misfit(&self, connection: &Connection, mismatch: Mismatch, found: &Occurrences) -> Result<Finding> {
        let what = format!(
            "{} cannot become {}: they {} ({})",
            self.share(found.count),
            self.column.pg_type,
            mismatch.words(),
            self.places(found)
        );
        let agreed = |message: String| {
            let finding = self.finding(FindingCode::TypeDoesNotFit, Severity::NeedsDecision, message, found.count);
            Finding { accepted: true, ..finding }
        };
        match self.column.exceptions.off_type {
            Some(OffType::Null) => Ok(agreed(format!(
                "{what}; they become NULL, and their class and bytes are kept in the table {OFFTYPE_TABLE}, as the \
                 configuration says"
            ))),
            Some(OffType::Reject) => Ok(agreed(format!(
                "{what}; their rows are left out and written to convert/rejects.jsonl, as the configuration says"
            ))),
            None => {
                let finding = self.finding(FindingCode::TypeDoesNotFit, Severity::Refused, what, found.count);
                let choices = self.misfit_choices(connection, mismatch, found)?;
                Ok(choices.into_iter().fold(finding, Finding::choice))
            }
        }
    }

    fn misfit_choices(&self, connection: &Connection, mismatch: Mismatch, found: &Occurrences) -> Result<Vec<String>> {
        let mut choices = Vec::new();
        if found.empty > 0 {
            choices.push(self.setting("empty_as_null = true"));
        }
        if mismatch == Mismatch::Unit {
            let units = units::proposals(connection, &self.table.source, &self.column.source)?;
            choices.extend(units.iter().map(|unit| self.setting(&format!("from = \"{unit}\""))));
        }
        let is_text = matches!(PgColumnType::of(&self.column.pg_type).element, Element::Text { .. });
        if mismatch == Mismatch::Text && is_text {
            choices.push(self.setting("bad_text = \"replace\""));
        }
        let shows_list = PgColumnType::of(&self.column.pg_type).array
            && mismatch == Mismatch::Form
            && found.empty < found.count
            && !found.form.contains(['[', '{']);
        if shows_list {
            choices.push(self.setting("list = \"comma\""));
        }
        let null = self.setting("off_type = \"null\"");
        let reject = self.setting("off_type = \"reject\"");
        choices.extend(if self.column.not_null { [reject, null] } else { [null, reject] });
        choices.push("correct the values in the source and dump again, or the type in the existing schema".to_owned());
        Ok(choices)
    }

    /// Values that lose something. They are loaded once somebody agrees.
    fn altered(&self, altered: Altered, found: &Occurrences) -> Finding {
        let (code, words) = match altered {
            Altered::Rounded => (FindingCode::TypeDoesNotFit, "have more digits than the type and are rounded"),
            Altered::FractionCut => (
                FindingCode::TypeDoesNotFit,
                "have more digits of a second than the type; these digits are cut, not rounded",
            ),
            Altered::TimeCut => (FindingCode::TypeDoesNotFit, "have a time of day, which a date does not keep"),
            Altered::LengthCut => {
                (FindingCode::ValueTooLong, "have more characters than the type and are cut to its length")
            }
            Altered::Shifted => {
                (FindingCode::SpellingNormalised, "would lose the offset from UTC; the point in time stays")
            }
            Altered::Ambiguous => (
                FindingCode::TypeDoesNotFit,
                "are times that occurred twice or never in the zone of the configuration; the first of two is taken, and \
                 a time in a gap is moved by the length of the gap",
            ),
        };
        let message = format!("{} {words}: {} ({})", self.share(found.count), self.column.pg_type, self.places(found));
        self.finding(code, Severity::NeedsDecision, message, found.count)
            .choice(self.accept(code))
            .choice(format!("--accept {}", code.word()))
    }

    fn note(&self, note: Note, count: u64) -> Finding {
        let values = counted(count, "value", "values");
        let info = |code, words: &str| self.finding(code, Severity::Info, format!("{values}: {words}"), count);
        match note {
            Note::NaiveAsUtc => info(FindingCode::Advice, "a time without zone is read as UTC")
                .choice(self.setting("zone = \"Europe/Berlin\"")),
            Note::NaiveInZone => info(
                FindingCode::Advice,
                "a time without zone is read in the zone of the configuration and converted to UTC",
            ),
            Note::ZoneNotKept => info(
                FindingCode::Advice,
                "the type keeps no zone: times stay as they are written, and numbers and times with an offset are UTC; \
                 applications may read them as local times",
            ),
            Note::NumberSpelling => info(
                FindingCode::SpellingNormalised,
                "a text becomes a number, without its leading zeros, plus sign or exponent",
            ),
            Note::TextAsBytes => info(FindingCode::ClassMerged, "a text is loaded as its bytes"),
            Note::Microseconds => info(FindingCode::EpochAssumed, "an integer is read as microseconds of an interval")
                .choice(self.setting("from = \"unix_s\"")),
            Note::Money => {
                let words =
                    "the meaning of money depends on lc_monetary of the server, which may differ between servers";
                let code = FindingCode::TypeDoesNotFit;
                let finding = self.finding(code, Severity::NeedsDecision, format!("{values}: {words}"), count);
                finding.choice(self.accept(code))
            }
        }
    }

    /// Texts that PostgreSQL can't hold and that are replaced.
    fn replaced_text(&self, overrides: &Overrides) -> Option<Finding> {
        let Conversion::ExistingType(reading) = self.column.conversion else { return None };
        if !reading.replaces_text {
            return None;
        }
        let profile = &self.column.evidence;
        let count = profile.texts_not_storable();
        let place = format!("{}.{}", self.table.source, self.column.source);
        let named = overrides.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&place));
        let decided = named.is_some_and(|(_, setting)| setting.bad_text.is_some());
        let severity = if decided { Severity::Warning } else { Severity::NeedsDecision };
        let message = format!(
            "{} cannot be held as text ({} with a NUL character, {} not UTF-8; first at {}): each NUL and each invalid \
             sequence becomes U+FFFD, and the bytes are kept in the table {OFFTYPE_TABLE}",
            self.share(count),
            profile.texts_with_nul,
            profile.texts_not_utf8,
            profile.first_not_storable.map_or_else(String::new, |at| at.to_string()),
        );
        let code = FindingCode::TextNotStorable;
        let finding = self.finding(code, severity, message, count).choice(self.setting("bad_text = \"replace\""));
        Some(if decided { finding } else { finding.choice(self.accept(code)) })
    }

    /// Empty texts that become NULL.
    fn empty_texts(&self) -> Option<Finding> {
        let count = self.column.evidence.texts_empty;
        if !self.column.exceptions.empty_as_null || count == 0 {
            return None;
        }
        let required = if self.column.not_null { ", although the existing schema says NOT NULL" } else { "" };
        let texts = counted(count, "empty text becomes", "empty texts become");
        let message = format!("{texts} NULL{required}, as the configuration says; {OFFTYPE_TABLE} records them");
        Some(self.finding(FindingCode::TypeDoesNotFit, Severity::Info, message, count))
    }

    /// In which order the bytes of UUIDs are read.
    fn byte_order(&self) -> Option<Finding> {
        let guids = self.verdict.guids;
        let Conversion::ExistingType(reading) = self.column.conversion else { return None };
        if guids.blobs == 0 {
            return None;
        }
        let setting = self.setting("from = \"guid_dotnet\"");
        match guids.decided() {
            // The configuration says so, or it is what RFC 9562 says.
            Some(GuidOrder::Network) => None,
            Some(GuidOrder::Dotnet) => {
                let message =
                    "blobs are read as UUIDs in .NET's byte order, because all of them show their version there";
                Some(self.finding(FindingCode::Advice, Severity::Info, message.to_owned(), guids.blobs).choice(setting))
            }
            None if reading.guid == GuidOrder::Dotnet => None,
            None => {
                let code = FindingCode::TypeDoesNotFit;
                let message =
                    "blobs of 16 bytes do not show the byte order of their UUIDs; they are read in network order";
                let finding = self.finding(code, Severity::NeedsDecision, message.to_owned(), guids.blobs);
                Some(finding.choice(setting).choice(self.accept(code)))
            }
        }
    }
}
