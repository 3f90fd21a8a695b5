//! Spells the names of types that have no variant of their own as PostgreSQL's `format_type` does, so that a type means
//! the same whether the configuration or an existing schema names it.

use strsim::levenshtein;

use super::PgType;

/// Types without arguments that are loaded through PostgreSQL's own input functions.
const PLAIN: &[&str] = &[
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "xml",
    "money",
    "hstore",
    "citext",
    "ltree",
    "lquery",
    "name",
    "oid",
    "tsvector",
    "tsquery",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "pg_lsn",
    "jsonpath",
    "cube",
    "uuid",
];

/// The types of `PgType`, for the search of a mistyped name.
const OTHER: &[&str] = &[
    "bit",
    "int",
    "int2",
    "int4",
    "int8",
    "bool",
    "float",
    "float4",
    "float8",
    "character",
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "numeric",
    "decimal",
    "text",
    "varchar",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
    "vector",
    "halfvec",
    "real",
    "interval",
    "timetz",
    "varbit",
    "char",
];

/// The spelling of a type that has no variant of `PgType`; none for a name that is not one of these.
///
/// # Errors
/// A sentence for the author of the configuration.
pub(super) fn canonical(squeezed: &str) -> Result<Option<String>, String> {
    if let Some(element) = squeezed.strip_suffix("[]").map(str::trim_end) {
        if matches!(element, "real" | "float4" | "double precision" | "float8") {
            return Ok(None);
        }
        // PostgreSQL's types do not know how many dimensions an array has.
        let element = element.trim_end_matches(['[', ']', ' ']).parse::<PgType>()?;
        return Ok(Some(format!("{}[]", formatted(&element))));
    }
    let (word, argument, rest) = parts(squeezed);
    let with = |name: &str, rest: &str| match argument {
        None => Ok(Some(format!("{name}{rest}"))),
        Some(digits) => match digits.trim().parse::<u8>() {
            Ok(digits @ 0..=6) => Ok(Some(format!("{name}({digits}){rest}"))),
            _ => Err(format!("`{name}` takes 0 to 6 digits of a second")),
        },
    };
    let sized = |name: &str, missing: Option<u32>, most: u32| match argument.map(|text| text.trim().parse::<u32>()) {
        None => Ok(Some(missing.map_or_else(|| name.to_owned(), |length| format!("{name}({length})")))),
        Some(Ok(length)) if (1..=most).contains(&length) => Ok(Some(format!("{name}({length})"))),
        Some(_) => Err(format!("`{name}` takes one length from 1 to {most}")),
    };
    match (word, argument.is_some(), rest) {
        ("real" | "float4", false, "") => Ok(Some("real".to_owned())),
        ("timestamp", true, "" | " without time zone") => with("timestamp", " without time zone"),
        ("timestamp", true, " with time zone") | ("timestamptz", true, "") => with("timestamp", " with time zone"),
        ("time", true, "" | " without time zone") => with("time", " without time zone"),
        ("time", true, " with time zone") | ("timetz", _, "") => with("time", " with time zone"),
        ("time with time zone", false, "") => with("time", " with time zone"),
        ("interval", _, "") => with("interval", ""),
        ("char" | "character", _, "") => sized("character", Some(1), 10_485_760),
        ("varbit" | "bit varying", _, "") => sized("bit varying", None, 83_886_080),
        ("bit", false, "") => Ok(Some("bit(1)".to_owned())),
        ("vector" | "halfvec", false, "") => Ok(Some(word.to_owned())),
        ("uuid", ..) => Ok(None),
        (word, false, "") if PLAIN.contains(&word) => Ok(Some(word.to_owned())),
        _ => Ok(None),
    }
}

/// A name that this tool does not know, if it could be that of a type.
///
/// # Errors
/// A sentence for the author of the configuration.
pub(super) fn unlisted(squeezed: &str) -> Result<String, String> {
    let (word, argument, rest) = parts(squeezed);
    let is_name = |part: &str| {
        let first = part.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
        first && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_argument = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b',' | b' '));
    let is_plausible = word.split('.').count() <= 2
        && word.split('.').all(is_name)
        && argument.is_none_or(|text| !text.is_empty() && is_argument(text))
        && rest.is_empty();
    let listed = PLAIN.iter().chain(OTHER);
    match listed.filter(|known| !word.contains('.') && levenshtein(word, known) <= 1).min() {
        Some(near) if **near == *word => Err(format!("`{word}` does not take this argument")),
        Some(near) => Err(format!("`{word}` is not a type of PostgreSQL; did you mean `{near}`?")),
        None if is_plausible => Ok(squeezed.to_owned()),
        None => Err("it is not the name of a type, such as bigint, numeric(10,2) or timestamp(3)".to_owned()),
    }
}

/// `word`, `(argument)`, rest.
fn parts(squeezed: &str) -> (&str, Option<&str>, &str) {
    let Some((word, behind)) = squeezed.split_once('(') else { return (squeezed, None, "") };
    match behind.split_once(')') {
        Some((argument, rest)) => (word.trim_end(), Some(argument), rest),
        None => (squeezed, None, ""),
    }
}

/// As `format_type` writes the type.
fn formatted(pg_type: &PgType) -> String {
    match pg_type {
        PgType::Varchar(length) => format!("character varying({length})"),
        PgType::Time => "time without time zone".to_owned(),
        PgType::Timestamp => "timestamp without time zone".to_owned(),
        PgType::TimestampTz => "timestamp with time zone".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_format_type() {
        for (text, expected) in [
            ("REAL", "real"),
            ("timestamp(3)", "timestamp(3) without time zone"),
            ("timestamptz(0)", "timestamp(0) with time zone"),
            ("timetz", "time with time zone"),
            ("time(2)", "time(2) without time zone"),
            ("interval", "interval"),
            ("char(3)", "character(3)"),
            ("varbit(5)", "bit varying(5)"),
            ("varchar(5)[]", "character varying(5)[]"),
            ("timestamptz[]", "timestamp with time zone[]"),
            ("text[][]", "text[]"),
            ("inet[]", "inet[]"),
            ("geometry(point,4326)", "geometry(point,4326)"),
            ("app.mood", "app.mood"),
        ] {
            assert_eq!(text.parse(), Ok(PgType::ExistingType(expected.to_owned())), "{text}");
        }
        assert_eq!("real[]".parse(), Ok(PgType::RealArray));
        assert_eq!("float8[]".parse(), Ok(PgType::DoubleArray));
        for wrong in ["timestamp(9)", "inets", "varchr", "bit varying(0)", "x y", "inet(3)", "\"Mood\""] {
            assert!(wrong.parse::<PgType>().is_err(), "{wrong}");
        }
    }
}
