//! Counts what the cells of one column contain. The hot loop of a profile: cheap tests first, each test only where the
//! type choice asks for it, and nothing is kept but counts, ranges and places.
//!
//! Invariant: tallies of parts of a table add up to the tally of the whole, whatever the parts are.

use std::collections::BTreeSet;

use super::{Candidate, ColumnScan};
use crate::{
    model::{
        cell::{SqliteCell, StorageClass},
        column_profile::ColumnProfile,
    },
    rules::{
        decimal::{DOUBLE_EXACT_MOST, Decimal},
        type_choice::value_check,
        value_shape::{
            self, BlobShape, BooleanWord, StampKind, TextShape, WantedShapes, json::Checker, json::JsonTarget, jsonb,
            vector, word,
        },
    },
};

/// How many offsets a profile names.
const OFFSETS_MOST: usize = 8;

/// 2^51: below it, adding and subtracting 2^52 rounds a double to a whole number.
const ROUNDING_MOST: f64 = 2_251_799_813_685_248.0;
const ROUNDING: f64 = 4_503_599_627_370_496.0;
/// 2^63.
const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Counts by shape.
#[derive(Debug, Default)]
struct ShapeCounts {
    date: u64,
    naive: u64,
    zoned: u64,
    time: u64,
    uuid: u64,
    letter: u64,
    truth: u64,
    jsonb: u64,
    json: u64,
    not_json: bool,
    uuid_bytes: u64,
    uuid_bytes_v4: u64,
    uuid_bytes_swapped: u64,
    vector: u64,
    sqlite_jsonb: u64,
    sqlite_json: u64,
    not_sqlite_jsonb: bool,
}

/// Cells that a type of the configuration doesn't take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// How many.
    pub count: u64,
    /// Where the first is.
    pub first: Option<i64>,
}

/// What was counted of one column so far.
#[derive(Debug)]
pub(super) struct ColumnAccumulator<'a> {
    wanted: WantedShapes,
    /// An empty TEXT is read as NULL.
    empty_as_null: bool,
    candidates: &'a [Candidate],
    mismatches: Vec<Mismatches>,
    profile: ColumnProfile,
    shapes: ShapeCounts,
    offsets: BTreeSet<i32>,
    checker: Checker,
}

impl<'a> ColumnAccumulator<'a> {
    pub(super) fn new(wanted: WantedShapes, candidates: &'a [Candidate]) -> Self {
        Self {
            wanted,
            empty_as_null: false,
            candidates,
            mismatches: vec![Mismatches::default(); candidates.len()],
            profile: ColumnProfile::default(),
            shapes: ShapeCounts::default(),
            offsets: BTreeSet::new(),
            checker: Checker::default(),
        }
    }

    /// The tally of a column whose scan says so.
    pub(super) fn of(scan: &'a ColumnScan) -> Self {
        Self { empty_as_null: scan.empty_as_null, ..Self::new(scan.wanted, &scan.candidates) }
    }

    /// Counts one cell; returns its bytes. Cells must come in the order of their places.
    #[inline]
    pub(super) fn add(&mut self, at: i64, mut cell: SqliteCell<'_>) -> u64 {
        if self.empty_as_null && cell == SqliteCell::Text(b"") {
            self.profile.texts_empty += 1;
            cell = SqliteCell::Null;
        }
        if !self.candidates.is_empty() {
            self.try_candidates(at, cell);
        }
        match cell {
            SqliteCell::Null => {
                if self.profile.nulls == 0 {
                    self.profile.first_of_class.push((StorageClass::Null, at));
                }
                self.profile.nulls += 1;
                0
            }
            SqliteCell::Integer(value) => {
                self.add_integer(at, value);
                8
            }
            SqliteCell::Real(value) => {
                self.add_real(at, value);
                8
            }
            SqliteCell::Text(text) => {
                self.add_text(at, text);
                text.len() as u64
            }
            SqliteCell::Blob(blob) => {
                self.add_blob(at, blob);
                blob.len() as u64
            }
        }
    }

    fn try_candidates(&mut self, at: i64, cell: SqliteCell<'_>) {
        for (candidate, mismatches) in self.candidates.iter().zip(&mut self.mismatches) {
            if !value_check::accepts(&candidate.pg_type, candidate.conversion, cell, &mut self.checker) {
                mismatches.count += 1;
                mismatches.first.get_or_insert(at);
            }
        }
    }

