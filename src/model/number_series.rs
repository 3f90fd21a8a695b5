//! The numbers that a sequence gives, in their order.

use crate::model::{PgType, catalog::SequenceDefinition};

/// The first number, INCREMENT and the limits of a sequence. It gives the start, the start + INCREMENT, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberSeries {
    /// The first number: START, or the next number of a sequence that has given some.
    pub start: i64,
    /// INCREMENT BY; below 0 if the sequence counts down.
    pub increment: i64,
    /// The least number that it can give.
    pub least: i64,
    /// The greatest number that it can give.
    pub most: i64,
}

impl NumberSeries {
    /// The series of a sequence without options.
    #[must_use]
    pub fn ascending(pg_type: &PgType) -> Self {
        let sequence = SequenceDefinition { start: 1, increment: 1, least: 1, most: i64::MAX, ..Default::default() };
        Self::of(&sequence, pg_type)
    }

    /// The series of a sequence whose numbers go into a column of this type, from the number that it gives next.
    #[must_use]
    pub fn of(sequence: &SequenceDefinition, pg_type: &PgType) -> Self {
        let (least, most) = match pg_type {
            PgType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            PgType::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        let increment = sequence.increment;
        let start = sequence.next.unwrap_or(sequence.start);
        Self { start, increment, least: sequence.least.max(least), most: sequence.most.min(most) }
    }

    /// Whether the sequence counts down.
    #[must_use]
    pub const fn descends(self) -> bool {
        self.increment < 0
    }

    /// Whether the sequence gives a number after another one.
    #[must_use]
    pub const fn is_beyond(self, one: i64, other: i64) -> bool {
        if self.descends() { one < other } else { one > other }
    }

    /// That of two numbers which the sequence gives later.
    #[must_use]
    pub const fn later(self, one: i64, other: i64) -> i64 {
        if self.is_beyond(other, one) { other } else { one }
    }

    /// The first number of the series beyond one that is in use; the start if none is. None if the limits leave none.
    #[must_use]
    pub fn after(self, used: Option<i64>) -> Option<i64> {
        let Some(used) = used else { return self.within(i128::from(self.start)) };
        self.within(self.number(self.steps_to(used).map_or(0, |steps| steps + 1)))
    }

    /// The first number of the series that is this one or beyond it.
    #[must_use]
    pub fn at_or_after(self, number: i64) -> Option<i64> {
        let before = if self.descends() { number.checked_add(1) } else { number.checked_sub(1) };
        self.after(before)
    }

    /// The number that the sequence has given after this many more than the start; the last one if it has less.
    #[must_use]
    pub fn nth(self, steps: u64) -> i64 {
        self.within(self.number(i128::from(steps))).unwrap_or_else(|| self.last())
    }

    /// The last number of the series within the limits. It is where a sequence stands that has no number left.
    #[must_use]
    pub fn last(self) -> i64 {
        let limit = if self.descends() { self.least } else { self.most };
        self.steps_to(limit).and_then(|steps| self.within(self.number(steps))).unwrap_or(limit)
    }

    /// Whole steps from the start to a number; none if the number is before the start.
    fn steps_to(self, number: i64) -> Option<i128> {
        let distance = i128::from(number) - i128::from(self.start);
        let distance = if self.descends() { -distance } else { distance };
        (distance >= 0).then(|| distance / i128::from(self.increment.unsigned_abs().max(1)))
    }

    fn number(self, steps: i128) -> i128 {
        i128::from(self.start) + steps * i128::from(self.increment)
    }

    fn within(self, number: i128) -> Option<i64> {
        i64::try_from(number).ok().filter(|number| (self.least..=self.most).contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_is_of_the_series_and_beyond_those_in_use() {
        let series = |start, increment, least, most| NumberSeries { start, increment, least, most };
        let tens = series(1, 10, 1, 100);
        let used = [None, Some(-7), Some(0), Some(1), Some(10), Some(11), Some(90), Some(91), Some(i64::MAX)];
        let next = [Some(1), Some(1), Some(1), Some(11), Some(11), Some(21), Some(91), None, None];
        assert_eq!(used.map(|used| tens.after(used)), next);
        assert_eq!(
            (tens.last(), tens.nth(3), tens.nth(50), tens.at_or_after(11), tens.at_or_after(12)),
            (91, 31, 91, Some(11), Some(21))
        );
        let down = series(-1, -5, -20, -1);
        assert_eq!(
            [None, Some(3), Some(-1), Some(-6), Some(-15), Some(-16)].map(|used| down.after(used)),
            [Some(-1), Some(-1), Some(-6), Some(-11), Some(-16), None]
        );
        assert_eq!((down.last(), down.later(-6, -1), down.is_beyond(-6, -1)), (-16, -6, true));
        let whole = series(1, 1, 1, i64::MAX);
        assert_eq!((whole.after(Some(i64::MAX)), whole.last(), whole.at_or_after(i64::MIN)), (None, i64::MAX, Some(1)));
    }
}
