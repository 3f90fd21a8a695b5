//! Random rows in every conversion, with PostgreSQL's own reading of literals as the judge: equal at first, and any
//! one change is found where it was made.
//!
//! `TURSO2NEON_TEST_SEED` repeats a run.

use rusqlite::types::Value;
use turso2neon::{
    model::{
        ColumnPlan, Conversion, TablePlan,
        conversion_plan::{BlobText, EpochUnit, KeyPlan, Reckoning, VectorEncoding},
    },
    stages::verify::Level,
};

use crate::support::plan_builder::{column, table};

use super::fixture::{Hops, Prepared};

const ROWS: usize = 150;

const ROUNDS: usize = 12;

/// splitmix64.
pub(super) struct Dice(u64);

impl Dice {
    /// Begins with the given seed or one that is told.
    pub(super) fn seeded() -> Self {
        let given = std::env::var("TURSO2NEON_TEST_SEED").ok();
        let seed = given.map(|text| text.parse().expect("the seed is a number")).unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(since.subsec_nanos())
        });
        println!("TURSO2NEON_TEST_SEED={seed}");
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = u64::try_from(most - least + 1).unwrap();
        least + i64::try_from(self.below(span)).unwrap()
    }

    fn bytes(&mut self, longest: u64) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    /// Any integer, small ones and the ends more often than chance would have it.
    fn integer(&mut self) -> i64 {
        match self.below(6) {
            0 => self.between(-2, 2),
            1 => [i64::MIN, i64::MAX, 9_999, 10_000, -100_000_000][usize::try_from(self.below(5)).unwrap()],
            _ => {
                let bits = self.below(64);
                i64::from_le_bytes(self.roll().to_le_bytes()) >> bits
            }
        }
    }

    /// Any double but NaN.
    fn real(&mut self) -> f64 {
        match self.below(6) {
            0 => [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e15, 1e-5]
                [usize::try_from(self.below(9)).unwrap()],
            1 => format!("{}e-{}", self.between(-100_000, 100_000), self.below(8)).parse().unwrap(),
            _ => loop {
                let value = f64::from_bits(self.roll());
                if !value.is_nan() {
                    return value;
                }
            },
        }
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', 'B', ' ', '\'', '"', '\\', '\n', '\t', 'é', '漢', '😀', '\u{1}', '\u{feff}', '%', '0'];
        let longest = if self.below(40) == 0 { 5_000 } else { 12 };
        (0..self.below(longest)).map(|_| alphabet[usize::try_from(self.below(15)).unwrap()]).collect()
    }

    /// `YYYY-MM-DD` that exists.
    fn date(&mut self) -> String {
        format!("{:04}-{:02}-{:02}", self.between(1, 9999), self.between(1, 12), self.between(1, 28))
    }

    fn clock(&mut self) -> String {
        let hours_minutes = format!("{:02}:{:02}", self.below(24), self.below(60));
        match self.below(3) {
            0 => hours_minutes,
            1 => format!("{hours_minutes}:{:02}", self.below(60)),
            _ => format!("{hours_minutes}:{:02}.{:06}", self.below(60), self.below(1_000_000)),
        }
    }

    fn json(&mut self, depth: u64) -> String {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => ["null", "true", "false"][usize::try_from(self.below(3)).unwrap()].to_owned(),
            1 => self.between(1, i64::MAX - 1).to_string(),
            2 => format!("{}.{}e{}", self.between(1, 99), self.below(1000), self.between(-20, 20)),
            3 => serde_json::to_string(&self.text()).unwrap(),
            4 => format!("\"\\u{:04x}\\ud83d\\ude0{}\"", self.between(1, 0xd7ff), self.below(10)),
            5 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.json(depth - 1)).collect();
                format!("[{}]", items.join(" , "))
            }
            _ => {
                let members: Vec<String> =
                    (0..self.below(4)).map(|at| format!("\"k{at}\":{}", self.json(depth - 1))).collect();
                format!("{{ {} }}", members.join(","))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value for SQLite and the literal that PostgreSQL reads as what must become of it.
type Pair = (Value, String);

type Make = fn(&mut Dice) -> Pair;

fn columns() -> Vec<(&'static str, Conversion, Make)> {
    use Conversion as C;
    let text = |blobs| C::Text { blobs };
    let epoch = |unit| C::Epoch { unit };
    let vector = |encoding| C::Vector { encoding };
    vec![
        ("bigint", C::Integer, |dice| integer(dice.integer())),
        ("smallint", C::Integer, |dice| integer(dice.between(-32_768, 32_767))),
        ("boolean", C::IntegerBoolean, |dice| {
            let value = dice.between(0, 1);
            (value.into(), (value == 1).to_string())
        }),
        ("boolean", C::WordBoolean, |dice| {
            let word = ["t", "T", "True", "f", "FALSE"][usize::try_from(dice.below(5)).unwrap()];
            (word.to_owned().into(), quoted(word))
        }),
        ("double precision", C::Double, |dice| {
            let value = dice.real();
            (value.into(), format!("'{value:e}'"))
        }),
        ("numeric", C::Numeric, numeric),
        ("numeric(12,3)", C::Numeric, |dice| {
            let number = format!("{}e-{}", dice.between(-999_999_999, 999_999_999), dice.below(4));
            (number.parse::<f64>().unwrap().into(), number)
        }),
        ("text", text(BlobText::Hex), any_text),
        ("varchar(6000)", text(BlobText::Utf8OrHex), |dice| {
            let text = dice.text();
            let value = if dice.below(2) == 0 { text.clone().into() } else { text.clone().into_bytes().into() };
            (value, quoted(&text))
        }),
        ("bytea", C::Bytea, |dice| {
            let longest = if dice.below(40) == 0 { 9_000 } else { 9 };
            let bytes = dice.bytes(longest);
            (bytes.clone().into(), format!("'\\x{}'", hex(&bytes)))
        }),
        ("date", C::Date, |dice| same(dice.date())),
        ("time", C::Time, |dice| same(dice.clock())),
        ("timestamp", C::Timestamp, |dice| same(format!("{}T{}", dice.date(), dice.clock()))),
        ("timestamptz", C::TimestampTz, |dice| {
            let zone = match dice.below(3) {
                0 => "Z".to_owned(),
                1 => format!("+{:02}:{:02}", dice.below(15), dice.below(60)),
                _ => format!("-{:02}{:02}", dice.below(15), dice.below(60)),
            };
            same(format!("{} {}{zone}", dice.date(), dice.clock()))
        }),
        ("timestamptz", epoch(EpochUnit::Seconds), |dice| {
            epoch_literal(dice.between(-50_000_000_000, 200_000_000_000), 1_000_000)
        }),
        ("timestamp", epoch(EpochUnit::Milliseconds), |dice| {
            epoch_literal(dice.between(-50_000_000_000_000, 5_000_000_000_000), 1_000)
        }),
        ("timestamptz", epoch(EpochUnit::Microseconds), |dice| {
            epoch_literal(dice.between(-9_000_000_000_000_000, 9_000_000_000_000_000), 1)
        }),
        ("uuid", C::UuidText, |dice| {
            let digits = format!("{:016x}{:016X}", dice.roll(), dice.roll());
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            same(parts.join("-"))
        }),
        ("uuid", C::UuidBlob, |dice| {
            let bytes = [dice.roll().to_be_bytes(), dice.roll().to_be_bytes()].concat();
            (bytes.clone().into(), quoted(&hex(&bytes)))
        }),
        ("bigint", C::IntegerText, |dice| {
            let value = dice.integer();
            let cell: Value = if dice.below(4) == 0 { value.into() } else { value.to_string().into() };
            (cell, format!("'{value}'"))
        }),
        ("boolean", C::AnyBoolean, |dice| {
            let word = ["yes", "Y", "1", "on", "TRUE", "No", "n", "0", "Off", "f"];
            let at = usize::try_from(dice.below(10)).unwrap();
            (word[at].to_owned().into(), (at < 5).to_string())
        }),
        ("time", C::RailsTime, |dice| {
            let clock = dice.clock();
            let date = ["", "2000-01-01 ", "2000-01-01T"][usize::try_from(dice.below(3)).unwrap()];
            (format!("{date}{clock}").into(), quoted(&clock))
        }),
        ("uuid", C::UuidDotnet, |dice| {
            let bytes = [dice.roll().to_be_bytes(), dice.roll().to_be_bytes()].concat();
            let network = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| bytes[at]);
            (bytes.clone().into(), quoted(&hex(&network)))
        }),
        ("timestamptz", C::Reckoned { by: Reckoning::CoreData }, |dice| {
            let quarters = dice.between(-10_000_000_000, 10_000_000_000);
            let (_, literal) = epoch_literal(quarters * 250 + 978_307_200_000, 1_000);
            let whole = quarters % 4 == 0 && dice.below(2) == 0;
            let seconds = i32::try_from(quarters / 4).map(f64::from);
            match seconds {
                _ if whole => ((quarters / 4).into(), literal),
                Ok(seconds) => ((seconds + f64::from(i32::try_from(quarters % 4).unwrap()) / 4.0).into(), literal),
                Err(_) => (Value::Null, "NULL".to_owned()),
            }
        }),
        ("timestamp", C::Reckoned { by: Reckoning::UnixNs }, |dice| {
            let micros = dice.between(-9_000_000_000_000_000, 9_000_000_000_000_000);
            let (_, literal) = epoch_literal(micros, 1);
            ((micros * 1000).into(), literal.replace("timestamptz", "timestamp").replace("+00'", "'"))
        }),
        ("timestamptz", C::Reckoned { by: Reckoning::Julian }, |dice| {
            // 64ths of a day are exact on both sides.
            let parts = dice.between(-45_000_000, 180_000_000);
            let (_, literal) = epoch_literal(parts * 1_350_000_000, 1);
            ((f64::from(i32::try_from(parts).unwrap()) / 64.0 + 2_440_587.5).into(), literal)
        }),
        ("timestamptz", C::AnyMoment { unit: EpochUnit::Milliseconds }, |dice| {
            if dice.below(2) == 0 {
                return epoch_literal(dice.between(100_000_000_000, 5_000_000_000_000), 1_000);
            }
            let naive = format!("{} {}", dice.date(), dice.clock());
            (naive.clone().into(), quoted(&format!("{naive}Z")))
        }),
        ("json", C::Json, |dice| same(dice.json(3))),
        ("jsonb", C::Json, |dice| same(dice.json(3))),
        ("real[]", vector(VectorEncoding::F32), |dice| {
            let all: Vec<f32> = (0..dice.below(5)).map(|_| finite_single(dice)).collect();
            let mut blob: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
            blob.extend((dice.below(2) == 0).then_some(1));
            (blob.into(), array(&all))
        }),
        ("double precision[]", vector(VectorEncoding::F64), |dice| {
            let all: Vec<f64> = (0..dice.below(5)).map(|_| dice.real()).collect();
            let mut blob: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
            blob.push(2);
            (blob.into(), array(&all))
        }),
        ("bit(11)", vector(VectorEncoding::F1Bit), |dice| {
            let bits = dice.below(1 << 11);
            let [low, high, ..] = bits.to_le_bytes();
            let literal: String = (0..11).map(|at| if bits >> at & 1 == 1 { '1' } else { '0' }).collect();
            // 11 of the 32 bits before the type byte: two bytes, one of padding, and the count of the others.
            (vec![low, high, 0, 21, 3].into(), format!("B'{literal}'"))
        }),
    ]
}

