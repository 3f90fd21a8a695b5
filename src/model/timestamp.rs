//! Formats points in time as RFC 3339 text.

use jiff::Timestamp;

/// RFC 3339 in UTC with milliseconds, such as `2026-01-31T23:59:59.250Z`.
#[must_use]
pub fn rfc3339_ms(milliseconds_since_1970: u64) -> String {
    format!("{:.3}", timestamp(milliseconds_since_1970))
}

/// RFC 3339 in UTC with seconds, such as `2026-01-31T23:59:59Z`.
#[must_use]
pub fn rfc3339_s(seconds_since_1970: u64) -> String {
    format!("{:.0}", timestamp(seconds_since_1970.saturating_mul(1000)))
}

/// The last one that can be written, for a number beyond it.
fn timestamp(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds).ok().and_then(|found| Timestamp::from_millisecond(found).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_timestamps_are_written_as_the_standard_says() {
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
