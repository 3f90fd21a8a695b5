//! Defines what a setting or a consent would do to the values of one column.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    model::overrides::ColumnOverride,
    rules::type_choice::{column_setting, toml_text},
};

/// The loss of a text that PostgreSQL can't hold.
pub(super) const REPLACED: &str = "with U+FFFD for what text cannot hold";

/// What becomes of the values of a column. NULLs of the source stay NULL and are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SettingEffect {
    /// The line of the configuration, or the flag; empty for the plan as it is.
    pub setting: String,
    /// The type of the column.
    #[serde(rename = "type")]
    pub pg_type: String,
    /// Values that are loaded exactly.
    pub exact: u64,
    /// Values that lose something.
    pub altered: u64,
    /// What they lose. One value can lose several things.
    pub alterations: BTreeMap<&'static str, u64>,
    /// Values that become NULL.
    pub becomes_null: u64,
    /// Values whose rows are left out.
    pub rejected: u64,
    /// Values that do not fit, so that nothing is loaded.
    pub not_fitting: u64,
    /// What is taken for granted, with the number of values.
    pub assumptions: BTreeMap<&'static str, u64>,
    /// What the consent means; empty for a setting.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub consent: &'static str,
}

impl SettingEffect {
    /// All values that are not NULL in the source.
    #[must_use]
    pub const fn values(&self) -> u64 {
        self.exact + self.altered + self.becomes_null + self.rejected + self.not_fitting
    }

    /// The counts as one line.
    #[must_use]
    pub fn words(&self) -> String {
        let reasons = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        let mut words = Vec::new();
        for (count, what) in [
            (self.exact, "exact"),
            (self.altered, "altered"),
            (self.becomes_null, "NULL"),
            (self.rejected, "rejected"),
            (self.not_fitting, "not fitting"),
        ] {
            let how = if what == "altered" { format!(" ({})", reasons(&self.alterations)) } else { String::new() };
            if count > 0 {
                words.push(format!("{count} {what}{how}"));
            }
        }
        let mut text = words.join(", ");
        if !self.assumptions.is_empty() {
            text.push_str(&format!("; {}", reasons(&self.assumptions)));
        }
        if !self.consent.is_empty() {
            text.push_str(&format!("; {}", self.consent));
        }
        text
    }
}

/// All that the configuration would say about the column, as one line of it.
pub(super) fn line(table: &str, column: &str, wanted: &ColumnOverride) -> String {
    let keys = match serde_json::to_value(wanted) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_by_key(|(key, _)| key != "type");
    let pairs = keys.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key} = {}", toml_text(text)),
        other => format!("{key} = {other}"),
    });
    column_setting(table, column, &pairs.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{conversion_plan::OffType, overrides::Encoding};

    #[test]
    fn a_line_can_be_pasted() {
        let wanted = ColumnOverride {
            pg_type: Some("date".to_owned()),
            from: Some(Encoding::UnixMs),
            off_type: Some(OffType::Null),
            empty_as_null: Some(true),
            ..ColumnOverride::default()
        };
        let line = line("a", "b\"c", &wanted);
        let expected =
            "columns.\"a.b\\\"c\" = { type = \"date\", empty_as_null = true, from = \"unix_ms\", off_type = \"null\" }";
        assert_eq!(line, expected);
        assert!(line.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn counts_of_nothing_are_not_shown() {
        let alterations = BTreeMap::from([("rounded", 2)]);
        let effect = SettingEffect { exact: 1, altered: 2, alterations, not_fitting: 3, ..SettingEffect::default() };
        assert_eq!(effect.words(), "1 exact, 2 altered (2 rounded), 3 not fitting");
    }
}
