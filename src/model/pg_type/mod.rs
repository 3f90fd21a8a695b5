//! Defines PostgreSQL's types as far as the plan uses them.

mod type_name;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::identifier::quote_ident;

/// A PostgreSQL column type. Written as PostgreSQL spells it, in `plan.json` too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PgType {
    /// `smallint`.
    SmallInt,
    /// `integer`.
    Integer,
    /// `bigint`.
    BigInt,
    /// `boolean`.
    Boolean,
    /// `double precision`.
    Double,
    /// `numeric` or `numeric(p,s)`, `1 <= p <= 1000`, `0 <= s <= p`.
    Numeric(Option<(u16, u16)>),
    /// `text`.
    Text,
    /// `varchar(n)`, n in characters.
    Varchar(u32),
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `time` without time zone.
    Time,
    /// `timestamp` without time zone.
    Timestamp,
    /// `timestamptz`.
    TimestampTz,
    /// `uuid`.
    Uuid,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// pgvector's `vector(n)`.
    Vector(u32),
    /// pgvector's `halfvec(n)`.
    HalfVec(u32),
    /// `real[]`.
    RealArray,
    /// `double precision[]`.
    DoubleArray,
    /// `bit(n)`.
    Bit(u32),
    /// An enumerated type that the existing schema makes, by its name.
    Enum(String),
    /// Any other type of the existing schema, as `format_type` writes it without schema.
    ExistingType(String),
}

impl PgType {
    /// Whether the type belongs to the pgvector extension.
    #[must_use]
    pub fn needs_pgvector(&self) -> bool {
        self.extension() == Some("vector")
    }

    /// The extension that has the type, if it is one that PostgreSQL or pgvector ships.
    #[must_use]
    pub fn extension(&self) -> Option<&'static str> {
        let Self::ExistingType(sql) = self else {
            return matches!(self, Self::Vector(_) | Self::HalfVec(_)).then_some("vector");
        };
        let word = sql.split(['(', '[']).next().unwrap_or(sql);
        match word.trim_end() {
            "vector" | "halfvec" | "sparsevec" => Some("vector"),
            "citext" => Some("citext"),
            "hstore" => Some("hstore"),
            "ltree" | "lquery" => Some("ltree"),
            "cube" => Some("cube"),
            _ => None,
        }
    }

    /// Whether the type holds character strings, to which collations apply.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_))
    }
}

impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Boolean => f.write_str("boolean"),
            Self::Double => f.write_str("double precision"),
            Self::Numeric(None) => f.write_str("numeric"),
            Self::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Varchar(n) => write!(f, "varchar({n})"),
            Self::Bytea => f.write_str("bytea"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::Jsonb => f.write_str("jsonb"),
            Self::Vector(n) => write!(f, "vector({n})"),
            Self::HalfVec(n) => write!(f, "halfvec({n})"),
            Self::RealArray => f.write_str("real[]"),
            Self::DoubleArray => f.write_str("double precision[]"),
            Self::Bit(n) => write!(f, "bit({n})"),
            Self::Enum(name) => f.write_str(&quote_ident(name)),
            Self::ExistingType(sql) => f.write_str(sql),
        }
    }
}

