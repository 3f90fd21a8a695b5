//! Chooses the type of columns with texts that PostgreSQL can't hold: NUL characters, invalid UTF-8
//! (docs/conversion-rules.md, section 2.1).

use super::{ColumnInput, ColumnRole, TypeChoice, counted, text_conversion};
use crate::model::{
    Conversion, Finding, FindingCode, PgType, Severity,
    conversion_plan::{OFFTYPE_TABLE, RowAddress},
    overrides::BadText,
};

/// The type of a column with texts that PostgreSQL can't hold: text with their bytes beside it in the off-type table,
/// unless the column tells rows apart, or they are many (docs/conversion-rules.md, section 2.1).
pub(super) fn choose(subject: &ColumnInput<'_>) -> TypeChoice {
    let profile = subject.profile;
    let as_text = |rule: &str| subject.choice(PgType::Text, text_conversion(subject.role), rule);
    let in_bytes = || {
        subject.choice(PgType::Bytea, Conversion::Bytea, "texts among the values that PostgreSQL can't hold as text")
    };
    let needed = if subject.role >= ColumnRole::Key {
        Some("the column is part of a key")
    } else if *subject.address == RowAddress::Ordinal {
        Some("the rows have no key under which the bytes could be kept")
    } else {
        None
    };
    let many = profile.texts_not_storable().saturating_mul(100) > profile.values();
    let (mut choice, finding) = match (subject.bad_text, needed) {
        (Some(BadText::Fail), _) => (as_text("texts that PostgreSQL can't hold"), not_storable(subject, None)),
        (Some(BadText::Replace), Some(reason)) => {
            (as_text("texts that PostgreSQL can't hold"), not_storable(subject, Some(reason)))
        }
        (Some(BadText::Replace), None) => (as_text("the configuration decides"), replaced(subject)),
        (Some(BadText::Bytea), _) => (in_bytes(), kept_as_bytes(subject, "the configuration decides")),
        (None, Some(reason)) => (in_bytes(), kept_as_bytes(subject, reason)),
        (None, None) if many => (in_bytes(), kept_as_bytes(subject, "they are more than 1 in 100 values")),
        (None, None) => (as_text("texts, few of which PostgreSQL can't hold as they are"), replaced(subject)),
    };
    choice.findings.insert(0, finding);
    choice
}

/// Texts that no PostgreSQL text can hold, where the configuration says so or leaves no other way: the plan stops here,
/// and not in the middle of a load.
pub(super) fn not_storable(subject: &ColumnInput<'_>, reason: Option<&str>) -> Finding {
    let mut message = format!("PostgreSQL can't hold {} in a column of storage class text", unstorable_texts(subject));
    if let Some(reason) = reason {
        message.push_str(&format!(", and nothing may be replaced in them, because {reason}"));
    }
    subject
        .finding(FindingCode::TextNotStorable, Severity::Refused, message)
        .counting(subject.profile.texts_not_storable())
        .choice(subject.typed("bad_text = \"bytea\""))
        .choice("correct the texts in the source and dump again")
}

/// The same where what can't be held is replaced and kept beside the column: a value that readers see changes, so it
/// needs a decision unless the configuration has made it.
pub(super) fn replaced(subject: &ColumnInput<'_>) -> Finding {
    let message = format!(
        "PostgreSQL can't hold {}: each NUL and each invalid sequence becomes U+FFFD, and the exact bytes of these texts \
         are kept in the table {OFFTYPE_TABLE}",
        unstorable_texts(subject)
    );
    let decided = subject.bad_text == Some(BadText::Replace);
    let severity = if decided { Severity::Warning } else { Severity::NeedsDecision };
    subject
        .finding(FindingCode::TextNotStorable, severity, message)
        .counting(subject.profile.texts_not_storable())
        .choice(subject.typed("bad_text = \"replace\""))
        .choice(subject.typed("bad_text = \"bytea\""))
        .choice(subject.typed("bad_text = \"fail\""))
        .choice("correct the texts in the source and dump again")
}

/// The same where the whole column becomes bytes.
pub(super) fn kept_as_bytes(subject: &ColumnInput<'_>, reason: &str) -> Finding {
    let message = format!(
        "PostgreSQL can't hold {} as text, and {reason}: the column is bytea and keeps the bytes of every value",
        unstorable_texts(subject)
    );
    let finding = subject
        .finding(FindingCode::TextNotStorable, Severity::Warning, message)
        .counting(subject.profile.texts_not_storable());
    let may_replace = subject.role < ColumnRole::Key && *subject.address != RowAddress::Ordinal;
    let finding = if may_replace { finding.choice(subject.typed("bad_text = \"replace\"")) } else { finding };
    finding.choice("correct the texts in the source and dump again")
}

/// How many, of which kind, and where the first is.
pub(super) fn unstorable_texts(subject: &ColumnInput<'_>) -> String {
    let profile = subject.profile;
    let faults = [(profile.texts_with_nul, "with a NUL character"), (profile.texts_not_utf8, "of invalid UTF-8")];
    let faults = faults.iter().filter(|(count, _)| *count > 0);
    let faults = faults.map(|(count, words)| format!("{} {words}", counted(*count, "text"))).collect::<Vec<_>>();
    let first = profile.first_not_storable.map(|at| subject.place_of(at)).unwrap_or_default();
    format!("{} (first at {first})", faults.join(" and "))
}
