//! Translates date and time functions of the current time, as DEFAULT uses them (docs/conversion-rules.md, section 5.1;
//! docs/conversion-rules.md, section 5.2). SQLite's times are UTC.

use super::{
    Untranslatable,
    literal::Value,
    name_resolution::NameScope,
    refuse,
    typed_expr::{ExprType, IntegerRange, NumberBounds, TypedExpr},
};
use crate::{
    model::{conversion_plan::EpochUnit, identifier::quote_literal},
    rules::datetime::{DAY_MICROSECONDS, parse_stamp},
};

const NOW_UTC: &str = "(now() AT TIME ZONE 'UTC')";

/// A text that shows the current time.
#[derive(Debug, Clone)]
pub(in crate::rules) struct CurrentTimeText {
    /// The time as a `timestamp` in UTC; can stand beside any operator.
    pub at: String,
    /// Whether it is the current time itself, not one some days away.
    pub present: bool,
    /// What the text looks like: 2024-01-02 03:04:05.678 in its format.
    pub sample: String,
}

impl CurrentTimeText {
    /// Whether the text is an integer.
    pub(super) fn is_digits(&self) -> bool {
        !self.sample.is_empty() && self.sample.len() <= 14 && self.sample.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The time that a date function reads from the text: no finer than the text shows it.
    fn read_again(&self) -> Option<CurrentTime> {
        let stamp =
            parse_stamp(self.sample.as_bytes()).filter(|stamp| stamp.offset_minutes.is_none_or(|zone| zone == 0))?;
        let unit = match stamp.time {
            None => "day",
            Some(_) if self.sample.contains('.') => "milliseconds",
            Some(_) => "second",
        };
        Some(CurrentTime { at: format!("date_trunc('{unit}', {})", self.at), present: false, fraction: false })
    }

    /// The integers that such a text can be.
    pub(super) fn range(&self) -> IntegerRange {
        {
            let most = 10_i128.pow(u32::try_from(self.sample.len()).unwrap_or(14).min(14));
            IntegerRange { least: -most, most }
        }
    }
}

/// `date(...)`, `time(...)`, `datetime(...)`, `strftime(...)`, `unixepoch(...)`, `julianday(...)`.
pub(super) fn call(scope: &NameScope<'_>, name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    if !scope.is_at_present() {
        return Err(refuse(format!("{name}() reads any text as a date, for which PostgreSQL has no exact equivalent")));
    }
    match (name, arguments) {
        ("strftime", []) => Err(refuse("strftime() has no format")),
        ("strftime", [format, rest @ ..]) => formatted(word(format)?, &read(rest)?),
        (_, rest) => {
            let time = read(rest)?;
            let fraction = if time.fraction { ".%f" } else { "" };
            match name {
                "date" => formatted("%Y-%m-%d", &time),
                "time" => formatted(&format!("%H:%M:%S{fraction}"), &time),
                "datetime" => formatted(&format!("%Y-%m-%d %H:%M:%S{fraction}"), &time),
                "unixepoch" if time.fraction => Ok(TypedExpr::compound(
                    format!("floor({} * 1000)::double precision / 1000", time.epoch()),
                    real_kind(11),
                )),
                "unixepoch" => Ok(TypedExpr::atom(format!("floor({})::bigint", time.epoch()), epoch_kind())),
                // SQLite counts whole milliseconds, and divides once.
                _ => Ok(TypedExpr::compound(
                    format!("(floor({} * 1000)::bigint + 210866760000000)::double precision / 86400000", time.epoch()),
                    real_kind(7),
                )),
            }
        }
    }
}

fn epoch_kind() -> ExprType {
    ExprType::Int(IntegerRange { least: 0, most: 100_000_000_000 })
}

/// A REAL of so many digits before the point.
fn real_kind(whole: u16) -> ExprType {
    ExprType::Real(NumberBounds { whole, fraction: 10, infinite: false, integers: IntegerRange::point(0) })
}

/// The present moment with its modifiers applied.
struct CurrentTime {
    at: String,
    present: bool,
    fraction: bool,
}

impl CurrentTime {
    /// Seconds since 1970 with a fraction.
    fn epoch(&self) -> String {
        if self.present { "extract(epoch FROM now())".to_owned() } else { format!("extract(epoch FROM {})", self.at) }
    }
}

fn word(argument: &TypedExpr) -> Result<&str, Untranslatable> {
    match &argument.constant {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(refuse("a date function has an argument that is no constant text")),
    }
}