fn same(text: String) -> Pair {
    let literal = quoted(&text);
    (text.into(), literal)
}

fn integer(value: i64) -> Pair {
    (value.into(), value.to_string())
}

fn numeric(dice: &mut Dice) -> Pair {
    if dice.below(3) == 0 {
        return integer(dice.integer());
    }
    // At most 15 digits: the shortest ones of the double are those that are written here.
    let (mantissa, scale) = (dice.between(-999_999_999_999_999, 999_999_999_999_999), dice.below(25));
    let number = format!("{mantissa}e-{scale}");
    // PostgreSQL takes the scale from the literal: without zeros at its end it is that of the shortest digits.
    (number.parse::<f64>().unwrap().into(), format!("trim_scale({number})"))
}

fn any_text(dice: &mut Dice) -> Pair {
    match dice.below(4) {
        0 => {
            let value = dice.integer();
            (value.into(), quoted(&value.to_string()))
        }
        1 => {
            let bytes = dice.bytes(6);
            (bytes.clone().into(), quoted(&format!("\\x{}", hex(&bytes))))
        }
        _ => same(dice.text()),
    }
}

fn epoch_literal(value: i64, unit: i64) -> Pair {
    let microseconds = value * unit;
    let (days, rest) = (microseconds.div_euclid(86_400_000_000), microseconds.rem_euclid(86_400_000_000));
    let interval = format!("'{days} days'::interval + '{rest} microseconds'::interval");
    (value.into(), format!("timestamptz '1970-01-01 00:00:00+00' + ({interval})"))
}

