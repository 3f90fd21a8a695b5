//! Deserializes TOML values, with errors that know the key and never repeat a value, which may be a secret.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use toml::Value;

/// A value and the key that holds it.
pub(super) struct Entry {
    /// The value.
    pub(super) value: Value,
    /// The key, from the top of the file.
    pub(super) key: String,
    is_in_list: bool,
}

impl Entry {
    /// A value of this key.
    pub(super) const fn new(key: String, value: Value) -> Self {
        Self { value, key, is_in_list: false }
    }
}

impl<'de> Deserializer<'de> for Entry {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Self { value, key, is_in_list } = self;
        let visited = match value {
            Value::String(text) if is_in_list => visitor.visit_string(text),
            Value::String(text) if text.trim().is_empty() => Err(de::Error::custom("is empty")),
            Value::String(text) => visitor.visit_str(text.trim()),
            Value::Boolean(flag) => visitor.visit_bool(flag),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("date"), &visitor)),
            Value::Array(items) => {
                let item = |value| Self { value, key: key.clone(), is_in_list: true };
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(item)))
            }
            Value::Table(table) => {
                let entries = table.into_iter().map(|(inner, value)| {
                    let place = below(&key, &inner);
                    (inner, Self::new(place, value))
                });
                visitor.visit_map(MapDeserializer::new(entries))
            }
        };
        visited.map_err(|wrong| wrong.at(key))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let visited = match self.value {
            Value::String(text) => visitor.visit_enum(text.trim().into_deserializer()),
            _ => Err(de::Error::unknown_variant("", variants)),
        };
        visited.map_err(|wrong: Wrong| wrong.at(self.key))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Wrong> for Entry {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The key of an entry in a table, as it is written in a file.
pub(super) fn below(table: &str, key: &str) -> String {
    let is_bare = key.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
    let key = super::printable(key);
    let key = if is_bare { key } else { format!("\"{key}\"") };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The key of the value that is wrong.
    pub(super) key: Option<String>,
    /// What is wrong.
    pub(super) what: What,
}

/// What is wrong.
#[derive(Debug)]
pub(super) enum What {
    /// A key that the table does not have.
    UnknownKey(String, &'static [&'static str]),
    /// What the value must be.
    Sentence(String),
}

impl Wrong {
    fn at(self, key: String) -> Self {
        Self { key: self.key.or(Some(key)), ..self }
    }
}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(sentence: T) -> Self {
        Self { key: None, what: What::Sentence(sentence.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(match expected.to_string().as_str() {
            "a boolean" => "must be true or false".to_owned(),
            "a sequence" => "must be a list of strings".to_owned(),
            "a map" => "must be a table".to_owned(),
            other => format!("must be {other}"),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("must be one of {}", known.join(", ")))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self { key: None, what: What::UnknownKey(key.to_owned(), known) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid")
    }
}

impl std::error::Error for Wrong {}