fn read(arguments: &[TypedExpr]) -> Result<CurrentTime, Untranslatable> {
    let mut time = CurrentTime { at: NOW_UTC.to_owned(), present: true, fraction: false };
    for (index, argument) in arguments.iter().enumerate() {
        if let (0, Some(current_time)) = (index, &argument.current_time) {
            time = current_time.read_again().ok_or_else(|| refuse("a date function reads a text that is no date"))?;
            continue;
        }
        if index == 0
            && let Some(column) = of_column(argument, arguments)?
        {
            time = column;
            continue;
        }
        let word = word(argument)?.trim().to_ascii_lowercase();
        match word.as_str() {
            "now" if index == 0 => {}
            "unixepoch" if index == 1 && !time.present => {}
            "subsec" | "subsecond" => time.fraction = true,
            "localtime" => return Err(refuse("the time zone of the server isn't that of the application")),
            "start of day" | "start of month" | "start of year" if index > 0 => {
                let unit = word.trim_start_matches("start of ");
                time = CurrentTime { at: format!("date_trunc('{unit}', {})", time.at), present: false, ..time };
            }
            _ if index > 0 && word.starts_with("weekday ") => {
                let day = word.trim_start_matches("weekday ").trim();
                let day = day.parse::<u8>().ok().filter(|day| *day < 7);
                let day = day.ok_or_else(|| refuse("a date modifier has no exact equivalent"))?;
                let days = format!("({day} - extract(dow FROM {})::integer + 7) % 7", time.at);
                time =
                    CurrentTime { at: format!("({} + ({days}) * interval '1 day')", time.at), present: false, ..time };
            }
            _ if index > 0 => {
                let step = interval(&word).ok_or_else(|| refuse("a date modifier has no exact equivalent"))?;
                time = CurrentTime { at: format!("({} + interval '{step}')", time.at), present: false, ..time };
            }
            _ => {
                return Err(refuse(
                    "a date function whose time is a constant, or is not known, has no exact equivalent",
                ));
            }
        }
    }
    Ok(time)
}

/// The times that a column holds: all its values are known to be such.
fn of_column(argument: &TypedExpr, arguments: &[TypedExpr]) -> Result<Option<CurrentTime>, Untranslatable> {
    let modifier = arguments.get(1).and_then(|argument| word(argument).ok());
    let unix = modifier.is_some_and(|word| word.trim().eq_ignore_ascii_case("unixepoch"));
    let at = match argument.kind {
        _ if argument.constant.is_some() => return Ok(None),
        ExprType::Date if !unix => format!("{}::timestamp", argument.arg()),
        // SQLite rounds to milliseconds.
        ExprType::Stamp if !unix => {
            format!("date_trunc('milliseconds', {} + interval '500 microseconds')", argument.arg())
        }
        ExprType::Epoch(EpochUnit::Seconds) if unix => format!("({} AT TIME ZONE 'UTC')", argument.arg()),
        ExprType::Int(range) if unix && range.least >= -62_135_596_800 && range.most <= 253_402_300_799 => {
            format!("(to_timestamp({}) AT TIME ZONE 'UTC')", argument.double()?)
        }
        _ => return Err(argument.refusal("is read as a date, which not all of its values are known to be")),
    };
    Ok(Some(CurrentTime { at, present: false, fraction: false }))
}

/// `+7 days` and the like; months and years differ at the ends of months.
fn interval(modifier: &str) -> Option<String> {
    let (count, unit) = modifier.split_once(' ')?;
    let count: i32 = count.strip_prefix('+').unwrap_or(count).parse().ok()?;
    let unit = unit.trim().trim_end_matches('s');
    ["day", "hour", "minute", "second"].contains(&unit).then(|| format!("{count} {unit}s"))
}

fn formatted(format: &str, time: &CurrentTime) -> Result<TypedExpr, Untranslatable> {
    if format == "%s" {
        let current_time =
            CurrentTimeText { at: time.at.clone(), present: time.present, sample: "1704164645".to_owned() };
        let sql = format!("floor({})::bigint::text", time.epoch());
        return Ok(TypedExpr { current_time: Some(current_time), ..TypedExpr::atom(sql, ExprType::Text) });
    }
    let number = |field: &str| {
        let current_time = CurrentTimeText { at: time.at.clone(), present: time.present, sample: "1".to_owned() };
        let sql = format!("extract({field} FROM {})::integer::text", time.at);
        TypedExpr { current_time: Some(current_time), ..TypedExpr::atom(sql, ExprType::Text) }
    };
    match format {
        "%w" => return Ok(number("dow")),
        "%u" => return Ok(number("isodow")),
        _ => {}
    }
    let (template, sample) =
        template(format).ok_or_else(|| refuse("a format of strftime() has no exact equivalent"))?;
    let sql = format!(
        "to_char({}, {})",
        time.at.strip_prefix('(').and_then(|at| at.strip_suffix(')')).unwrap_or(&time.at),
        quote_literal(&template)
    );
    let current_time = CurrentTimeText { at: time.at.clone(), present: time.present, sample };
    Ok(TypedExpr { current_time: Some(current_time), ..TypedExpr::atom(sql, ExprType::Text) })
}

