//! Defines how a cell of SQLite becomes a value of PostgreSQL: the contract between loading and verifying.

use serde::{Deserialize, Serialize};

use super::{cell::StorageClass, existing_reading::ExistingReading};

pub use super::time_encoding::TimeEncoding;

/// What the configuration says about cells that the conversion doesn't take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exceptions {
    /// An empty TEXT becomes NULL, before any other rule applies, and goes to the off-type table.
    pub empty_as_null: bool,
    /// A cell that the conversion doesn't take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_type: Option<OffType>,
}

impl Exceptions {
    /// Whether every cell has to fit.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        !self.empty_as_null && self.off_type.is_none()
    }
}

/// What becomes of a cell that the conversion doesn't take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OffType {
    /// Its row is not loaded, but written to `convert/rejects.jsonl`.
    Reject,
    /// It becomes NULL, and its class and bytes go to the off-type table.
    Null,
}

/// How a non-NULL cell becomes a PostgreSQL value. NULL is NULL everywhere.
///
/// A cell that a conversion doesn't name, or whose value the type can't hold exactly, is what `Exceptions` speaks of;
/// without exceptions it is an error at load time (a bug: the plan has seen every cell).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Conversion {
    /// INTEGER to `smallint`, `integer`, `bigint`.
    Integer,
    /// TEXT that is a 64-bit integer as SQLite prints it (`-?[1-9][0-9]*` or `0`), and INTEGER, to `bigint`.
    IntegerText,
    /// INTEGER 0 or 1 to `boolean`.
    IntegerBoolean,
    /// TEXT `t`, `f`, `true`, `false` in any ASCII case to `boolean`.
    WordBoolean,
    /// REAL bit for bit, INTEGER within +-2^53 exactly, to `double precision`.
    Double,
    /// INTEGER, and REAL by its shortest decimal that reads back as the same double, to `numeric`. In plain `numeric`
    /// the display scale is the number of fraction digits (0 for whole numbers); in `numeric(p,s)` it is `s`.
    /// Infinities only to `numeric` without precision. `-0.0` becomes `0`, with an off-type entry if the column has
    /// one.
    Numeric,
    /// TEXT as is; INTEGER in decimal; REAL as `rules::decimal::real_text` defines; BLOB as said. In a column with a
    /// off-type table a TEXT that PostgreSQL can't hold is changed: each NUL, and each maximal subpart of an ill-formed
    /// sequence (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"), becomes U+FFFD.
    Text {
        /// How a BLOB is written.
        blobs: BlobText,
    },
    /// BLOB as is; TEXT as its bytes; INTEGER and REAL as the bytes of the text that `Text` would write.
    Bytea,
    /// TEXT `YYYY-MM-DD` to `date`.
    Date,
    /// TEXT `HH:MM[:SS[.f]]` to `time`.
    Time,
    /// TEXT `YYYY-MM-DD[( |T)HH:MM[:SS[.f]]]` without zone to `timestamp`.
    Timestamp,
    /// The same with `Z` or an offset to `timestamptz`; without one it is read as UTC.
    TimestampTz,
    /// INTEGER as time since 1970-01-01 UTC to `timestamptz`, `timestamp` or `date`.
    Epoch {
        /// The unit of the integer.
        unit: EpochUnit,
    },
    /// TEXT of 32 hexadecimal digits in the canonical 8-4-4-4-12 form, any case, to `uuid`.
    UuidText,
    /// BLOB of 16 bytes, network order, to `uuid`.
    UuidBlob,
    /// TEXT that is JSON (RFC 8259) to `json` or `jsonb`; INTEGER and REAL as JSON numbers.
    Json,
    /// INTEGER 0 or 1, and TEXT `t`, `true`, `y`, `yes`, `on`, `1`, `f`, `false`, `n`, `no`, `off`, `0` in any ASCII
    /// case to `boolean`.
    AnyBoolean,
    /// TEXT `2000-01-01( |T)HH:MM[:SS[.f]]`, or without the date, to `time`: what Rails writes.
    RailsTime,
    /// BLOB of 16 bytes as .NET's `Guid.ToByteArray` gives them (the first three fields little-endian) to `uuid`.
    UuidDotnet,
    /// INTEGER or REAL as a count of time, to `timestamptz`, `timestamp` or `date`.
    #[serde(rename = "reckoned")]
    Computed {
        /// What is counted.
        by: TimeEncoding,
    },
    /// INTEGER as `Epoch` reads it, within the unit's window (see `rules::type_choice::value_check::epoch_unit`), and
    /// TEXT as `TimestampTz` reads it, to `timestamptz`.
    #[serde(rename = "any-moment")]
    AnyTimestamp {
        /// The unit of the integers.
        unit: EpochUnit,
    },
    /// BLOB that is SQLite's JSONB (SQLite, "The JSONB Format") to `json` or `jsonb`, as the text that SQLite's
    /// `json()` makes.
    SqliteJsonb,
    /// Any cell that is a value of the type by what the type means: docs/conversion-rules.md, section 9.2. What the
    /// type has no room for is cut or rounded, unless the reading is exact.
    #[serde(rename = "given")]
    ExistingType(ExistingReading),
    /// The source has no such column: nothing is loaded, PostgreSQL puts the default, or NULL.
    Absent,
    /// libSQL vector BLOB to `vector(n)`, `halfvec(n)`, `real[]`, `double precision[]` or `bit(n)`.
    Vector {
        /// The encoding of the blob.
        encoding: VectorEncoding,
    },
}

