//! Finds what the numbers in a column of times count: by the configuration, by SQLite's declared default, by their
//! size.

use rusqlite::Connection;

use super::SurveyedTable;
use crate::{
    error::Result,
    model::{
        Finding, FindingCode, Severity, conversion_plan::TimeEncoding, identifier::quote_ident,
        source_schema::SourceColumn,
    },
    rules::type_choice::column_setting,
    sqlite::error_map,
};

use super::super::table_outline::is_core_data;

/// Numbers of the years 1973 to 2128 in each unit; Julian days of the years 1859 to 2132.
const WINDOWS: [(TimeEncoding, f64, f64); 5] = [
    (TimeEncoding::UnixS, 1e8, 5e9),
    (TimeEncoding::UnixMs, 1e11, 5e12),
    (TimeEncoding::UnixUs, 1e14, 5e15),
    (TimeEncoding::UnixNs, 1e17, 5e18),
    (TimeEncoding::Julian, 2_400_000.0, 2_500_000.0),
];

/// How sure the unit is.
enum Assumption {
    /// All numbers lie in the window of the unit, and nothing contradicts it.
    Window(TimeEncoding),
    /// The declared default writes this unit.
    Default(TimeEncoding),
    /// The numbers only suggest it.
    Likely(TimeEncoding),
    /// Numbers of several units.
    Mixed(TimeEncoding),
}

/// The unit of the numbers in a column of times, if there are any, with what there is to report of it. Numbers of
/// several units get none.
pub(super) fn assumed(
    connection: &Connection,
    seen: &SurveyedTable<'_>,
    column: &SourceColumn,
    numbers: u64,
    findings: &mut Vec<Finding>,
) -> Result<Option<TimeEncoding>> {
    let table = seen.outline.source;
    let Some(range) = range(connection, &table.name, &column.name)?.filter(|_| numbers > 0) else { return Ok(None) };
    let default = column.default_sql.as_deref().and_then(of_default);
    let assumption =
        if is_core_data(table) { Assumption::Likely(TimeEncoding::CoreData) } else { assumption(range, default) };
    let (unit, severity, reason) = match assumption {
        // The values are refused one by one, with the same choices.
        Assumption::Mixed(_) => return Ok(None),
        Assumption::Window(unit) => (unit, Severity::Info, "because all lie in the range of that unit"),
        Assumption::Default(unit) => (unit, Severity::Info, "because the declared default writes that unit"),
        Assumption::Likely(unit) => {
            (unit, Severity::NeedsDecision, "which their size only suggests; the unit needs a decision")
        }
    };
    let message = format!("numbers are read as {}, {reason}", words(unit));
    let setting = |unit| column_setting(&table.name, &column.name, &format!("from = \"{}\"", key(unit)));
    let mut finding = Finding::new(FindingCode::EpochAssumed, severity, message)
        .at_table(&table.name)
        .at_column(&column.name)
        .counting(numbers)
        .choice(setting(unit));
    if severity == Severity::NeedsDecision {
        finding =
            finding.choice(format!("--accept {}@{}.{}", FindingCode::EpochAssumed.word(), table.name, column.name));
    }
    for other in [TimeEncoding::UnixS, TimeEncoding::UnixMs].into_iter().filter(|other| *other != unit) {
        finding = finding.choice(setting(other));
    }
    findings.push(finding);
    Ok(Some(unit))
}

fn range(connection: &Connection, table: &str, column: &str) -> Result<Option<(f64, f64)>> {
    let (table, column) = (quote_ident(table), quote_ident(column));
    let sql = format!(
        "SELECT min(CAST(t.{column} AS REAL)), max(CAST(t.{column} AS REAL)) FROM {table} AS t \
         WHERE typeof(t.{column}) IN ('integer', 'real')"
    );
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<f64>>(0)?, row.get::<_, Option<f64>>(1)?));
    let (least, most) = connection
        .query_row(&sql, [], read)
        .map_err(|failure| error_map::describe("reading the range of a column", &failure))?;
    Ok(least.zip(most))
}

fn assumption((least, most): (f64, f64), default: Option<TimeEncoding>) -> Assumption {
    let window =
        |number: f64| WINDOWS.iter().find(|(_, from, to)| (*from..=*to).contains(&number)).map(|found| found.0);
    match (window(least), window(most), default) {
        (Some(one), Some(other), Some(unit)) if one == other && one == unit => Assumption::Window(unit),
        // A Julian day is a small number of seconds, too.
        (Some(TimeEncoding::Julian), Some(TimeEncoding::Julian), _) => Assumption::Likely(TimeEncoding::Julian),
        (Some(one), Some(other), None) if one == other => Assumption::Window(one),
        (Some(one), Some(other), Some(_)) if one == other => Assumption::Likely(one),
        (Some(_), Some(other), _) => Assumption::Mixed(other),
        (_, Some(other), Some(unit)) if other != unit => Assumption::Likely(other),
        (_, _, Some(unit)) => Assumption::Default(unit),
        _ => Assumption::Likely(likely(most)),
    }
}

