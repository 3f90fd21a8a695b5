//! Explains why a column doesn't get its declared type, as text.

use super::{ColumnInput, declared_type::TypeFamily, invalid_text::unstorable_texts, is_or_are};
use crate::{
    model::{Finding, FindingCode, PgType, Severity, cell::StorageClass},
    rules::value_shape::word,
};

/// Loud: the column doesn't get its declared type.
pub(super) fn widened(subject: &ColumnInput<'_>, family: TypeFamily, pg_type: &PgType) -> Finding {
    let declared = if subject.column.declared.is_empty() {
        "no type".to_owned()
    } else {
        format!("`{}`", subject.column.declared)
    };
    let message = format!("declared {declared}, loaded as {pg_type}: {}", why_not_natural(subject, family));
    let odd = odd_ones(subject, family);
    let mut finding = subject
        .finding(FindingCode::TypeWidened, Severity::Warning, message)
        .choice(format!("correct the values in the source and dump again, or keep {pg_type}"));
    for option in options(subject, family) {
        finding = finding.choice(subject.typed(option));
    }
    if odd > 0 { finding.counting(odd) } else { finding }
}

/// What the configuration could say instead, as far as the values allow it.
fn options(subject: &ColumnInput<'_>, family: TypeFamily) -> Vec<&'static str> {
    let profile = subject.profile;
    let mut options = Vec::new();
    let is_timestamp = matches!(family, TypeFamily::Date | TypeFamily::Timestamp { .. });
    let stamps = profile.shape(word::DATE) + profile.shape(word::TIMESTAMP) + profile.shape(word::ZONED);
    let texts_are_stamps = profile.texts > 0 && stamps == profile.texts;
    let numbers_only = profile.texts + profile.blobs == 0;
    let in_window = profile.integer_range.and_then(super::value_check::epoch_unit).is_some();
    if is_timestamp && texts_are_stamps && profile.texts == profile.values() {
        options.push("type = \"timestamptz\"");
    }
    if is_timestamp && texts_are_stamps && in_window && profile.reals + profile.blobs == 0 {
        options.push("dates = \"auto\"");
    }
    if is_timestamp && numbers_only {
        options.extend(["from = \"unix_s\"", "from = \"unix_ms\"", "from = \"julian\"", "from = \"core_data\""]);
    }
    if family == TypeFamily::Time && profile.shape(word::TIME) + profile.shape(word::TIMESTAMP) == profile.values() {
        options.push("from = \"rails_time\"");
    }
    if family == TypeFamily::Bool && profile.texts > 0 && profile.reals + profile.blobs == 0 {
        options.push("bool_words = true");
    }
    if profile.texts_empty > 0 && family != TypeFamily::Any && !subject.column.not_null {
        options.push("empty_as_null = true");
    }
    let promises = !matches!(family, TypeFamily::Any | TypeFamily::Text(_) | TypeFamily::Blob);
    if promises && (profile.classes().len() > 1 || odd_ones(subject, family) > 0) && !numbers_only {
        options.push("off_type = \"reject\"");
        if !subject.column.not_null && subject.role < super::ColumnRole::Key {
            options.push("off_type = \"null\"");
        }
    }
    options
}

fn why_not_natural(subject: &ColumnInput<'_>, family: TypeFamily) -> String {
    let profile = subject.profile;
    if profile.texts_not_storable() > 0 {
        return format!("PostgreSQL can't hold {} as text", unstorable_texts(subject));
    }
    if profile.classes().len() > 1 {
        return format!("the values are {}", subject.class_counts());
    }
    let first = profile.first_off_shape.map(|at| format!(" (first at {})", subject.place_of(at))).unwrap_or_default();
    match (family, profile.classes().first()) {
        (TypeFamily::Date | TypeFamily::Timestamp { .. }, Some(StorageClass::Text)) => {
            if profile.first_off_shape.is_some() {
                format!("{} no exact date or timestamp{first}", is_or_are(odd_ones(subject, family), "text"))
            } else {
                "the texts mix zones, offsets, or values with and without zone".to_owned()
            }
        }
        (TypeFamily::Date | TypeFamily::Timestamp { .. }, Some(StorageClass::Integer)) if subject.core_data => {
            "the table is one of Core Data, whose times count from 2001".to_owned()
        }
        (TypeFamily::Date | TypeFamily::Timestamp { .. }, Some(StorageClass::Integer)) => {
            "the integers don't all lie in the window of one unit of time".to_owned()
        }
        (TypeFamily::Date | TypeFamily::Timestamp { .. }, Some(StorageClass::Real)) => {
            "the values are reals, such as Julian days or seconds, and nothing in the file shows which".to_owned()
        }
        (TypeFamily::Json, Some(StorageClass::Text)) if profile.first_off_shape.is_none() => {
            "the column is part of a key or an index".to_owned()
        }
        (TypeFamily::Time | TypeFamily::Uuid | TypeFamily::Json | TypeFamily::Bool, Some(StorageClass::Text)) => {
            format!("not every text has the form of its type{first}")
        }
        (TypeFamily::Bool, Some(StorageClass::Integer)) => "not every integer is 0 or 1".to_owned(),
        (TypeFamily::Json, Some(StorageClass::Blob)) => {
            let found = profile.shape(word::SQLITE_JSONB) + profile.shape(word::SQLITE_JSON);
            if found == profile.blobs {
                "the column is part of a key or an index".to_owned()
            } else {
                format!("not every blob is SQLite's binary JSON{first}")
            }
        }
        (TypeFamily::Vector(..), Some(StorageClass::Blob)) => {
            format!("not every blob is a vector of the declared length with finite numbers{first}")
        }
        _ => format!("the values are {}", subject.class_counts()),
    }
}

/// How many values keep the column from its natural type, where that is known.
fn odd_ones(subject: &ColumnInput<'_>, family: TypeFamily) -> u64 {
    let profile = subject.profile;
    let classes = profile.classes();
    if classes.len() > 1 {
        return classes.iter().map(|class| profile.count(*class)).min().unwrap_or(0);
    }
    match family {
        TypeFamily::Date | TypeFamily::Timestamp { .. } if profile.texts > 0 => {
            profile.texts - profile.shape(word::DATE) - profile.shape(word::TIMESTAMP) - profile.shape(word::ZONED)
        }
        TypeFamily::Time if profile.texts > 0 => profile.texts - profile.shape(word::TIME),
        TypeFamily::Uuid if profile.texts > 0 => profile.texts - profile.shape(word::UUID),
        _ => 0,
    }
}