/// What is to know about a conversion besides what it does to a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The storage class that it is made for.
    pub class: StorageClass,
    /// Whether a cell of that class stays the same value in the same type.
    pub keeps_value_and_type: bool,
    /// When the PostgreSQL value no longer shows the storage class of its cell.
    pub class_loss: ClassLoss,
    /// When two different cells can become equal values.
    pub merging: Merging,
    /// What of a value's spelling is lost, in words.
    pub respelling: Option<&'static str>,
}

/// When a PostgreSQL value no longer shows the storage class of its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassLoss {
    /// Never.
    Never,
    /// In a column of more than one class.
    SeveralClasses,
    /// In a column of whole REALs and INTEGERs.
    WholeReals,
    /// The same, and a REAL's minus sign of zero is lost, too.
    NumericReals,
    /// In a column of BLOBs and others, or of numbers and texts that look like numbers.
    Texts,
    /// As `WholeReals`, or in a column of numbers and texts that look like numbers.
    JsonNumbers,
}

/// When two different cells can become equal PostgreSQL values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// Never.
    Never,
    /// When a value has several spellings.
    Spellings,
    /// When a timestamp has several spellings.
    TimestampSpellings,
    /// In a column of more than one class.
    SeveralClasses,
    /// Where digits are cut to the shortest: REALs beside INTEGERs that no double holds.
    ShortestDigits,
}

impl Conversion {
    /// Whether a TEXT that PostgreSQL can't hold is replaced in a column that records off-type cells.
    #[must_use]
    pub const fn replaces_text(self) -> bool {
        match self {
            Self::Text { .. } => true,
            Self::ExistingType(reading) => reading.replaces_text,
            _ => false,
        }
    }

