//! A moment as text.

/// RFC 3339 in UTC with milliseconds, such as `2026-01-31T23:59:59.250Z`.
#[must_use]
pub fn rfc3339_ms(milliseconds_since_1970: u64) -> String {
    let seconds = milliseconds_since_1970 / 1000;
    format!("{}.{:03}Z", stem(seconds), milliseconds_since_1970 % 1000)
}

/// RFC 3339 in UTC with seconds, such as `2026-01-31T23:59:59Z`.
#[must_use]
pub fn rfc3339_s(seconds_since_1970: u64) -> String {
    format!("{}Z", stem(seconds_since_1970))
}

fn stem(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The proleptic Gregorian date of a day counted from 1970-01-01, by eras of 400 years that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_the_standard_says() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339_ms(milliseconds), expected);
        }
        assert_eq!(rfc3339_s(1_000_000_000), "2001-09-09T01:46:40Z");
    }
}