    #[inline]
    fn add_integer(&mut self, at: i64, value: i64) {
        let profile = &mut self.profile;
        if let Some((least, most)) = &mut profile.integer_range {
            *least = value.min(*least);
            *most = value.max(*most);
        } else {
            profile.integer_range = Some((value, value));
            profile.first_of_class.push((StorageClass::Integer, at));
        }
        profile.integers += 1;
        profile.integers_beyond_double += u64::from(value.unsigned_abs() > DOUBLE_EXACT_MOST);
        if self.wanted.decimal_digits {
            let digits = value.unsigned_abs().checked_ilog10().map_or(0, |power| power + 1);
            let whole = &mut profile.decimal_digits.0;
            *whole = u16::try_from(digits).unwrap_or(u16::MAX).max(*whole);
        }
    }

    #[inline]
    fn add_real(&mut self, at: i64, value: f64) {
        let profile = &mut self.profile;
        if profile.reals == 0 {
            profile.first_of_class.push((StorageClass::Real, at));
        }
        profile.reals += 1;
        profile.reals_integral += u64::from(is_whole(value));
        profile.reals_infinite += u64::from(value.is_infinite());
        profile.reals_negative_zero += u64::from(value.to_bits() == (-0.0_f64).to_bits());
        if self.wanted.decimal_digits
            && !fits_digits(value, profile.decimal_digits)
            && let Some(decimal) = Decimal::from_real(value)
        {
            let (whole, fraction) = &mut profile.decimal_digits;
            *whole = decimal.whole_digits().max(*whole);
            *fraction = decimal.scale().max(*fraction);
        }
    }

    #[inline]
    fn add_text(&mut self, at: i64, text: &[u8]) {
        let profile = &mut self.profile;
        if profile.texts == 0 {
            profile.first_of_class.push((StorageClass::Text, at));
        }
        profile.texts += 1;
        let scan = value_shape::scan(text);
        let bytes = text.len() as u64;
        let (most_characters, most_bytes) = &mut profile.text_longest;
        *most_bytes = bytes.max(*most_bytes);
        profile.texts_empty += u64::from(bytes == 0);
        // Characters are at most as many as bytes, so that most texts needn't be counted.
        let limit = self.wanted.characters.map_or(u64::MAX, u64::from);
        if scan.ascii {
            *most_characters = bytes.max(*most_characters);
            profile.texts_over_declared += u64::from(bytes > limit);
        } else {
            let Ok(text) = str::from_utf8(text) else {
                profile.texts_not_utf8 += 1;
                profile.first_not_storable.get_or_insert(at);
                self.off_shape(at);
                return;
            };
            if bytes > *most_characters || bytes > limit {
                let characters = text.chars().count() as u64;
                *most_characters = characters.max(*most_characters);
                profile.texts_over_declared += u64::from(characters > limit);
            }
        }
        if scan.nul {
            profile.texts_with_nul += 1;
            profile.first_not_storable.get_or_insert(at);
        }
        let is_shaped = match self.wanted.text {
            Some(shape) => self.add_text_shape(at, text, shape),
            None => false,
        };
        if self.wanted.whole_texts {
            self.profile.texts_whole += u64::from(value_shape::whole_number(text).is_some());
        }
        // A date or a UUID is no number; a JSON document can be one.
        if self.wanted.number_texts && !is_shaped {
            self.profile.texts_like_numbers += u64::from(value_shape::like_number(text));
        }
    }

    /// Counts a text's shape; whether it has one that no number has.
    fn add_text_shape(&mut self, at: i64, text: &[u8], wanted: TextShape) -> bool {
        let shapes = &mut self.shapes;
        let printed = match wanted {
            TextShape::Stamp => self.add_stamp(text),
            TextShape::Clock => match value_shape::clock(text) {
                Some(printed) => {
                    shapes.time += 1;
                    Some(printed)
                }
                None => self.add_stamp(text),
            },
            TextShape::Uuid => value_shape::uuid(text).inspect(|_| shapes.uuid += 1),
            TextShape::Truth => value_shape::truth(text).map(|found| {
                match found {
                    BooleanWord::Letter => shapes.letter += 1,
                    BooleanWord::Word => shapes.truth += 1,
                }
                true
            }),
            TextShape::Json => self.add_json(text).map(|()| true),
        };
        match printed {
            Some(printed) => self.profile.texts_respelled += u64::from(!printed),
            None => self.off_shape(at),
        }
        printed.is_some() && wanted != TextShape::Json
    }