/// The unit in which a number lies nearest to the present.
fn likely(most: f64) -> TimeEncoding {
    match most.abs() {
        ..1e11 => TimeEncoding::UnixS,
        1e11..1e14 => TimeEncoding::UnixMs,
        1e14..1e17 => TimeEncoding::UnixUs,
        _ => TimeEncoding::UnixNs,
    }
}

/// The units in the order in which they are proposed for a number of this size.
pub(super) fn proposals(connection: &Connection, table: &str, column: &str) -> Result<Vec<&'static str>> {
    let Some((least, most)) = range(connection, table, column)? else { return Ok(vec!["unix_s", "unix_ms"]) };
    let first = match assumption((least, most), None) {
        Assumption::Window(unit) | Assumption::Default(unit) | Assumption::Likely(unit) | Assumption::Mixed(unit) => {
            unit
        }
    };
    let others = ["unix_s", "unix_ms"].into_iter().filter(|other| *other != key(first));
    Ok(std::iter::once(key(first)).chain(others).collect())
}

/// The unit that a default writes: `unixepoch()`, `strftime('%s', 'now') * 1000`, `(julianday('now') - ...) * 86400000`.
fn of_default(sql: &str) -> Option<TimeEncoding> {
    let text: String = sql.to_ascii_lowercase().chars().filter(|letter| !letter.is_whitespace()).collect();
    let days = text.contains("julianday(");
    if !days && !text.contains("unixepoch(") && !text.contains("strftime('%s'") {
        return None;
    }
    let factor: u64 = text
        .split('*')
        .skip(1)
        .filter_map(|part| {
            let digits: String = part.trim_start_matches('(').chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        })
        .product();
    match (days, factor) {
        (true, 86_400) | (false, 1) => Some(TimeEncoding::UnixS),
        (true, 86_400_000) | (false, 1000) => Some(TimeEncoding::UnixMs),
        (true, 86_400_000_000) | (false, 1_000_000) => Some(TimeEncoding::UnixUs),
        (true, 1) if !text.contains("julianday('now')-") => Some(TimeEncoding::Julian),
        _ => None,
    }
}

/// The word of the configuration.
pub(super) const fn key(unit: TimeEncoding) -> &'static str {
    match unit {
        TimeEncoding::UnixS => "unix_s",
        TimeEncoding::UnixMs => "unix_ms",
        TimeEncoding::UnixUs => "unix_us",
        TimeEncoding::UnixNs => "unix_ns",
        TimeEncoding::CoreData => "core_data",
        TimeEncoding::Julian => "julian",
    }
}

const fn words(unit: TimeEncoding) -> &'static str {
    match unit {
        TimeEncoding::UnixS => "seconds since 1970-01-01 UTC",
        TimeEncoding::UnixMs => "milliseconds since 1970-01-01 UTC",
        TimeEncoding::UnixUs => "microseconds since 1970-01-01 UTC",
        TimeEncoding::UnixNs => "nanoseconds since 1970-01-01 UTC",
        TimeEncoding::CoreData => "seconds since 2001-01-01 UTC",
        TimeEncoding::Julian => "Julian days",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_name_their_unit() {
        for (sql, expected) in [
            ("unixepoch()", Some("unix_s")),
            ("(unixepoch() * 1000)", Some("unix_ms")),
            ("(strftime('%s', 'now'))", Some("unix_s")),
            ("(cast((julianday('now') - 2440587.5)*86400000 as integer))", Some("unix_ms")),
            ("(unixepoch('subsec') * 1000)", Some("unix_ms")),
            ("(julianday('now'))", Some("julian")),
            ("CURRENT_TIMESTAMP", None),
            ("(strftime('%Y'))", None),
        ] {
            assert_eq!(of_default(sql).map(key), expected, "{sql}");
        }
    }

    #[test]
    fn sizes_suggest_a_unit() {
        let of = |range, default| match assumption(range, default) {
            Assumption::Window(unit) => format!("window {}", key(unit)),
            Assumption::Default(unit) => format!("default {}", key(unit)),
            Assumption::Likely(unit) => format!("likely {}", key(unit)),
            Assumption::Mixed(unit) => format!("mixed {}", key(unit)),
        };
        let (seconds, now) = (Some(TimeEncoding::UnixS), 1.7e9);
        assert_eq!(of((1.6e9, now), None), "window unix_s");
        assert_eq!(of((0.0, now), None), "likely unix_s");
        assert_eq!(of((0.0, now), seconds), "default unix_s");
        assert_eq!(of((1.6e12, 1.7e12), seconds), "likely unix_ms");
        assert_eq!(of((0.0, 1.7e12), seconds), "likely unix_ms");
        assert_eq!(of((now, 1.7e12), None), "mixed unix_ms");
        assert_eq!(of((2_460_000.5, 2_460_001.5), None), "likely julian");
    }
}