    /// What is to know about it.
    #[must_use]
    pub const fn descriptor(self) -> Descriptor {
        use {ClassLoss as Loss, StorageClass as Class};
        const NUMBERS: Option<&str> = Some("that the times were numbers");
        const TIMESTAMPS: Option<&str> = Some("the spelling and the offset of the timestamps");
        const TRUTH: Option<&str> = Some("the spelling of true and false");
        const DIGITS: Option<&str> = Some("the spelling of numbers (1.5 may be shown as 1.50)");
        const JSON: Option<&str> = Some("spacing and the order of keys");
        const BINARY_JSON: Option<&str> = Some("the bytes of SQLite's binary JSON");
        let (class, class_loss, merging, respelling) = match self {
            Self::Integer | Self::IntegerBoolean => (Class::Integer, Loss::Never, Merging::Never, None),
            Self::AnyBoolean => (Class::Integer, Loss::SeveralClasses, Merging::Spellings, TRUTH),
            Self::AnyTimestamp { .. } => (Class::Integer, Loss::SeveralClasses, Merging::Spellings, TIMESTAMPS),
            Self::Epoch { .. } => (Class::Integer, Loss::Never, Merging::Never, NUMBERS),
            Self::Double => (Class::Real, Loss::WholeReals, Merging::Never, None),
            Self::Numeric => (Class::Real, Loss::NumericReals, Merging::ShortestDigits, DIGITS),
            Self::Computed { .. } => (Class::Real, Loss::WholeReals, Merging::Never, NUMBERS),
            Self::WordBoolean => (Class::Text, Loss::Never, Merging::Spellings, TRUTH),
            Self::IntegerText => (Class::Text, Loss::SeveralClasses, Merging::SeveralClasses, None),
            Self::Text { .. } => (Class::Text, Loss::Texts, Merging::SeveralClasses, None),
            Self::Date | Self::ExistingType(_) => (Class::Text, Loss::Never, Merging::Never, None),
            Self::Time | Self::RailsTime | Self::UuidText => (Class::Text, Loss::Never, Merging::Spellings, None),
            Self::Timestamp => (Class::Text, Loss::Never, Merging::TimestampSpellings, None),
            Self::TimestampTz => (Class::Text, Loss::Never, Merging::Spellings, TIMESTAMPS),
            Self::Json => (Class::Text, Loss::JsonNumbers, Merging::Never, JSON),
            Self::Bytea => (Class::Blob, Loss::SeveralClasses, Merging::SeveralClasses, None),
            Self::SqliteJsonb => (Class::Blob, Loss::Never, Merging::Never, BINARY_JSON),
            Self::UuidBlob | Self::UuidDotnet | Self::Vector { .. } => (Class::Blob, Loss::Never, Merging::Never, None),
            Self::Absent => (Class::Null, Loss::Never, Merging::Never, None),
        };
        let keeps_value_and_type = matches!(self, Self::Integer | Self::Double | Self::Text { .. } | Self::Bytea);
        Descriptor { class, keeps_value_and_type, class_loss, merging, respelling }
    }
}

/// How a BLOB is written in a text column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlobText {
    /// `\x` and lower-case hexadecimal digits.
    Hex,
    /// The text itself if it is valid UTF-8 without NUL and doesn't begin with `\x`, else `\x` and hexadecimal digits.
    /// So no two BLOBs become the same text.
    Utf8OrHex,
}

/// The unit of an epoch integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochUnit {
    /// Seconds.
    #[serde(rename = "unix_s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "unix_ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "unix_us")]
    Microseconds,
}

impl EpochUnit {
    /// How many microseconds one unit has.
    #[must_use]
    pub const fn microseconds(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1,
        }
    }
}

/// libSQL's vector encodings (libsql `vectorInt.h`); numbers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorEncoding {
    /// n float32, optionally followed by the byte 1.
    F32,
    /// n float64 followed by the byte 2.
    F64,
    /// n float16 followed by the byte 5.
    F16,
    /// n bfloat16 followed by the byte 6.
    Fb16,
    /// Bits, least significant first, optional padding, count of trailing bits, the byte 3.
    F1Bit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_reads_back_its_json() {
        for conversion in [
            Conversion::Text { blobs: BlobText::Utf8OrHex },
            Conversion::Epoch { unit: EpochUnit::Milliseconds },
            Conversion::Computed { by: TimeEncoding::CoreData },
            Conversion::SqliteJsonb,
            Conversion::ExistingType(ExistingReading {
                count: Some(TimeEncoding::UnixMs),
                ..ExistingReading::default()
            }),
            Conversion::Vector { encoding: VectorEncoding::F1Bit },
        ] {
            let json = serde_json::to_string(&conversion).unwrap();
            assert_eq!(serde_json::from_str::<Conversion>(&json).unwrap(), conversion);
        }
    }
}