/// The template of `to_char` (PostgreSQL 9.8), and what it makes of 2024-01-02 03:04:05.678.
fn template(format: &str) -> Option<(String, String)> {
    let (mut template, mut sample, mut words) = (String::new(), String::new(), String::new());
    // SQLite's `.%f` after `%S` stands for the fraction alone, an own spelling of `call`.
    let format = format.replace("%S.%f", "%f");
    let mut rest = format.chars();
    while let Some(one) = rest.next() {
        let found = if one == '%' { rest.next()? } else { '\0' };
        let pair = match found {
            'Y' => ("YYYY", "2024"),
            'm' => ("MM", "01"),
            'd' => ("DD", "02"),
            'H' => ("HH24", "03"),
            'M' => ("MI", "04"),
            'S' => ("SS", "05"),
            'f' => ("SS.MS", "05.678"),
            'j' => ("DDD", "002"),
            'F' => ("YYYY-MM-DD", "2024-01-02"),
            'T' => ("HH24:MI:SS", "03:04:05"),
            'R' => ("HH24:MI", "03:04"),
            '%' | '\0' => {
                words.push(if found == '%' { '%' } else { one });
                continue;
            }
            _ => return None,
        };
        flush(&mut template, &mut sample, &mut words);
        template.push_str(pair.0);
        sample.push_str(pair.1);
    }
    flush(&mut template, &mut sample, &mut words);
    Some((template, sample))
}

/// Letters would be read as patterns unless they are quoted.
fn flush(template: &mut String, sample: &mut String, words: &mut String) {
    sample.push_str(words);
    if words.chars().all(|one| "-: ./,".contains(one)) {
        template.push_str(words);
    } else {
        template.push_str(&format!("\"{}\"", words.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    words.clear();
}

/// A constant number of units since 1970 as a `timestamptz`.
pub(super) fn epoch_literal(constant: &TypedExpr, unit: EpochUnit) -> Result<String, Untranslatable> {
    let Some(Value::Integer(number)) = constant.constant else {
        return Err(refuse("a time that was a number is compared with something that is no whole constant"));
    };
    epoch_text(number, unit)
        .map(|text| format!("'{text}+00'::timestamptz"))
        .ok_or_else(|| refuse("a time that was a number is compared with one outside the years 1 to 9999"))
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC, for the years 1 to 9999.
pub(super) fn epoch_text(number: i64, unit: EpochUnit) -> Option<String> {
    let microseconds = number.checked_mul(unit.microseconds())?;
    let (days, rest) = (microseconds.div_euclid(DAY_MICROSECONDS), microseconds.rem_euclid(DAY_MICROSECONDS));
    if !(-719_162..=2_932_896).contains(&days) {
        return None;
    }
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}"))
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar with years from March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_become_templates() {
        for (format, expected, sample) in [
            ("%Y-%m-%dT%H:%M:%fZ", r#"YYYY-MM-DD"T"HH24:MI:SS.MS"Z""#, "2024-01-02T03:04:05.678Z"),
            ("%Y%m%d", "YYYYMMDD", "20240102"),
            ("day %j", r#""day "DDD"#, "day 002"),
            ("%H:%M:%S.%f", "HH24:MI:SS.MS", "03:04:05.678"),
            ("100%%", r#""100%""#, "100%"),
            (r#"a"b\c"#, r#""a\"b\\c""#, r#"a"b\c"#),
        ] {
            assert_eq!(template(format), Some((expected.to_owned(), sample.to_owned())), "{format}");
        }
        for format in ["%J", "%w", "%", "%Q"] {
            assert_eq!(template(format), None, "{format}");
        }
    }

    #[test]
    fn epochs_are_written_and_read_back() {
        for number in [0, -1, 1_700_000_000, -62_135_596_800, 253_402_300_799, 951_782_400, 1_709_164_800] {
            let text = epoch_text(number, EpochUnit::Seconds).unwrap();
            assert_eq!(parse_stamp(text.as_bytes()).unwrap().utc_microseconds(), number * 1_000_000, "{text}");
        }
        assert_eq!(epoch_text(253_402_300_800, EpochUnit::Seconds), None);
        assert_eq!(epoch_text(i64::MAX, EpochUnit::Seconds), None);
        assert_eq!(epoch_text(1, EpochUnit::Milliseconds).unwrap(), "1970-01-01 00:00:00.001000");
    }

    #[test]
    fn intervals_are_those_without_months() {
        assert_eq!(interval("+7 days"), Some("7 days".to_owned()));
        assert_eq!(interval("-1 hour"), Some("-1 hours".to_owned()));
        assert_eq!(interval("+1 month"), None);
        assert_eq!(interval("+1.5 days"), None);
    }
}
