//! Defines the type rules (docs/conversion-rules.md, section 1.4): for each family the first type that every non-NULL
//! value fits.

use super::{
    ColumnInput, ColumnRole, TypeChoice, counted,
    declared_type::TypeFamily,
    explanations::widened,
    invalid_text, is_or_are, text_conversion,
    value_check::{epoch_unit, vector_types},
};
use crate::{
    model::{
        Conversion, FindingCode, PgType, Severity,
        cell::StorageClass,
        conversion_plan::{EpochUnit, VectorEncoding},
        source_schema::Affinity,
    },
    rules::value_shape::word,
};

/// The type of the declared family, if every value fits one of its rungs.
pub(super) fn natural(subject: &ColumnInput<'_>, family: TypeFamily) -> Option<TypeChoice> {
    let profile = subject.profile;
    let only = |class: StorageClass| profile.count(class) == profile.values();
    let numbers = profile.integers + profile.reals == profile.values();
    match family {
        TypeFamily::Int if only(StorageClass::Integer) => {
            Some(with_advice(subject, whole(subject, "all values are integers")))
        }
        TypeFamily::Bool => boolean(subject),
        TypeFamily::Float if numbers && profile.integers_beyond_double == 0 => {
            Some(subject.choice(PgType::Double, Conversion::Double, "all values are doubles, bit for bit"))
        }
        TypeFamily::Decimal(declared) if numbers => Some(decimal(subject, declared)),
        TypeFamily::Text(length) if profile.blobs == 0 && profile.texts_not_storable() == 0 => {
            Some(text(subject, length))
        }
        TypeFamily::Blob if only(StorageClass::Blob) => {
            Some(subject.choice(PgType::Bytea, Conversion::Bytea, "all values are blobs"))
        }
        TypeFamily::Blob if !numbers && profile.classes().len() > 1 => Some(blob_and_others(subject)),
        TypeFamily::Date if only(StorageClass::Text) && profile.shape(word::DATE) == profile.texts => {
            Some(subject.choice(PgType::Date, Conversion::Date, "all values are texts `YYYY-MM-DD`"))
        }
        TypeFamily::Date | TypeFamily::Timestamp { .. } => timestamp(subject),
        TypeFamily::Time if only(StorageClass::Text) && profile.shape(word::TIME) == profile.texts => {
            let choice = subject.choice(PgType::Time, Conversion::Time, "all values are texts `HH:MM[:SS[.f]]`");
            Some(respelled(subject, choice, profile.texts_respelled))
        }
        TypeFamily::Uuid => uuid(subject),
        TypeFamily::Json if profile.blobs == 0 => json(subject),
        TypeFamily::Json if only(StorageClass::Blob) => sqlite_jsonb(subject),
        TypeFamily::Vector(encoding, length) => vector(subject, encoding, length),
        TypeFamily::QuantisedVector => quantised(subject),
        TypeFamily::Any => Some(general(subject, family)),
        TypeFamily::Int
        | TypeFamily::Float
        | TypeFamily::Decimal(_)
        | TypeFamily::Text(_)
        | TypeFamily::Blob
        | TypeFamily::Time
        | TypeFamily::Json => None,
    }
}

/// The type by the values alone.
pub(super) fn general(subject: &ColumnInput<'_>, family: TypeFamily) -> TypeChoice {
    let profile = subject.profile;
    let is_vector = matches!(family, TypeFamily::Vector(..) | TypeFamily::QuantisedVector);
    let mostly_blobs = profile.blobs * 2 > profile.values() || (is_vector && profile.blobs > 0);
    let bytes_are_fine = matches!(family, TypeFamily::Any | TypeFamily::Blob) || mostly_blobs;
    let counts_from_2001 = subject.core_data && matches!(family, TypeFamily::Date | TypeFamily::Timestamp { .. });
    let mut choice = match (profile.integers + profile.reals, profile.texts, profile.blobs) {
        _ if profile.texts_not_storable() > 0 && bytes_are_fine => subject.choice(
            PgType::Bytea,
            Conversion::Bytea,
            "texts among the values that PostgreSQL can't hold as text",
        ),
        (_, 0, 0) if profile.reals == 0 && !counts_from_2001 => whole(subject, "all values are integers"),
        (_, 0, 0) if profile.integers_beyond_double == 0 => {
            subject.choice(PgType::Double, Conversion::Double, "all values are numbers that a double holds exactly")
        }
        (_, 0, 0) => subject.choice(
            PgType::Numeric(None),
            Conversion::Numeric,
            "reals beside integers beyond 2^53, which no double holds",
        ),
        (0, 0, _) => subject.choice(PgType::Bytea, Conversion::Bytea, "all values are blobs"),
        (_, _, blobs) if blobs > 0 && mostly_blobs => {
            subject.choice(PgType::Bytea, Conversion::Bytea, "most values are blobs")
        }
        (0, _, 0) => subject.choice(PgType::Text, text_conversion(subject.role), "all values are texts"),
        (_, _, _) => {
            subject.choice(PgType::Text, text_conversion(subject.role), "values of several classes, written as text")
        }
    };
    if profile.texts_not_storable() > 0 && (choice.pg_type == PgType::Text || subject.bad_text.is_some()) {
        choice = invalid_text::choose(subject);
        if profile.classes().len() > 1 {
            choice.findings.push(widened(subject, family, &choice.pg_type));
        }
    } else if family != TypeFamily::Any || profile.classes().len() > 1 || profile.texts_not_storable() > 0 {
        choice.findings.push(widened(subject, family, &choice.pg_type));
    }
    choice
}