    /// One text that isn't JSON settles the column's type; the others needn't be read then.
    fn add_json(&mut self, text: &[u8]) -> Option<()> {
        let shapes = &mut self.shapes;
        if shapes.not_json {
            return None;
        }
        match self.checker.check(text) {
            Some(JsonTarget::Jsonb) => shapes.jsonb += 1,
            Some(JsonTarget::Json) => shapes.json += 1,
            None => {
                shapes.not_json = true;
                return None;
            }
        }
        Some(())
    }

    fn add_stamp(&mut self, text: &[u8]) -> Option<bool> {
        let (kind, printed) = value_shape::stamp(text)?;
        match kind {
            StampKind::Date => self.shapes.date += 1,
            StampKind::Naive => self.shapes.naive += 1,
            StampKind::Zoned(offset) => {
                self.shapes.zoned += 1;
                self.offsets.insert(offset);
            }
        }
        Some(printed)
    }

    #[inline]
    fn add_blob(&mut self, at: i64, blob: &[u8]) {
        let profile = &mut self.profile;
        if profile.blobs == 0 {
            profile.first_of_class.push((StorageClass::Blob, at));
        }
        profile.blobs += 1;
        profile.blob_longest = profile.blob_longest.max(blob.len() as u64);
        let on_shape = match self.wanted.blob {
            None => return,
            Some(BlobShape::Uuid) => {
                let found = value_shape::uuid_bytes(blob);
                self.shapes.uuid_bytes += u64::from(found.network);
                self.shapes.uuid_bytes_v4 += u64::from(found.network_v4);
                self.shapes.uuid_bytes_swapped += u64::from(found.swapped_v4);
                found.network || found.swapped_v4
            }
            Some(BlobShape::Jsonb) => self.add_jsonb(blob).is_some(),
            Some(BlobShape::Vector(encoding, length)) => {
                let found = vector::fits(encoding, length, blob);
                self.shapes.vector += u64::from(found);
                found
            }
        };
        if !on_shape {
            self.off_shape(at);
        }
    }

    /// One blob that isn't JSONB settles the column's type, as with JSON.
    fn add_jsonb(&mut self, blob: &[u8]) -> Option<()> {
        let shapes = &mut self.shapes;
        if shapes.not_sqlite_jsonb {
            return None;
        }
        match jsonb::text_of(blob).and_then(|text| self.checker.check(text.as_bytes())) {
            Some(JsonTarget::Jsonb) => shapes.sqlite_jsonb += 1,
            Some(JsonTarget::Json) => shapes.sqlite_json += 1,
            None => {
                shapes.not_sqlite_jsonb = true;
                return None;
            }
        }
        Some(())
    }

    fn off_shape(&mut self, at: i64) {
        if self.wanted.text.is_some() || self.wanted.blob.is_some() {
            self.profile.first_off_shape.get_or_insert(at);
        }
    }

    /// Adds what was counted of another part of the table.
    pub(super) fn merge(&mut self, other: Self) {
        merge_profiles(&mut self.profile, other.profile);
        self.shapes.merge(&other.shapes);
        self.offsets.extend(other.offsets);
        for (own, other) in self.mismatches.iter_mut().zip(other.mismatches) {
            own.count += other.count;
            own.first = least(own.first, other.first);
        }
    }

    /// The finished profile.
    pub(super) fn finish(mut self) -> (ColumnProfile, Vec<Mismatches>) {
        self.profile.first_of_class.sort_unstable();
        self.profile.offsets = self.offsets.into_iter().take(OFFSETS_MOST).collect();
        self.profile.shapes = self.shapes.named();
        (self.profile, self.mismatches)
    }
}

impl ShapeCounts {
    fn merge(&mut self, other: &Self) {
        for (own, other) in [
            (&mut self.date, other.date),
            (&mut self.naive, other.naive),
            (&mut self.zoned, other.zoned),
            (&mut self.time, other.time),
            (&mut self.uuid, other.uuid),
            (&mut self.letter, other.letter),
            (&mut self.truth, other.truth),
            (&mut self.jsonb, other.jsonb),
            (&mut self.json, other.json),
            (&mut self.uuid_bytes, other.uuid_bytes),
            (&mut self.uuid_bytes_v4, other.uuid_bytes_v4),
            (&mut self.uuid_bytes_swapped, other.uuid_bytes_swapped),
            (&mut self.vector, other.vector),
            (&mut self.sqlite_jsonb, other.sqlite_jsonb),
            (&mut self.sqlite_json, other.sqlite_json),
        ] {
            *own += other;
        }
        self.not_json |= other.not_json;
        self.not_sqlite_jsonb |= other.not_sqlite_jsonb;
    }