/// Reads the spellings that PostgreSQL and people use. The error is a sentence for the configuration's author.
impl FromStr for PgType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let squeezed = text.trim().to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(other) = type_name::canonical(&squeezed)? {
            return Ok(Self::ExistingType(other));
        }
        let Ok((word, arguments)) = split_arguments(&squeezed) else {
            return type_name::unlisted(&squeezed).map(Self::ExistingType);
        };
        let plain =
            |found: Self| if arguments.is_empty() { Ok(found) } else { Err(format!("`{word}` takes no argument")) };
        match word.as_str() {
            "smallint" | "int2" => plain(Self::SmallInt),
            "integer" | "int" | "int4" => plain(Self::Integer),
            "bigint" | "int8" => plain(Self::BigInt),
            "boolean" | "bool" => plain(Self::Boolean),
            "double precision" | "float8" | "float" => plain(Self::Double),
            "numeric" | "decimal" => match arguments[..] {
                [] => Ok(Self::Numeric(None)),
                [precision] => numeric(precision, 0),
                [precision, scale] => numeric(precision, scale),
                _ => Err("numeric takes at most two arguments".to_owned()),
            },
            "text" => plain(Self::Text),
            "varchar" | "character varying" => match arguments[..] {
                [] => Ok(Self::Text),
                [n] if (1..=10_485_760).contains(&n) => Ok(Self::Varchar(n)),
                _ => Err("varchar takes one length from 1 to 10485760".to_owned()),
            },
            "bytea" => plain(Self::Bytea),
            "date" => plain(Self::Date),
            "time" | "time without time zone" => plain(Self::Time),
            "timestamp" | "timestamp without time zone" => plain(Self::Timestamp),
            "timestamptz" | "timestamp with time zone" => plain(Self::TimestampTz),
            "uuid" => plain(Self::Uuid),
            "json" => plain(Self::Json),
            "jsonb" => plain(Self::Jsonb),
            "vector" => dimensions(&arguments, 16_000).map(Self::Vector),
            "halfvec" => dimensions(&arguments, 16_000).map(Self::HalfVec),
            "bit" => dimensions(&arguments, 83_886_080).map(Self::Bit),
            "real[]" | "float4[]" => plain(Self::RealArray),
            "double precision[]" | "float8[]" => plain(Self::DoubleArray),
            _ => type_name::unlisted(&squeezed).map(Self::ExistingType),
        }
    }
}

fn split_arguments(text: &str) -> Result<(String, Vec<u32>), String> {
    let Some((word, rest)) = text.split_once('(') else { return Ok((text.to_owned(), Vec::new())) };
    let inner = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` lacks its closing parenthesis"))?;
    let arguments = inner
        .split(',')
        .map(|part| part.trim().parse().map_err(|_| format!("`{text}` has an argument that is not a number")))
        .collect::<Result<_, _>>()?;
    Ok((word.trim().to_owned(), arguments))
}

fn numeric(precision: u32, scale: u32) -> Result<PgType, String> {
    match (u16::try_from(precision), u16::try_from(scale)) {
        (Ok(precision @ 1..=1000), Ok(scale)) if scale <= precision => Ok(PgType::Numeric(Some((precision, scale)))),
        _ => Err("numeric(p,s) needs 1 <= p <= 1000 and 0 <= s <= p".to_owned()),
    }
}

fn dimensions(arguments: &[u32], most: u32) -> Result<u32, String> {
    match *arguments {
        [n] if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!("one length from 1 to {most} is needed")),
    }
}

/// What marks the name of an enumerated type in `plan.json`.
const ENUM_MARK: &str = "enum ";

/// What marks a type that only the existing schema knows in `plan.json`.
const EXISTING_TYPE_MARK: &str = "given ";

impl Serialize for PgType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Enum(name) => serializer.collect_str(&format_args!("{ENUM_MARK}{name}")),
            Self::ExistingType(sql) => serializer.collect_str(&format_args!("{EXISTING_TYPE_MARK}{sql}")),
            known => serializer.collect_str(known),
        }
    }
}

impl<'de> Deserialize<'de> for PgType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(name) = text.strip_prefix(ENUM_MARK) {
            return Ok(Self::Enum(name.to_owned()));
        }
        if let Some(sql) = text.strip_prefix(EXISTING_TYPE_MARK) {
            return Ok(Self::ExistingType(sql.to_owned()));
        }
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_what_it_writes() {
        for text in [
            "smallint",
            "integer",
            "bigint",
            "boolean",
            "double precision",
            "numeric",
            "numeric(10,2)",
            "text",
            "varchar(7)",
            "bytea",
            "date",
            "time",
            "timestamp",
            "timestamptz",
            "uuid",
            "json",
            "jsonb",
            "vector(3)",
            "halfvec(3)",
            "real[]",
            "double precision[]",
            "bit(8)",
        ] {
            assert_eq!(text.parse::<PgType>().map(|found| found.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["numeric(2,5)", "vector(0)", "varchar(0)", "text(3)", "bigintt", "bit(x)", "numeric(1", "a; b", ""]
        {
            assert!(text.parse::<PgType>().is_err(), "{text}");
        }
    }
}
