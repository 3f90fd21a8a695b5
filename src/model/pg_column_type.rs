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
    /// A type that this tool writes as text, which PostgreSQL's own input function reads.
    TextInput(InputSyntax),
}

/// What is known of the text of a type that PostgreSQL's own input function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSyntax {
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// `macaddr`.
    MacAddr,
    /// `macaddr8`.
    MacAddr8,
    /// `interval`.
    Interval,
    /// `time with time zone` with so many digits of the second's fraction.
    TimeTz {
        /// 0 to 6.
        digits: u8,
    },
    /// `bit(n)`, `bit varying(n)`.
    Bit {
        /// How many bits.
        length: Option<u32>,
        /// Whether there may be fewer.
        varying: bool,
    },
    /// `money`: its text depends on the server's `lc_monetary`.
    Money,
    /// `hstore`.
    Hstore,
    /// `name`: at most 63 bytes.
    Name,
    /// `box`, the one type whose arrays are separated by `;`.
    Box,
    /// pgvector's `halfvec`, with its dimensions if it has them.
    HalfVec(Option<u32>),
    /// Nothing: PostgreSQL decides.
    Unknown,
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
    /// The shape of a type. Types that this tool has no encoder for are read by PostgreSQL's own input functions.
    #[must_use]
    pub fn of(pg_type: &PgType) -> Self {
        let one = |element| Self { element, array: false };
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
            PgType::RealArray => Self { element: Element::Real, array: true },
            PgType::DoubleArray => Self { element: Element::Double, array: true },
            PgType::Enum(_) => one(Element::Enum),
            PgType::HalfVec(most) => one(Element::TextInput(InputSyntax::HalfVec(Some(*most)))),
            PgType::Bit(length) => one(Element::TextInput(InputSyntax::Bit { length: Some(*length), varying: false })),
            PgType::ExistingType(sql) => Self::named(sql),
        }
    }

    /// Whether values are loaded as text that PostgreSQL's own input function reads. Elements of these arrays have no
    /// binary form that is the same on every server.
    #[must_use]
    pub const fn by_text_input(self) -> bool {
        match self.element {
            Element::TextInput(_) => true,
            Element::Enum | Element::Jsonb | Element::Vector(_) | Element::Text { form: TextForm::Citext, .. } => {
                self.array
            }
            _ => false,
        }
    }

    fn named(sql: &str) -> Self {
        let (name, array) = sql.strip_suffix("[]").map_or((sql, false), |name| (name, true));
        let known = || match name.parse().ok()? {
            PgType::ExistingType(_) => None,
            known => Some(Self::of(&known).element),
        };
        // An extension's type may be written with its schema.
        let plain = name.rsplit('.').next().unwrap_or(name);
        let element = Self::of_word(plain).or_else(known).unwrap_or(Element::TextInput(InputSyntax::Unknown));
        Self { element, array }
    }

    fn of_word(name: &str) -> Option<Element> {
        let (word, rest) = name.split_once('(').unwrap_or((name, ")"));
        let (argument, rest) = rest.split_once(')')?;
        let number = argument.parse::<u32>().ok();
        let digits = number.and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= 6);
        let text = |form| Element::Text { form, most: number };
        let input = Element::TextInput;
        Some(match (word, rest) {
            ("real", "") => Element::Real,
            ("character varying", "") => text(TextForm::Varchar),
            ("character", "") => Element::Text { form: TextForm::Char, most: Some(number.unwrap_or(1)) },
            ("citext", "") => text(TextForm::Citext),
            ("time", " without time zone") => Element::Time { digits: digits.unwrap_or(6) },
            ("timestamp", " without time zone") => Element::Timestamp { digits: digits.unwrap_or(6) },
            ("timestamp", " with time zone") => Element::TimestampTz { digits: digits.unwrap_or(6) },
            ("vector", "") => Element::Vector(number),
            ("inet", "") => input(InputSyntax::Inet),
            ("cidr", "") => input(InputSyntax::Cidr),
            ("macaddr", "") => input(InputSyntax::MacAddr),
            ("macaddr8", "") => input(InputSyntax::MacAddr8),
            ("time", " with time zone") => input(InputSyntax::TimeTz { digits: digits.unwrap_or(6) }),
            ("time with time zone", "") => input(InputSyntax::TimeTz { digits: 6 }),
            ("bit", "") => input(InputSyntax::Bit { length: Some(number.unwrap_or(1)), varying: false }),
            ("bit varying", "") => input(InputSyntax::Bit { length: number, varying: true }),
            ("money", "") => input(InputSyntax::Money),
            ("hstore", "") => input(InputSyntax::Hstore),
            ("name", "") => input(InputSyntax::Name),
            ("box", "") => input(InputSyntax::Box),
            ("halfvec", "") => input(InputSyntax::HalfVec(number)),
            _ if word == "interval" || word.starts_with("interval ") => input(InputSyntax::Interval),
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
        let one = |element| PgColumnType { element, array: false };
        assert_eq!(shape("timestamp(3) without time zone"), one(Element::Timestamp { digits: 3 }));
        assert_eq!(shape("timestamp with time zone"), one(Element::TimestampTz { digits: 6 }));
        assert_eq!(shape("character(2)"), one(Element::Text { form: TextForm::Char, most: Some(2) }));
        assert_eq!(shape("character varying"), one(Element::Text { form: TextForm::Varchar, most: None }));
        assert_eq!(shape("vector"), one(Element::Vector(None)));
        let array = |element| PgColumnType { element, array: true };
        assert_eq!(shape("text[]"), array(Element::Text { form: TextForm::Text, most: None }));
        assert_eq!(shape("numeric(10,2)[]"), array(Element::Numeric(Some((10, 2)))));
        assert_eq!(shape("timestamp(0) with time zone[]"), array(Element::TimestampTz { digits: 0 }));
        let input = |syntax| one(Element::TextInput(syntax));
        assert_eq!(shape("interval(3)"), input(InputSyntax::Interval));
        assert_eq!(shape("interval day to second"), input(InputSyntax::Interval));
        assert_eq!(shape("time(2) with time zone"), input(InputSyntax::TimeTz { digits: 2 }));
        assert_eq!(shape("time with time zone"), input(InputSyntax::TimeTz { digits: 6 }));
        assert_eq!(shape("bit varying(5)"), input(InputSyntax::Bit { length: Some(5), varying: true }));
        assert_eq!(shape("int4range"), input(InputSyntax::Unknown));
        assert_eq!(shape("extensions.citext"), one(Element::Text { form: TextForm::Citext, most: None }));
        for by_text in ["jsonb[]", "inet", "citext[]", "app.role[]", "\"Mood\"[]", "xml", "money[]", "vector(3)[]"] {
            assert!(shape(by_text).by_text_input(), "{by_text}");
        }
        for native in ["text[]", "uuid[]", "citext", "jsonb", "vector(3)", "bytea[]"] {
            assert!(!shape(native).by_text_input(), "{native}");
        }
    }
}