    /// The counts by name. Counts of JSON are left out where a text was no JSON: how many were looked at before depends
    /// on how the table was divided.
    fn named(&self) -> std::collections::BTreeMap<String, u64> {
        let json = |count: u64| if self.not_json { 0 } else { count };
        let jsonb = |count: u64| if self.not_sqlite_jsonb { 0 } else { count };
        [
            (word::DATE, self.date),
            (word::TIMESTAMP, self.naive),
            (word::ZONED, self.zoned),
            (word::TIME, self.time),
            (word::UUID, self.uuid),
            (word::LETTER, self.letter),
            (word::TRUTH, self.truth),
            (word::JSONB, json(self.jsonb)),
            (word::JSON, json(self.json)),
            (word::UUID_BYTES, self.uuid_bytes),
            (word::UUID_BYTES_V4, self.uuid_bytes_v4),
            (word::UUID_BYTES_SWAPPED, self.uuid_bytes_swapped),
            (word::VECTOR, self.vector),
            (word::SQLITE_JSONB, jsonb(self.sqlite_jsonb)),
            (word::SQLITE_JSON, jsonb(self.sqlite_json)),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }
}

fn merge_profiles(own: &mut ColumnProfile, other: ColumnProfile) {
    for (sum, more) in [
        (&mut own.nulls, other.nulls),
        (&mut own.integers, other.integers),
        (&mut own.reals, other.reals),
        (&mut own.texts, other.texts),
        (&mut own.blobs, other.blobs),
        (&mut own.integers_beyond_double, other.integers_beyond_double),
        (&mut own.reals_integral, other.reals_integral),
        (&mut own.reals_infinite, other.reals_infinite),
        (&mut own.reals_negative_zero, other.reals_negative_zero),
        (&mut own.texts_empty, other.texts_empty),
        (&mut own.texts_with_nul, other.texts_with_nul),
        (&mut own.texts_not_utf8, other.texts_not_utf8),
        (&mut own.texts_like_numbers, other.texts_like_numbers),
        (&mut own.texts_whole, other.texts_whole),
        (&mut own.texts_over_declared, other.texts_over_declared),
        (&mut own.texts_respelled, other.texts_respelled),
    ] {
        *sum += more;
    }
    own.integer_range = match (own.integer_range, other.integer_range) {
        (Some((least, most)), Some((other_least, other_most))) => Some((least.min(other_least), most.max(other_most))),
        (one, other) => one.or(other),
    };
    own.decimal_digits.0 = own.decimal_digits.0.max(other.decimal_digits.0);
    own.decimal_digits.1 = own.decimal_digits.1.max(other.decimal_digits.1);
    own.text_longest.0 = own.text_longest.0.max(other.text_longest.0);
    own.text_longest.1 = own.text_longest.1.max(other.text_longest.1);
    own.blob_longest = own.blob_longest.max(other.blob_longest);
    own.first_not_storable = least(own.first_not_storable, other.first_not_storable);
    own.first_off_shape = least(own.first_off_shape, other.first_off_shape);
    for (class, at) in other.first_of_class {
        match own.first_of_class.iter_mut().find(|(found, _)| *found == class) {
            Some((_, first)) => *first = at.min(*first),
            None => own.first_of_class.push((class, at)),
        }
    }
}

fn least(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether a double is a whole number within int64.
fn is_whole(value: f64) -> bool {
    let size = value.abs();
    if size < ROUNDING_MOST {
        same((size + ROUNDING) - ROUNDING, size)
    } else {
        size < INTEGER_END && same(size.trunc(), size)
    }
}

/// Whether a double has surely no more digits before and after the point than these, without writing it.
///
/// A decimal of at most 15 digits reads back as itself, so that it is the shortest one for its double.
fn fits_digits(value: f64, (whole, fraction): (u16, u16)) -> bool {
    let (Some(below), Some(scale)) = (POWERS.get(usize::from(whole)), POWERS.get(usize::from(fraction))) else {
        return false;
    };
    let size = value.abs();
    let scaled = size * scale;
    if size >= *below || scaled >= 1e15 {
        return false;
    }
    same(((scaled + ROUNDING) - ROUNDING) / scale, size)
}

fn same(one: f64, other: f64) -> bool {
    one.to_bits() == other.to_bits()
}

#[cfg(test)]
mod tests;
