//! Random rows in every conversion, with PostgreSQL's own reading of literals as the judge: equal at first, and any
//! one change is found where it was made.
//!
//! `TURSO2NEON_TEST_SEED` repeats a run.

use rusqlite::types::Value;
use turso2neon::{
    model::{
        ColumnPlan, Conversion, TablePlan,
        conversion_plan::{BlobText, EpochUnit, KeyPlan, TimeEncoding, VectorEncoding},
    },
    stages::verify::VerifyLevel,
};

use crate::support::plan_builder::{column, table};

use super::fixture::{Hops, Prepared};

const ROWS: usize = 150;

const ROUNDS: usize = 12;

/// splitmix64.
pub(super) struct Rng(u64);

impl Rng {
    /// Begins with the given seed or one that is printed.
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

type ValueGenerator = fn(&mut Rng) -> Pair;

fn columns() -> Vec<(&'static str, Conversion, ValueGenerator)> {
    use Conversion as C;
    let text = |blobs| C::Text { blobs };
    let epoch = |unit| C::Epoch { unit };
    let vector = |encoding| C::Vector { encoding };
    vec![
        ("bigint", C::Integer, |rng| integer(rng.integer())),
        ("smallint", C::Integer, |rng| integer(rng.between(-32_768, 32_767))),
        ("boolean", C::IntegerBoolean, |rng| {
            let value = rng.between(0, 1);
            (value.into(), (value == 1).to_string())
        }),
        ("boolean", C::WordBoolean, |rng| {
            let word = ["t", "T", "True", "f", "FALSE"][usize::try_from(rng.below(5)).unwrap()];
            (word.to_owned().into(), quoted(word))
        }),
        ("double precision", C::Double, |rng| {
            let value = rng.real();
            (value.into(), format!("'{value:e}'"))
        }),
        ("numeric", C::Numeric, numeric),
        ("numeric(12,3)", C::Numeric, |rng| {
            let number = format!("{}e-{}", rng.between(-999_999_999, 999_999_999), rng.below(4));
            (number.parse::<f64>().unwrap().into(), number)
        }),
        ("text", text(BlobText::Hex), any_text),
        ("varchar(6000)", text(BlobText::Utf8OrHex), |rng| {
            let text = rng.text();
            let value = if rng.below(2) == 0 { text.clone().into() } else { text.clone().into_bytes().into() };
            (value, quoted(&text))
        }),
        ("bytea", C::Bytea, |rng| {
            let longest = if rng.below(40) == 0 { 9_000 } else { 9 };
            let bytes = rng.bytes(longest);
            (bytes.clone().into(), format!("'\\x{}'", hex(&bytes)))
        }),
        ("date", C::Date, |rng| same(rng.date())),
        ("time", C::Time, |rng| same(rng.clock())),
        ("timestamp", C::Timestamp, |rng| same(format!("{}T{}", rng.date(), rng.clock()))),
        ("timestamptz", C::TimestampTz, |rng| {
            let zone = match rng.below(3) {
                0 => "Z".to_owned(),
                1 => format!("+{:02}:{:02}", rng.below(15), rng.below(60)),
                _ => format!("-{:02}{:02}", rng.below(15), rng.below(60)),
            };
            same(format!("{} {}{zone}", rng.date(), rng.clock()))
        }),
        ("timestamptz", epoch(EpochUnit::Seconds), |rng| {
            epoch_literal(rng.between(-50_000_000_000, 200_000_000_000), 1_000_000)
        }),
        ("timestamp", epoch(EpochUnit::Milliseconds), |rng| {
            epoch_literal(rng.between(-50_000_000_000_000, 5_000_000_000_000), 1_000)
        }),
        ("timestamptz", epoch(EpochUnit::Microseconds), |rng| {
            epoch_literal(rng.between(-9_000_000_000_000_000, 9_000_000_000_000_000), 1)
        }),
        ("uuid", C::UuidText, |rng| {
            let digits = format!("{:016x}{:016X}", rng.roll(), rng.roll());
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            same(parts.join("-"))
        }),
        ("uuid", C::UuidBlob, |rng| {
            let bytes = [rng.roll().to_be_bytes(), rng.roll().to_be_bytes()].concat();
            (bytes.clone().into(), quoted(&hex(&bytes)))
        }),
        ("bigint", C::IntegerText, |rng| {
            let value = rng.integer();
            let cell: Value = if rng.below(4) == 0 { value.into() } else { value.to_string().into() };
            (cell, format!("'{value}'"))
        }),
        ("boolean", C::AnyBoolean, |rng| {
            let word = ["yes", "Y", "1", "on", "TRUE", "No", "n", "0", "Off", "f"];
            let at = usize::try_from(rng.below(10)).unwrap();
            (word[at].to_owned().into(), (at < 5).to_string())
        }),
        ("time", C::RailsTime, |rng| {
            let clock = rng.clock();
            let date = ["", "2000-01-01 ", "2000-01-01T"][usize::try_from(rng.below(3)).unwrap()];
            (format!("{date}{clock}").into(), quoted(&clock))
        }),
        ("uuid", C::UuidDotnet, |rng| {
            let bytes = [rng.roll().to_be_bytes(), rng.roll().to_be_bytes()].concat();
            let network = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| bytes[at]);
            (bytes.clone().into(), quoted(&hex(&network)))
        }),
        ("timestamptz", C::Computed { by: TimeEncoding::CoreData }, |rng| {
            let quarters = rng.between(-10_000_000_000, 10_000_000_000);
            let (_, literal) = epoch_literal(quarters * 250 + 978_307_200_000, 1_000);
            let whole = quarters % 4 == 0 && rng.below(2) == 0;
            let seconds = i32::try_from(quarters / 4).map(f64::from);
            match seconds {
                _ if whole => ((quarters / 4).into(), literal),
                Ok(seconds) => ((seconds + f64::from(i32::try_from(quarters % 4).unwrap()) / 4.0).into(), literal),
                Err(_) => (Value::Null, "NULL".to_owned()),
            }
        }),
        ("timestamp", C::Computed { by: TimeEncoding::UnixNs }, |rng| {
            let micros = rng.between(-9_000_000_000_000_000, 9_000_000_000_000_000);
            let (_, literal) = epoch_literal(micros, 1);
            ((micros * 1000).into(), literal.replace("timestamptz", "timestamp").replace("+00'", "'"))
        }),
        ("timestamptz", C::Computed { by: TimeEncoding::Julian }, |rng| {
            // 64ths of a day are exact on both sides.
            let parts = rng.between(-45_000_000, 180_000_000);
            let (_, literal) = epoch_literal(parts * 1_350_000_000, 1);
            ((f64::from(i32::try_from(parts).unwrap()) / 64.0 + 2_440_587.5).into(), literal)
        }),
        ("timestamptz", C::AnyTimestamp { unit: EpochUnit::Milliseconds }, |rng| {
            if rng.below(2) == 0 {
                return epoch_literal(rng.between(100_000_000_000, 5_000_000_000_000), 1_000);
            }
            let naive = format!("{} {}", rng.date(), rng.clock());
            (naive.clone().into(), quoted(&format!("{naive}Z")))
        }),
        ("json", C::Json, |rng| same(rng.json(3))),
        ("jsonb", C::Json, |rng| same(rng.json(3))),
        ("real[]", vector(VectorEncoding::F32), |rng| {
            let all: Vec<f32> = (0..rng.below(5)).map(|_| finite_single(rng)).collect();
            let mut blob: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
            blob.extend((rng.below(2) == 0).then_some(1));
            (blob.into(), array(&all))
        }),
        ("double precision[]", vector(VectorEncoding::F64), |rng| {
            let all: Vec<f64> = (0..rng.below(5)).map(|_| rng.real()).collect();
            let mut blob: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
            blob.push(2);
            (blob.into(), array(&all))
        }),
        ("bit(11)", vector(VectorEncoding::F1Bit), |rng| {
            let bits = rng.below(1 << 11);
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

fn numeric(rng: &mut Rng) -> Pair {
    if rng.below(3) == 0 {
        return integer(rng.integer());
    }
    // At most 15 digits: the shortest ones of the double are those that are written here.
    let (mantissa, scale) = (rng.between(-999_999_999_999_999, 999_999_999_999_999), rng.below(25));
    let number = format!("{mantissa}e-{scale}");
    // PostgreSQL takes the scale from the literal: without zeros at its end it is that of the shortest digits.
    (number.parse::<f64>().unwrap().into(), format!("trim_scale({number})"))
}

fn any_text(rng: &mut Rng) -> Pair {
    match rng.below(4) {
        0 => {
            let value = rng.integer();
            (value.into(), quoted(&value.to_string()))
        }
        1 => {
            let bytes = rng.bytes(6);
            (bytes.clone().into(), quoted(&format!("\\x{}", hex(&bytes))))
        }
        _ => same(rng.text()),
    }
}

fn epoch_literal(value: i64, unit: i64) -> Pair {
    let microseconds = value * unit;
    let (days, rest) = (microseconds.div_euclid(86_400_000_000), microseconds.rem_euclid(86_400_000_000));
    let interval = format!("'{days} days'::interval + '{rest} microseconds'::interval");
    (value.into(), format!("timestamptz '1970-01-01 00:00:00+00' + ({interval})"))
}

fn finite_single(rng: &mut Rng) -> f32 {
    loop {
        let bits = u32::try_from(rng.below(1 << 32)).unwrap();
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
fn generate(rng: &mut Rng) -> (TablePlan, Vec<Vec<Value>>, String) {
    let makers = columns();
    let name = |at: usize| format!("c{at}");
    let of = |(at, (pg_type, conversion, _)): (usize, &(&str, Conversion, ValueGenerator))| {
        column(&name(at), pg_type, *conversion)
    };
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
            let (value, written) = if rng.below(8) == 0 { (Value::Null, "NULL".to_owned()) } else { make(rng) };
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
pub(super) fn prepared(rng: &mut Rng) -> (Prepared, String) {
    let (plan, rows, inserts) = generate(rng);
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
    let mut rng = Rng::seeded();
    let (prepared, inserts) = prepared(&mut rng);
    let hops = Hops::of(prepared, &inserts);
    hops.assert_equal();
    for round in 0..ROUNDS {
        let side = ["local", "target"][round % 2];
        mutate(&hops, &mut rng, side);
    }
    assert_eq!(hops.lines(VerifyLevel::Full), Vec::<String>::new());
}

/// Changes one cell of one row, or drops or doubles a row; then puts it back.
fn mutate(hops: &Hops, rng: &mut Rng, side: &str) {
    let id = rng.between(1, i64::try_from(ROWS).unwrap());
    hops.change(side, &format!("CREATE TABLE {{s}}.kept AS SELECT * FROM {{s}}.chance WHERE id = {id}"));
    let makers = columns();
    let at = usize::try_from(rng.below(u64::try_from(makers.len()).unwrap())).unwrap();
    let row = format!("{side} chance [rowid {id}]: row missing");
    let expected = match rng.below(6) {
        0 => {
            hops.change(side, &format!("DELETE FROM {{s}}.chance WHERE id = {id}"));
            row
        }
        _ => {
            let cell = format!("{side} chance.c{at} [rowid {id}]: value differs");
            if change_cell(hops, rng, side, id, at) { cell } else { String::new() }
        }
    };
    let found = hops.lines(VerifyLevel::Full);
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
fn change_cell(hops: &Hops, rng: &mut Rng, side: &str, id: i64, at: usize) -> bool {
    let (_, literal) = columns()[at].2(rng);
    let literal = if rng.below(6) == 0 { "NULL".to_owned() } else { literal };
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