fn finite_single(dice: &mut Dice) -> f32 {
    loop {
        let bits = u32::try_from(dice.below(1 << 32)).unwrap();
        if f32::from_bits(bits).is_finite() {
            return f32::from_bits(bits);
        }
    }
}

fn array<T: std::fmt::LowerExp>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(|value| format!("{value:e}").replace("inf", "Infinity")).collect();
    format!("'{{{}}}'", all.join(","))
}

/// The table, its rows for SQLite, and the INSERT for PostgreSQL.
fn generate(dice: &mut Dice) -> (TablePlan, Vec<Vec<Value>>, String) {
    let makers = columns();
    let name = |at: usize| format!("c{at}");
    let of =
        |(at, (pg_type, conversion, _)): (usize, &(&str, Conversion, Make))| column(&name(at), pg_type, *conversion);
    let mut all = vec![ColumnPlan { not_null: true, ..column("id", "bigint", Conversion::Integer) }];
    all.extend(makers.iter().enumerate().map(of));
    let plan = TablePlan {
        primary_key: Some(KeyPlan { name: "chance_pkey".to_owned(), columns: vec!["id".to_owned()] }),
        ..table("chance", all)
    };
    let (mut rows, mut literals) = (Vec::new(), Vec::new());
    for id in 1..=ROWS {
        let (mut row, mut literal) = (vec![Value::Integer(i64::try_from(id).unwrap())], vec![id.to_string()]);
        for (_, _, make) in &makers {
            let (value, written) = if dice.below(8) == 0 { (Value::Null, "NULL".to_owned()) } else { make(dice) };
            row.push(value);
            literal.push(written);
        }
        rows.push(row);
        literals.push(format!("({})", literal.join(", ")));
    }
    // One statement each: a list of rows would give a column the type of its first literal.
    let inserts: Vec<String> = literals.iter().map(|row| format!("INSERT INTO {{s}}.chance VALUES {row}")).collect();
    (plan, rows, inserts.join(";\n"))
}