/// The type of a column without values, by its family alone.
pub(super) fn empty(subject: &ColumnInput<'_>, family: TypeFamily) -> TypeChoice {
    let text = text_conversion(subject.role);
    let (pg_type, conversion) = match family {
        TypeFamily::Int => (PgType::BigInt, Conversion::Integer),
        TypeFamily::Bool => (PgType::Boolean, Conversion::IntegerBoolean),
        TypeFamily::Float | TypeFamily::QuantisedVector => (PgType::Double, Conversion::Double),
        TypeFamily::Decimal(declared) => (PgType::Numeric(declared), Conversion::Numeric),
        TypeFamily::Text(length) => (length.map_or(PgType::Text, PgType::Varchar), text),
        TypeFamily::Blob => (PgType::Bytea, Conversion::Bytea),
        TypeFamily::Date => (PgType::Date, Conversion::Date),
        TypeFamily::Time => (PgType::Time, Conversion::Time),
        TypeFamily::Timestamp { zoned: false } => (PgType::Timestamp, Conversion::Timestamp),
        TypeFamily::Timestamp { zoned: true } => (PgType::TimestampTz, Conversion::TimestampTz),
        TypeFamily::Uuid => (PgType::Uuid, Conversion::UuidText),
        TypeFamily::Json if subject.role == ColumnRole::Key => (PgType::Text, text),
        TypeFamily::Json => (PgType::Jsonb, Conversion::Json),
        TypeFamily::Vector(..) if subject.role == ColumnRole::Key => (PgType::Bytea, Conversion::Bytea),
        TypeFamily::Vector(encoding, length) => {
            (vector_types(encoding, length, subject.vector_extension), Conversion::Vector { encoding })
        }
        TypeFamily::Any => match subject.column.affinity {
            Affinity::Integer => (PgType::BigInt, Conversion::Integer),
            Affinity::Real => (PgType::Double, Conversion::Double),
            Affinity::Numeric => (PgType::Numeric(None), Conversion::Numeric),
            Affinity::Text | Affinity::Blob => (PgType::Text, text),
        },
    };
    let mut choice = subject.choice(pg_type, conversion, "no values: the declared type decides");
    note_missing_extension(subject, family, &mut choice);
    choice
}

fn whole(subject: &ColumnInput<'_>, rule: &str) -> TypeChoice {
    subject.choice(PgType::BigInt, Conversion::Integer, rule)
}

/// What an integer column might mean, which nothing in the file proves.
fn with_advice(subject: &ColumnInput<'_>, mut choice: TypeChoice) -> TypeChoice {
    if subject.role == ColumnRole::Key {
        return choice;
    }
    let name = subject.column.name.as_str();
    let range = subject.profile.integer_range;
    let advice = if range == Some((0, 1)) {
        Some(("all values are 0 or 1".to_owned(), subject.typed("type = \"boolean\"")))
    } else if name_means_time(name) {
        range.and_then(epoch_unit).map(|unit| {
            let (word, text) = unit_words(unit);
            let setting = subject.typed(&format!("type = \"timestamptz\", from = \"{word}\""));
            (format!("all values could be {text} since 1970"), setting)
        })
    } else {
        None
    };
    if let Some((message, setting)) = advice {
        let message = format!("{message}; the column stays {}", choice.pg_type);
        choice.findings.push(subject.finding(FindingCode::Advice, Severity::Info, message).choice(setting));
    }
    choice
}

pub(crate) fn name_means_time(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["_at", "_on", "_ts", "_time", "_date", "timestamp"].iter().any(|end| lower.ends_with(end))
        || ["At", "Time", "Date"].iter().any(|end| name.ends_with(end))
        || matches!(lower.as_str(), "ts" | "time" | "date" | "created" | "updated" | "modified" | "expires")
}

