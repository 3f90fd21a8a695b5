//! Defines how the cells of a column are read whose type an existing schema or the configuration gives: what the type
//! alone does not say.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::time_encoding::TimeEncoding;

/// The settings of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExistingReading {
    /// What numbers count in a column of dates, times or intervals.
    #[serde(rename = "unit", skip_serializing_if = "Option::is_none")]
    pub count: Option<TimeEncoding>,
    /// The zone of times that are written without one, for `timestamptz`. Without it they are UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
    /// How a list is written that is neither a JSON array nor PostgreSQL's text of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<ListForm>,
    /// The order of the bytes of a UUID in a BLOB.
    #[serde(skip_serializing_if = "GuidOrder::is_network")]
    pub guid: GuidOrder,
    /// What PostgreSQL can't hold in a text becomes U+FFFD.
    #[serde(skip_serializing_if = "is_false")]
    pub replaces_text: bool,
    /// A value that would be cut or rounded does not fit.
    #[serde(skip_serializing_if = "is_false")]
    pub exact: bool,
}

impl ExistingReading {
    /// The reading behind a type that the configuration names: nothing may be cut or rounded.
    #[must_use]
    pub fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }
}

/// For serde, which wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ListForm {
    /// Items between commas; blanks around them do not count. An empty text is an empty list.
    Comma,
}

/// The order of the bytes of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuidOrder {
    /// As RFC 9562 has it.
    #[default]
    Network,
    /// As .NET's `Guid.ToByteArray` gives it: the first three fields little-endian.
    Dotnet,
}

impl GuidOrder {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_network(&self) -> bool {
        matches!(self, Self::Network)
    }
}

/// The most bytes of a zone's name; the longest of the IANA database has 32.
const NAME_BYTES_MOST: usize = 35;

/// The name of a time zone, such as `Europe/Berlin`, or an offset, such as `+02:00`. Kept in place, so that it can be
/// copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZoneName {
    bytes: [u8; NAME_BYTES_MOST],
    length: u8,
}

impl ZoneName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The seconds east of UTC, if it is an offset: `+HH:MM`, `-HH:MM`, `+HHMM` or `UTC`.
    #[must_use]
    pub fn offset_seconds(&self) -> Option<i32> {
        let text = self.as_str();
        if matches!(text, "UTC" | "Z") {
            return Some(0);
        }
        let (sign, rest) = match text.strip_prefix('+') {
            Some(rest) => (1, rest),
            None => (-1, text.strip_prefix('-')?),
        };
        let digits: String = rest.chars().filter(|letter| *letter != ':').collect();
        let is_form = matches!(rest.len(), 4 | 5) && (rest.len() == 4 || rest.as_bytes().get(2) == Some(&b':'));
        if !is_form || digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: i32 = digits.parse().ok()?;
        let (hours, minutes) = (number / 100, number % 100);
        (hours <= 15 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

impl FromStr for ZoneName {
    type Err = &'static str;

    /// Takes any short ASCII text; whether there is such a zone is known by `rules::existing_schema::zone`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let mut bytes = [0; NAME_BYTES_MOST];
        let place = bytes.get_mut(..text.len()).filter(|_| text.is_ascii() && !text.is_empty());
        place.ok_or("is not the name of a time zone")?.copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).map_err(|_| "is not the name of a time zone")?;
        Ok(Self { bytes, length })
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_from_names() {
        let offset = |text: &str| text.parse::<ZoneName>().unwrap().offset_seconds();
        assert_eq!(offset("+02:00"), Some(7200));
        assert_eq!(offset("-0530"), Some(-19_800));
        assert_eq!(offset("UTC"), Some(0));
        for other in ["Europe/Berlin", "+2", "02:00", "+99:00", "+0:200"] {
            assert_eq!(offset(other), None, "{other}");
        }
    }

    #[test]
    fn a_reading_reads_back_its_json() {
        let zone = Some("Europe/Berlin".parse().unwrap());
        let reading = ExistingReading { zone, list: Some(ListForm::Comma), exact: true, ..ExistingReading::default() };
        let json = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<ExistingReading>(&json).unwrap(), reading);
    }
}