/// Random rows in a dump with its plan, and the INSERT for PostgreSQL.
pub(super) fn prepared(dice: &mut Dice) -> (Prepared, String) {
    let (plan, rows, inserts) = generate(dice);
    let names: Vec<String> = plan.columns.iter().map(|column| column.name.clone()).collect();
    let fill = |path: &std::path::Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        let definition = format!("CREATE TABLE chance (id INTEGER PRIMARY KEY, {})", names[1..].join(", "));
        connection.execute_batch(&definition).unwrap();
        let sql = format!("INSERT INTO chance VALUES ({})", vec!["?"; names.len()].join(", "));
        for row in rows {
            connection.execute(&sql, rusqlite::params_from_iter(row)).unwrap();
        }
    };
    (Prepared::new(fill, vec![plan]), inserts)
}

#[test]
fn random_rows_are_equal_and_any_change_is_found() {
    let mut dice = Dice::seeded();
    let (prepared, inserts) = prepared(&mut dice);
    let hops = Hops::of(prepared, &inserts);
    hops.assert_equal();
    for round in 0..ROUNDS {
        let side = ["local", "target"][round % 2];
        mutate(&hops, &mut dice, side);
    }
    assert_eq!(hops.lines(Level::Full), Vec::<String>::new());
}

/// Changes one cell of one row, or drops or doubles a row; then puts it back.
fn mutate(hops: &Hops, dice: &mut Dice, side: &str) {
    let id = dice.between(1, i64::try_from(ROWS).unwrap());
    hops.change(side, &format!("CREATE TABLE {{s}}.kept AS SELECT * FROM {{s}}.chance WHERE id = {id}"));
    let makers = columns();
    let at = usize::try_from(dice.below(u64::try_from(makers.len()).unwrap())).unwrap();
    let row = format!("{side} chance [rowid {id}]: row missing");
    let expected = match dice.below(6) {
        0 => {
            hops.change(side, &format!("DELETE FROM {{s}}.chance WHERE id = {id}"));
            row
        }
        _ => {
            let cell = format!("{side} chance.c{at} [rowid {id}]: value differs");
            if change_cell(hops, dice, side, id, at) { cell } else { String::new() }
        }
    };
    let found = hops.lines(Level::Full);
    if expected.is_empty() {
        assert_eq!(found, Vec::<String>::new());
    } else {
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        assert!(found[0].starts_with(&expected), "{expected}: {found:?}");
    }
    hops.change(
        side,
        &format!("DELETE FROM {{s}}.chance WHERE id = {id}; INSERT INTO {{s}}.chance SELECT * FROM {{s}}.kept; DROP TABLE {{s}}.kept"),
    );
}

/// Whether the new value differs from the one before, by PostgreSQL's text of both.
fn change_cell(hops: &Hops, dice: &mut Dice, side: &str, id: i64, at: usize) -> bool {
    let (_, literal) = columns()[at].2(dice);
    let literal = if dice.below(6) == 0 { "NULL".to_owned() } else { literal };
    hops.change(side, &format!("UPDATE {{s}}.chance SET c{at} = {literal} WHERE id = {id}"));
    let (database, schema) = if side == "local" {
        (&hops.local, super::fixture::LOCAL_SCHEMA)
    } else {
        (&hops.target, super::fixture::TARGET_SCHEMA)
    };
    let sql = format!(
        "SELECT k.c{at}::text IS DISTINCT FROM c.c{at}::text FROM {schema}.kept k JOIN {schema}.chance c USING (id)"
    );
    database.value(&sql) == "t"
}