const fn unit_words(unit: EpochUnit) -> (&'static str, &'static str) {
    match unit {
        EpochUnit::Seconds => ("unix_s", "seconds"),
        EpochUnit::Milliseconds => ("unix_ms", "milliseconds"),
        EpochUnit::Microseconds => ("unix_us", "microseconds"),
    }
}

fn boolean(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    if profile.integers == profile.values()
        && profile.integer_range.is_some_and(|(least, most)| least >= 0 && most <= 1)
    {
        return Some(subject.choice(PgType::Boolean, Conversion::IntegerBoolean, "all values are 0 or 1"));
    }
    let homogeneous = [word::LETTER, word::TRUTH].into_iter().find(|shape| profile.shape(shape) == profile.texts);
    let shape = homogeneous.filter(|_| profile.texts == profile.values())?;
    let mut choice =
        subject.choice(PgType::Boolean, Conversion::WordBoolean, format!("all values are the texts {shape}"));
    let message = format!("{} {shape} become boolean", counted(profile.texts, "text"));
    choice.findings.push(
        subject
            .finding(FindingCode::SpellingNormalised, Severity::Info, message)
            .counting(profile.texts)
            .choice(subject.typed("type = \"text\"")),
    );
    Some(choice)
}

fn decimal(subject: &ColumnInput<'_>, declared: Option<(u16, u16)>) -> TypeChoice {
    let profile = subject.profile;
    let (whole_digits, fraction_digits) = profile.decimal_digits;
    let Some((precision, scale)) = declared else {
        return subject.choice(
            PgType::Numeric(None),
            Conversion::Numeric,
            "all values are numbers; no precision is declared",
        );
    };
    if profile.reals_infinite == 0 && whole_digits <= precision - scale && fraction_digits <= scale {
        let rule = format!("all values fit the declared ({precision},{scale}) without rounding");
        return subject.choice(PgType::Numeric(declared), Conversion::Numeric, rule);
    }
    let mut choice =
        subject.choice(PgType::Numeric(None), Conversion::Numeric, "values that the declared precision would round");
    let found = if profile.reals_infinite > 0 {
        format!("{} infinite", counted(profile.reals_infinite, "value"))
    } else {
        format!("values have up to {whole_digits} digits before and {fraction_digits} after the point")
    };
    let message = format!("declared ({precision},{scale}), but {found}: numeric without precision keeps them");
    let mut finding = subject.finding(FindingCode::TypeWidened, Severity::Warning, message);
    if profile.reals_infinite == 0 && whole_digits + fraction_digits <= 1000 {
        let enough = format!("type = \"numeric({},{fraction_digits})\"", (whole_digits + fraction_digits).max(1));
        finding = finding.choice(subject.typed(&enough));
    }
    choice.findings.push(finding);
    choice
}

fn text(subject: &ColumnInput<'_>, length: Option<u32>) -> TypeChoice {
    let profile = subject.profile;
    let conversion = text_conversion(subject.role);
    let numbers = profile.integers + profile.reals;
    let fits = numbers == 0 && profile.texts_over_declared == 0;
    let mut choice = match length {
        Some(length) if fits => {
            let rule = format!("all values are texts of at most {length} characters");
            subject.choice(PgType::Varchar(length), conversion, rule)
        }
        Some(_) => subject.choice(PgType::Text, conversion, "texts beyond the declared length"),
        None => subject.choice(PgType::Text, conversion, "all values are texts"),
    };
    if let Some(length) = length.filter(|_| profile.texts_over_declared > 0) {
        let message = format!(
            "declared {length} characters, but {} longer (up to {}): text keeps them",
            is_or_are(profile.texts_over_declared, "text"),
            profile.text_longest.0
        );
        choice.findings.push(
            subject.finding(FindingCode::TypeWidened, Severity::Warning, message).counting(profile.texts_over_declared),
        );
    } else if numbers > 0 {
        choice.findings.push(widened(subject, TypeFamily::Text(None), &choice.pg_type));
    }
    choice
}

fn blob_and_others(subject: &ColumnInput<'_>) -> TypeChoice {
    let mut choice =
        subject.choice(PgType::Bytea, Conversion::Bytea, "blobs and values of other classes, all as bytes");
    choice.findings.push(widened(subject, TypeFamily::Blob, &choice.pg_type));
    choice
}

