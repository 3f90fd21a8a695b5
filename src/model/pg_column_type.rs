//! Parses the names of types of an existing schema: `timestamp(3) without time zone[]` is an array of points in time
//! with three digits.

use super::pg_type::PgType;

/// What one value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `boolean`.
    Boolean,
    /// `smallint`.
    SmallInt,
    /// `integer`.
    Integer,
    /// `bigint`.
    BigInt,
    /// `real`.
    Real,
    /// `double precision`.
    Double,
    /// `numeric`, with precision and scale if it has them.
    Numeric(Option<(u16, u16)>),
    /// Characters.
    Text {
        /// Which type of characters.
        form: TextForm,
        /// The most of them.
        most: Option<u32>,
    },
    /// A label.
    Enum,
    /// `uuid`.
    Uuid,
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `time` with so many digits of the second's fraction.
    Time {
        /// 0 to 6.
        digits: u8,
    },
    /// `timestamp` with so many digits.
    Timestamp {
        /// 0 to 6.
        digits: u8,
    },
    /// `timestamptz` with so many digits.
    TimestampTz {
        /// 0 to 6.
        digits: u8,
    },
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// pgvector's `vector`, with its dimensions if it has them.
    Vector(Option<u32>),
}

/// Which type of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// `text`.
    Text,
    /// `character varying`.
    Varchar,
    /// `character`: padded with blanks.
    Char,
    /// `citext`: equal whatever the case.
    Citext,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgColumnType {
    /// What one value is.
    pub element: Element,
    /// Whether the column holds arrays of them.
    pub array: bool,
}

impl PgColumnType {
    /// The shape of a type; none for types whose values this tool can't write.
    #[must_use]
    pub fn of(pg_type: &PgType) -> Option<Self> {
        let one = |element| Some(Self { element, array: false });
        let text = |form, most| Element::Text { form, most };
        match pg_type {
            PgType::SmallInt => one(Element::SmallInt),
            PgType::Integer => one(Element::Integer),
            PgType::BigInt => one(Element::BigInt),
            PgType::Boolean => one(Element::Boolean),
            PgType::Double => one(Element::Double),
            PgType::Numeric(limits) => one(Element::Numeric(*limits)),
            PgType::Text => one(text(TextForm::Text, None)),
            PgType::Varchar(most) => one(text(TextForm::Varchar, Some(*most))),
            PgType::Bytea => one(Element::Bytea),
            PgType::Date => one(Element::Date),
            PgType::Time => one(Element::Time { digits: 6 }),
            PgType::Timestamp => one(Element::Timestamp { digits: 6 }),
            PgType::TimestampTz => one(Element::TimestampTz { digits: 6 }),
            PgType::Uuid => one(Element::Uuid),
            PgType::Json => one(Element::Json),
            PgType::Jsonb => one(Element::Jsonb),
            PgType::Vector(most) => one(Element::Vector(Some(*most))),
            PgType::RealArray => Some(Self { element: Element::Real, array: true }),
            PgType::DoubleArray => Some(Self { element: Element::Double, array: true }),
            PgType::Enum(_) => one(Element::Enum),
            PgType::HalfVec(_) | PgType::Bit(_) => None,
            PgType::ExistingType(sql) => Self::named(sql),
        }
    }

    fn named(sql: &str) -> Option<Self> {
        let (name, array) = sql.strip_suffix("[]").map_or((sql, false), |name| (name, true));
        let element = match Self::of_word(name) {
            Some(element) => element,
            None => Self::of(&name.parse().ok()?)?.element,
        };
        // The element type of an array is known by a number, which differs between servers for types that are made
        // there; jsonb comes back in another spelling.
        let loadable = !matches!(
            element,
            Element::Enum | Element::Jsonb | Element::Vector(_) | Element::Text { form: TextForm::Citext, .. }
        );
        (!array || loadable).then_some(Self { element, array })
    }

    fn of_word(name: &str) -> Option<Element> {
        let (word, rest) = name.split_once('(').unwrap_or((name, ")"));
        let (argument, rest) = rest.split_once(')')?;
        let number = argument.parse::<u32>().ok();
        let digits = number.and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= 6);
        let text = |form| Element::Text { form, most: number };
        Some(match (word, rest) {
            ("real", "") => Element::Real,
            ("character varying", "") => text(TextForm::Varchar),
            ("character", "") => Element::Text { form: TextForm::Char, most: Some(number.unwrap_or(1)) },
            ("citext", "") => text(TextForm::Citext),
            ("time", " without time zone") => Element::Time { digits: digits.unwrap_or(6) },
            ("timestamp", " without time zone") => Element::Timestamp { digits: digits.unwrap_or(6) },
            ("timestamp", " with time zone") => Element::TimestampTz { digits: digits.unwrap_or(6) },
            ("vector", "") => Element::Vector(number),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_from_their_names() {
        let shape = |sql: &str| PgColumnType::of(&PgType::ExistingType(sql.to_owned()));
        let one = |element| Some(PgColumnType { element, array: false });
        assert_eq!(shape("timestamp(3) without time zone"), one(Element::Timestamp { digits: 3 }));
        assert_eq!(shape("timestamp with time zone"), one(Element::TimestampTz { digits: 6 }));
        assert_eq!(shape("character(2)"), one(Element::Text { form: TextForm::Char, most: Some(2) }));
        assert_eq!(shape("character varying"), one(Element::Text { form: TextForm::Varchar, most: None }));
        assert_eq!(shape("vector"), one(Element::Vector(None)));
        let array = |element| Some(PgColumnType { element, array: true });
        assert_eq!(shape("text[]"), array(Element::Text { form: TextForm::Text, most: None }));
        assert_eq!(shape("numeric(10,2)[]"), array(Element::Numeric(Some((10, 2)))));
        assert_eq!(shape("timestamp(0) with time zone[]"), array(Element::TimestampTz { digits: 0 }));
        for refused in ["jsonb[]", "inet", "interval", "citext[]", "text[][]", "time with time zone", "money"] {
            assert_eq!(shape(refused), None, "{refused}");
        }
    }
}
