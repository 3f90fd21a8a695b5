//! Converts times that are written without a zone from the zone that the configuration names. Zones are those of the
//! database that is built into the program, so that a plan is the same on every machine.

use std::sync::LazyLock;

use jiff::{
    civil::{Date, DateTime, Time, date},
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{model::conversion_plan::ZoneName, rules::datetime::DAY_MICROSECONDS};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Where days are counted from.
const EPOCH: Date = date(1970, 1, 1);

/// Whether there is such a zone.
#[must_use]
pub fn is_known(zone: ZoneName) -> bool {
    zone.offset_seconds().is_some() || named(zone).is_some()
}

/// The names of all zones, to propose one.
pub fn names() -> impl Iterator<Item = String> {
    ZONES.available().map(|name| name.to_string())
}

fn named(zone: ZoneName) -> Option<TimeZone> {
    ZONES.get(zone.as_str()).ok()
}

/// The point in time of a clock in this zone, both in microseconds from 1970-01-01, and whether the clock showed this
/// time once. The first of two is taken; a time that was skipped is moved by the length of the gap.
pub(super) fn to_utc(zone: ZoneName, wall: i64) -> Option<(i64, bool)> {
    if let Some(east) = zone.offset_seconds() {
        return Some((wall.checked_sub(i64::from(east) * 1_000_000)?, true));
    }
    let days = i32::try_from(wall.div_euclid(DAY_MICROSECONDS)).ok()?;
    let nanoseconds = wall.rem_euclid(DAY_MICROSECONDS).checked_mul(1000)?;
    let day = EPOCH.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let part = |number: i64| i8::try_from(number).ok();
    let time =
        Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, i32::try_from(rest).ok()?);
    let ambiguous = named(zone)?.to_ambiguous_timestamp(DateTime::from_parts(day, time.ok()?));
    let once = !ambiguous.is_ambiguous();
    Some((ambiguous.compatible().ok()?.as_microsecond(), once))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_read_in_their_zone() {
        let wall = |text: &str| crate::rules::datetime::parse_stamp(text.as_bytes()).unwrap().wall_microseconds();
        let utc = |text: &str| to_utc("Europe/Berlin".parse().unwrap(), wall(text));
        assert_eq!(utc("2024-07-01 12:00:00.000001"), Some((wall("2024-07-01 10:00:00.000001"), true)));
        assert_eq!(utc("2024-10-27 02:30"), Some((wall("2024-10-27 00:30"), false)));
        assert_eq!(utc("2024-03-31 02:30"), Some((wall("2024-03-31 01:30"), false)));
        assert_eq!(to_utc("-01:30".parse().unwrap(), 0), Some((5_400_000_000, true)));
        assert!(!is_known("Europe/Berlim".parse().unwrap()));
    }
}