fn timestamp(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    if subject.core_data && profile.integers > 0 && profile.texts + profile.blobs == 0 {
        return None;
    }
    if profile.integers == profile.values() {
        return Some(epoch(subject));
    }
    if profile.reals == profile.values() {
        let mut choice = subject.choice(
            PgType::Double,
            Conversion::Double,
            "all values are reals, whose unit nothing in the file shows",
        );
        choice.findings.push(widened(subject, TypeFamily::Timestamp { zoned: false }, &PgType::Double));
        return Some(choice);
    }
    if profile.texts != profile.values() {
        return None;
    }
    let (dates, naive, zoned) = (profile.shape(word::DATE), profile.shape(word::TIMESTAMP), profile.shape(word::ZONED));
    if dates + naive == profile.texts {
        let choice =
            subject.choice(PgType::Timestamp, Conversion::Timestamp, "all values are exact timestamps without zone");
        return Some(respelled(subject, choice, dates + profile.texts_respelled));
    }
    let [offset] = profile.offsets[..] else { return None };
    if zoned != profile.texts {
        return None;
    }
    let choice = subject.choice(
        PgType::TimestampTz,
        Conversion::TimestampTz,
        "all values are exact timestamps with one and the same offset",
    );
    let mut choice = respelled(subject, choice, zoned);
    if offset != 0 {
        let sign = if offset < 0 { '-' } else { '+' };
        let message = format!(
            "all values have the offset {sign}{:02}:{:02}; timestamptz keeps the instant and not the offset",
            offset.abs() / 60,
            offset.abs() % 60
        );
        choice.findings.push(
            subject
                .finding(FindingCode::SpellingNormalised, Severity::Info, message)
                .counting(zoned)
                .choice(subject.typed("type = \"text\"")),
        );
    }
    Some(choice)
}

fn epoch(subject: &ColumnInput<'_>) -> TypeChoice {
    let Some(unit) = subject.profile.integer_range.and_then(epoch_unit) else {
        let mut choice = whole(subject, "integers that don't all lie in the window of one unit of time");
        choice.findings.push(widened(subject, TypeFamily::Timestamp { zoned: false }, &PgType::BigInt));
        return choice;
    };
    let (_, text) = unit_words(unit);
    let mut choice = subject.choice(
        PgType::TimestampTz,
        Conversion::Epoch { unit },
        format!("all values are integers in the window of {text} since 1970"),
    );
    let message = format!("integers are read as {text} since 1970-01-01 UTC, because all lie in that unit's window");
    choice.findings.push(
        subject
            .finding(FindingCode::EpochAssumed, Severity::Info, message)
            .counting(subject.profile.integers)
            .choice(subject.typed("type = \"bigint\"")),
    );
    choice
}

/// Notes how many texts PostgreSQL prints in another way; the value is the same.
fn respelled(subject: &ColumnInput<'_>, mut choice: TypeChoice, count: u64) -> TypeChoice {
    if count > 0 {
        let message = format!("{} by PostgreSQL in another spelling of the same value", printed(count));
        choice.findings.push(
            subject
                .finding(FindingCode::SpellingNormalised, Severity::Info, message)
                .counting(count)
                .choice(subject.typed("type = \"text\"")),
        );
    }
    choice
}

fn printed(count: u64) -> String {
    format!("{} printed", is_or_are(count, "text"))
}

fn uuid(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    if profile.texts == profile.values() && profile.shape(word::UUID) == profile.texts {
        let choice = subject.choice(PgType::Uuid, Conversion::UuidText, "all values are canonical UUID texts");
        return Some(respelled(subject, choice, profile.texts_respelled));
    }
    if profile.blobs != profile.values() {
        return None;
    }
    let (network, v4) = (profile.shape(word::UUID_BYTES), profile.shape(word::UUID_BYTES_V4));
    let swapped = profile.shape(word::UUID_BYTES_SWAPPED);
    let all = |count: u64| count == profile.blobs;
    if all(network) && (!all(swapped) || all(v4)) {
        let rule = "all values are 16 bytes with version and variant where UUIDs have them";
        return Some(subject.choice(PgType::Uuid, Conversion::UuidBlob, rule));
    }
    all(swapped).then(|| {
        let mut choice =
            subject.choice(PgType::Bytea, Conversion::Bytea, "16 bytes that look like UUIDs in .NET's byte order");
        let message = "the values look like UUIDs in .NET's mixed byte order; as `uuid` they would be other UUIDs";
        choice.findings.push(
            subject
                .finding(FindingCode::TypeWidened, Severity::Warning, message)
                .counting(profile.blobs)
                .choice(subject.typed("from = \"guid_dotnet\"")),
        );
        choice
    })
}

