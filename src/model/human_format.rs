//! Formats numbers for people: counts, bytes, durations.

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `2 tables, 1,234 rows`.
#[must_use]
pub fn tables_and_rows(tables: u64, rows: u64) -> String {
    format!("{}, {}", counted(tables, "table", "tables"), counted(rows, "row", "rows"))
}

/// `1 finding needs a decision`, `2 findings need a decision`.
#[must_use]
pub fn findings_to_decide(number: u64) -> String {
    counted(number, "finding needs a decision", "findings need a decision")
}

/// Bytes in decimal units with one decimal: `999 B`, `1.5 kB`, `12.0 MB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    if number < 1000 {
        return format!("{number} B");
    }
    let mut unit = 1000_u64;
    for name in ["kB", "MB", "GB"] {
        if number / unit < 1000 {
            return format!("{} {name}", tenths(number, unit));
        }
        unit *= 1000;
    }
    format!("{} TB", tenths(number, unit))
}

/// A duration in milliseconds: `45 ms`, `1.2 s`, `2 min 05 s`, `1 h 02 min`.
#[must_use]
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{} s", tenths(milliseconds, 1000)),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// How much per second, for an amount in a time; 0 without time.
#[must_use]
pub fn per_second(amount: u64, milliseconds: u64) -> u64 {
    let rate = u128::from(amount) * 1000 / u128::from(milliseconds.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn tenths(number: u64, unit: u64) -> String {
    let tenths = u128::from(number) * 10 / u128::from(unit);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1000, 1_549_999, 2_000_000_000_000].map(bytes), ["999 B", "1.0 kB", "1.5 MB", "2.0 TB"]);
        assert_eq!([45, 1250, 125_000, 3_725_000].map(duration), ["45 ms", "1.2 s", "2 min 05 s", "1 h 02 min"]);
        assert_eq!(per_second(10, 2000), 5);
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!([1, 2].map(findings_to_decide), ["1 finding needs a decision", "2 findings need a decision"]);
    }
}
