//! Maps a declared type name to a family of types (docs/conversion-rules.md, section 1.3). The family decides which
//! type rules are tried first; the values decide which one applies.

use crate::{
    model::{conversion_plan::VectorEncoding, source_schema::Affinity},
    rules::value_shape::{BlobShape, TextShape, WantedShapes},
};

/// A family of declared types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeFamily {
    /// Whole numbers.
    Int,
    /// Truth values.
    Bool,
    /// Binary floating point.
    Float,
    /// Decimal numbers, with precision and scale where both are declared as PostgreSQL takes them.
    Decimal(Option<(u16, u16)>),
    /// Character strings, with the declared length.
    Text(Option<u32>),
    /// Bytes.
    Blob,
    /// Dates.
    Date,
    /// Times of day.
    Time,
    /// Dates with times; whether the name promises a zone.
    Timestamp {
        /// `timestamptz` and its synonyms.
        zoned: bool,
    },
    /// UUIDs.
    Uuid,
    /// JSON.
    Json,
    /// libSQL vectors that PostgreSQL has a type for.
    Vector(VectorEncoding, u32),
    /// libSQL's 8-bit quantised vectors, and names such as `float8(53)` that mean numbers elsewhere.
    QuantisedVector,
    /// No promise.
    Any,
}

impl TypeFamily {
    /// What the profile of a column of this family has to look for.
    #[must_use]
    pub const fn wanted(self, affinity: Affinity) -> WantedShapes {
        let text = match self {
            Self::Date | Self::Timestamp { .. } => Some(TextShape::Stamp),
            Self::Time => Some(TextShape::Clock),
            Self::Uuid => Some(TextShape::Uuid),
            Self::Json => Some(TextShape::Json),
            Self::Bool => Some(TextShape::Truth),
            _ => None,
        };
        let blob = match self {
            Self::Uuid => Some(BlobShape::Uuid),
            Self::Json => Some(BlobShape::Jsonb),
            Self::Vector(encoding, length) => Some(BlobShape::Vector(encoding, length)),
            _ => None,
        };
        let characters = match self {
            Self::Text(length) => length,
            _ => None,
        };
        let number_texts = !matches!(affinity, Affinity::Text);
        let decimal_digits = matches!(self, Self::Decimal(Some(_)));
        WantedShapes { text, blob, decimal_digits, number_texts, whole_texts: false, characters }
    }
}

/// A declared type taken apart: lower case, words squeezed, decorations dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    /// The words without arguments, such as `varchar`.
    pub words: String,
    /// The numbers in parentheses.
    pub arguments: Vec<u32>,
}

/// Words that say how a type is stored or shown, not which values it has.
const DECORATIONS: [&str; 7] =
    ["unsigned", "signed", "varying", "native", "zerofill", "auto_increment", "autoincrement"];

/// Takes a declared type apart.
#[must_use]
pub fn take_apart(declared: &str) -> DeclaredType {
    let lower = declared.to_ascii_lowercase();
    let (before, rest) = lower.split_once('(').unwrap_or((&lower, ""));
    let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
    let words = before
        .split_whitespace()
        .chain(after.split_whitespace())
        .filter(|word| !DECORATIONS.contains(word))
        .collect::<Vec<_>>()
        .join(" ");
    // A sign or a point makes it nothing that PostgreSQL would take.
    let number = |argument: &str| Some(argument.trim()).filter(|digits| !digits.starts_with('+'))?.parse().ok();
    let arguments = inside.split(',').map(number).collect::<Option<Vec<u32>>>().unwrap_or_default();
    DeclaredType { words, arguments }
}