fn json(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    let (safe, unsafe_for_jsonb) = (profile.shape(word::JSONB), profile.shape(word::JSON));
    if safe + unsafe_for_jsonb != profile.texts || profile.reals_infinite > 0 || subject.role == ColumnRole::Key {
        return None;
    }
    if unsafe_for_jsonb == 0 {
        let mut choice = subject.choice(PgType::Jsonb, Conversion::Json, "all values are JSON that jsonb keeps");
        if profile.texts > 0 {
            let message = "jsonb keeps neither spacing nor the order of keys; the values are the same";
            choice.findings.push(
                subject
                    .finding(FindingCode::SpellingNormalised, Severity::Info, message)
                    .counting(profile.texts)
                    .choice(subject.typed("type = \"json\"")),
            );
        }
        return Some(choice);
    }
    // `json` has no order, so that no index can be made on it.
    (subject.role == ColumnRole::Plain).then(|| {
        let mut choice =
            subject.choice(PgType::Json, Conversion::Json, "all values are JSON, some of which jsonb would change");
        let message = format!(
            "{} duplicate keys, escapes or numbers that jsonb would change or refuse: json keeps them",
            if unsafe_for_jsonb == 1 { "1 text has".to_owned() } else { format!("{unsafe_for_jsonb} texts have") }
        );
        choice
            .findings
            .push(subject.finding(FindingCode::SpellingNormalised, Severity::Info, message).counting(unsafe_for_jsonb));
        choice
    })
}

/// Binary JSON of SQLite's own, and a declared type that says JSON: content alone proves nothing, because short blobs
/// often look like it.
fn sqlite_jsonb(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    let (safe, for_json_only) = (profile.shape(word::SQLITE_JSONB), profile.shape(word::SQLITE_JSON));
    let pg_type = if for_json_only == 0 { PgType::Jsonb } else { PgType::Json };
    let fits = safe + for_json_only == profile.blobs && subject.role != ColumnRole::Key;
    if !fits || (pg_type == PgType::Json && subject.role != ColumnRole::Plain) {
        return None;
    }
    let rule =
        format!("all values are SQLite's binary JSON, read as the text that SQLite's json() makes, to {pg_type}");
    let mut choice = subject.choice(pg_type.clone(), Conversion::SqliteJsonb, rule);
    let message = format!(
        "{} of SQLite's binary JSON become {pg_type}: the documents are the same, the bytes are not kept",
        counted(profile.blobs, "blob")
    );
    choice.findings.push(
        subject
            .finding(FindingCode::SpellingNormalised, Severity::Info, message)
            .counting(profile.blobs)
            .choice(subject.typed("type = \"bytea\"")),
    );
    Some(choice)
}

fn vector(subject: &ColumnInput<'_>, encoding: VectorEncoding, length: u32) -> Option<TypeChoice> {
    let profile = subject.profile;
    if profile.integers + profile.reals == profile.values() {
        return natural(subject, TypeFamily::Float);
    }
    let fits = profile.blobs == profile.values() && profile.shape(word::VECTOR) == profile.blobs;
    (fits && subject.role != ColumnRole::Key).then(|| {
        let pg_type = vector_types(encoding, length, subject.vector_extension);
        let rule = format!("all values are vectors of {length} finite numbers");
        let mut choice = subject.choice(pg_type, Conversion::Vector { encoding }, rule);
        note_missing_extension(subject, TypeFamily::Vector(encoding, length), &mut choice);
        choice
    })
}

fn note_missing_extension(subject: &ColumnInput<'_>, family: TypeFamily, choice: &mut TypeChoice) {
    let TypeFamily::Vector(encoding, length) = family else { return };
    let with_extension = vector_types(encoding, length, true);
    if with_extension.needs_pgvector() && !subject.vector_extension {
        let message =
            format!("without the extension pgvector the column is {} instead of {with_extension}", choice.pg_type);
        choice.findings.push(subject.finding(FindingCode::VectorExtensionMissing, Severity::Info, message));
    }
}

fn quantised(subject: &ColumnInput<'_>) -> Option<TypeChoice> {
    let profile = subject.profile;
    if profile.integers + profile.reals == profile.values() {
        return natural(subject, TypeFamily::Float);
    }
    (profile.blobs == profile.values()).then(|| {
        let mut choice = subject.choice(
            PgType::Bytea,
            Conversion::Bytea,
            "8-bit quantised vectors, for which PostgreSQL has no type",
        );
        let message = "8-bit quantised vectors stay bytes; PostgreSQL has no type for them";
        choice
            .findings
            .push(subject.finding(FindingCode::TypeWidened, Severity::Warning, message).counting(profile.blobs));
        choice
    })
}