/// A declared type as the configuration's `[types]` names it: lower case, whitespace squeezed.
#[must_use]
pub fn squeezed(declared: &str) -> String {
    declared.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The family of a declared type.
#[must_use]
pub fn of(declared: &str, affinity: Affinity) -> TypeFamily {
    let DeclaredType { words, arguments } = take_apart(declared);
    vector(&words, &arguments)
        .or_else(|| by_name(&words, &arguments))
        .unwrap_or_else(|| by_affinity(&words, &arguments, affinity))
}

fn vector(words: &str, arguments: &[u32]) -> Option<TypeFamily> {
    let [length] = *arguments else { return None };
    let encoding = match words {
        "f32_blob" | "float32" => VectorEncoding::F32,
        "f64_blob" | "float64" => VectorEncoding::F64,
        "f16_blob" | "float16" => VectorEncoding::F16,
        "fb16_blob" | "floatb16" => VectorEncoding::Fb16,
        "f1bit_blob" | "float1bit" => VectorEncoding::F1Bit,
        "f8_blob" | "float8" => return Some(TypeFamily::QuantisedVector),
        _ => return None,
    };
    (1..=65_536).contains(&length).then_some(TypeFamily::Vector(encoding, length))
}

fn by_name(words: &str, arguments: &[u32]) -> Option<TypeFamily> {
    Some(match words {
        "any" => TypeFamily::Any,
        "bool" | "boolean" => TypeFamily::Bool,
        "bit" if matches!(arguments, [] | [1]) => TypeFamily::Bool,
        "tinyint" if arguments == [1] => TypeFamily::Bool,
        "date" => TypeFamily::Date,
        "time" | "timetz" | "time without time zone" | "time with time zone" => TypeFamily::Time,
        "datetime" | "datetime2" | "smalldatetime" | "timestamp" | "timestamp without time zone" => {
            TypeFamily::Timestamp { zoned: false }
        }
        "timestamptz" | "datetimeoffset" | "timestamp with time zone" => TypeFamily::Timestamp { zoned: true },
        "uuid" | "guid" | "uniqueidentifier" => TypeFamily::Uuid,
        "json" | "jsonb" | "text_json" => TypeFamily::Json,
        "numeric" | "decimal" | "dec" | "number" | "money" | "smallmoney" | "currency" => {
            TypeFamily::Decimal(precision(arguments))
        }
        "string" | "enum" | "xml" | "citext" => TypeFamily::Text(length(arguments)),
        "bytea" | "binary" | "varbinary" | "image" => TypeFamily::Blob,
        "long" | "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" => TypeFamily::Int,
        _ => return None,
    })
}

fn by_affinity(words: &str, arguments: &[u32], affinity: Affinity) -> TypeFamily {
    match affinity {
        Affinity::Integer if is_whole_number_name(words) => TypeFamily::Int,
        Affinity::Text => TypeFamily::Text(length(arguments)),
        Affinity::Real => TypeFamily::Float,
        Affinity::Blob if !words.is_empty() => TypeFamily::Blob,
        Affinity::Integer | Affinity::Blob | Affinity::Numeric => TypeFamily::Any,
    }
}

/// INTEGER affinity goes to every name with `INT` in it; `POINT`, `INTERVAL` or `INTEGER_OR_TEXT` promise no integers.
fn is_whole_number_name(words: &str) -> bool {
    words.split(' ').any(|word| {
        let stem = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        matches!(
            stem,
            "int"
                | "integer"
                | "tinyint"
                | "smallint"
                | "mediumint"
                | "bigint"
                | "hugeint"
                | "uint"
                | "usmallint"
                | "utinyint"
                | "ubigint"
                | "uinteger"
                | "longint"
                | "shortint"
                | "byteint"
        )
    })
}

/// Precision and scale if PostgreSQL 14 takes them: from 15 on a scale beyond the precision means something else.
fn precision(arguments: &[u32]) -> Option<(u16, u16)> {
    let (precision, scale) = match *arguments {
        [precision] => (precision, 0),
        [precision, scale] => (precision, scale),
        _ => return None,
    };
    let (precision, scale) = (u16::try_from(precision).ok()?, u16::try_from(scale).ok()?);
    ((1..=1000).contains(&precision) && scale <= precision).then_some((precision, scale))
}

fn length(arguments: &[u32]) -> Option<u32> {
    match *arguments {
        [length @ 1..=10_485_760] => Some(length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::affinity;

    #[test]
    fn declared_names_have_their_families() {
        for (declared, family) in [
            ("INTEGER", TypeFamily::Int),
            ("integer unsigned", TypeFamily::Int),
            ("UNSIGNED BIG INT", TypeFamily::Int),
            ("INT(11)", TypeFamily::Int),
            ("int8", TypeFamily::Int),
            ("SERIAL", TypeFamily::Int),
            ("LONG", TypeFamily::Int),
            ("short integer", TypeFamily::Int),
            ("TINYINT", TypeFamily::Int),
            ("TINYINT(1)", TypeFamily::Bool),
            ("BOOLEAN", TypeFamily::Bool),
            ("bit", TypeFamily::Bool),
            ("bit(8)", TypeFamily::Any),
            ("REAL", TypeFamily::Float),
            ("double  precision", TypeFamily::Float),
            ("FLOAT", TypeFamily::Float),
            ("float8(53)", TypeFamily::QuantisedVector),
            ("FLOAT32", TypeFamily::Float),
            ("decimal", TypeFamily::Decimal(None)),
            ("DECIMAL(10,2)", TypeFamily::Decimal(Some((10, 2)))),
            ("NUMERIC(20, 6)", TypeFamily::Decimal(Some((20, 6)))),
            ("numeric(8)", TypeFamily::Decimal(Some((8, 0)))),
            ("numeric(2,5)", TypeFamily::Decimal(None)),
            ("numeric(5,-2)", TypeFamily::Decimal(None)),
            ("VARCHAR(-1)", TypeFamily::Text(None)),
            ("numeric(2000,5)", TypeFamily::Decimal(None)),
            ("VARCHAR(255)", TypeFamily::Text(Some(255))),
            ("character varying(20)", TypeFamily::Text(Some(20))),
            ("NVARCHAR(0)", TypeFamily::Text(None)),
            ("TEXT", TypeFamily::Text(None)),
            ("STRING", TypeFamily::Text(None)),
            ("text nocase", TypeFamily::Text(None)),
            ("BLOB", TypeFamily::Blob),
            ("varbinary(16)", TypeFamily::Blob),
            ("DATE", TypeFamily::Date),
            ("time", TypeFamily::Time),
            ("datetime(6)", TypeFamily::Timestamp { zoned: false }),
            ("TIMESTAMP", TypeFamily::Timestamp { zoned: false }),
            ("timestamp with time zone", TypeFamily::Timestamp { zoned: true }),
            ("UUID", TypeFamily::Uuid),
            ("JSONB", TypeFamily::Json),
            ("text_json", TypeFamily::Json),
            ("F32_BLOB(3)", TypeFamily::Vector(VectorEncoding::F32, 3)),
            ("FLOATB16(4)", TypeFamily::Vector(VectorEncoding::Fb16, 4)),
            ("F8_BLOB(4)", TypeFamily::QuantisedVector),
            ("", TypeFamily::Any),
            ("ANY", TypeFamily::Any),
            ("POINT", TypeFamily::Any),
            ("INTEGER_OR_TEXT", TypeFamily::Any),
            ("INTERVAL", TypeFamily::Any),
            ("INET", TypeFamily::Any),
        ] {
            assert_eq!(of(declared, affinity::of(declared, false)), family, "{declared}");
        }
    }

    #[test]
    fn the_configurations_spelling_is_squeezed() {
        assert_eq!(squeezed(" VarChar  (20) "), "varchar (20)");
        assert_eq!(squeezed("UNSIGNED  BIG INT"), "unsigned big int");
    }
}
