//! A random SQLite file: declarations of all habits, values of all classes.

use std::{fmt::Write as _, path::Path};

use rusqlite::{Connection, types::Value};
use turso2neon::model::identifier::quote_ident;

use crate::support::Rng;

const DECLARED: &[&str] = &[
    "",
    "INT",
    "INTEGER",
    "TINYINT",
    "BIGINT",
    "UNSIGNED BIG INT",
    "INT8",
    "tinyint(1)",
    "BOOLEAN",
    "bool",
    "BIT",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "DOUBLE PRECISION",
    "FLOAT32(3)",
    "NUMERIC",
    "DECIMAL",
    "DECIMAL(10,2)",
    "DECIMAL(5,7)",
    "NUMERIC(4,0)",
    "MONEY",
    "TEXT",
    "CHAR(4)",
    "VARCHAR(5)",
    "VARCHAR",
    "NVARCHAR(200)",
    "CLOB",
    "STRING",
    "citext",
    "BLOB",
    "BINARY(16)",
    "bytea",
    "image",
    "DATE",
    "TIME",
    "DATETIME",
    "datetime(6)",
    "TIMESTAMP",
    "timestamptz",
    "UUID",
    "GUID",
    "uniqueidentifier",
    "JSON",
    "JSONB",
    "ANY",
    "INET",
    "YEAR",
    "SERIAL",
    "LONG",
    "INTERVAL",
    "POINT",
    "XML",
    "FLOATING POINT",
];

const STRICT: &[&str] = &["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];

const ODD_NAMES: &[&str] = &[
    "select",
    "a b",
    "quo\"te",
    "É",
    "é",
    "ctid",
    "xmin",
    "MixedCase",
    "日本語",
    "100%",
    "$1",
    "a\\b",
    "line\nbreak",
    "it's",
    "x;--",
    "😀",
    "a_name_of_more_than_sixty_three_bytes_that_postgresql_would_cut_in_half",
    "dot.ted",
    "tableoid",
    "oid",
    "user",
    "[b]",
    "`c`",
];

/// A made file.
pub(super) struct Database {
    /// What made it, as SQL for a failure's message; values are left out.
    pub(super) script: String,
}

/// How the rows of a table are distinguished.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    /// `id INTEGER PRIMARY KEY`.
    Alias,
    /// `id INT PRIMARY KEY`.
    Plain,
    /// `id TEXT PRIMARY KEY`, WITHOUT ROWID.
    Text,
    /// Two columns, WITHOUT ROWID.
    Two,
}

impl Database {
    /// Makes one with some tables.
    pub(super) fn make(rng: &mut Rng, path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys=off; PRAGMA journal_mode=off; PRAGMA synchronous=off").unwrap();
        let encoding = if rng.once_in(12) { "UTF-16le" } else { "UTF-8" };
        connection.execute_batch(&format!("PRAGMA encoding = '{encoding}'; BEGIN")).unwrap();
        let mut script = format!("PRAGMA encoding = '{encoding}';\n");
        for number in 0..2 + rng.below(4) {
            let is_utf8 = encoding == "UTF-8";
            table(rng, number, &connection, &mut script, is_utf8);
        }
        connection.execute_batch("COMMIT").unwrap();
        Self { script }
    }
}

fn table(rng: &mut Rng, number: usize, connection: &Connection, script: &mut String, is_utf8: bool) {
    let name = if rng.once_in(4) { format!("t{number} {}", rng.pick(ODD_NAMES)) } else { format!("t{number}") };
    let strict = rng.once_in(4);
    let key = rng.pick(&[Key::Alias, Key::Alias, Key::Plain, Key::Text, Key::Two]);
    let mut columns: Vec<String> = Vec::new();
    let keys: &[&str] = match key {
        Key::Alias => &["id INTEGER PRIMARY KEY"],
        Key::Plain => &["id INT PRIMARY KEY"],
        Key::Text => &["id TEXT PRIMARY KEY"],
        Key::Two => &["id INT", "id2 TEXT"],
    };
    columns.extend(keys.iter().map(|key| (*key).to_owned()));
    let mut themes = Vec::new();
    let mut names = Vec::new();
    for at in 0..=rng.below(9) {
        let name = if rng.once_in(6) { format!("{}{at}", rng.pick(ODD_NAMES)) } else { format!("c{at}") };
        let declared = rng.pick(if strict { STRICT } else { DECLARED });
        let mut column = format!("{} {declared}", quote_ident(&name));
        if rng.once_in(12) {
            column.push_str(" UNIQUE");
        }
        if rng.once_in(15) {
            column.push_str(rng.pick(&[" COLLATE NOCASE", " COLLATE RTRIM", " COLLATE BINARY"]));
        }
        if rng.once_in(8) {
            column.push_str(rng.pick(&[
                " DEFAULT 1",
                " DEFAULT ''",
                " DEFAULT 'x'",
                " DEFAULT NULL",
                " DEFAULT 1.5",
                " DEFAULT CURRENT_TIMESTAMP",
                " DEFAULT x'00'",
                " DEFAULT TRUE",
            ]));
        }
        columns.push(column);
        names.push(name);
        themes.push(Theme::of(rng, declared));
    }
    if key == Key::Two {
        columns.push("PRIMARY KEY(id, id2)".to_owned());
    }
    let mut options = Vec::new();
    options.extend(matches!(key, Key::Text | Key::Two).then_some("WITHOUT ROWID"));
    options.extend(strict.then_some("STRICT"));
    let sql = format!("CREATE TABLE {} ({}) {}", quote_ident(&name), columns.join(", "), options.join(", "));
    connection.execute_batch(&sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    writeln!(script, "{sql};").unwrap();
    index(rng, number, &name, &names, connection, script);
    let width = keys.len() + names.len();
    let insert = format!("INSERT OR IGNORE INTO {} VALUES ({})", quote_ident(&name), vec!["?"; width].join(", "));
    // A bound text is always valid; what isn't goes in as bytes.
    let broken = format!("UPDATE OR IGNORE {} SET {{c}} = CAST(?1 AS TEXT) WHERE id = ?2", quote_ident(&name));
    for row in 0..rng.pick(&[0, 1, 5, 40, 150]) {
        let mut values: Vec<Value> = match key {
            Key::Alias => {
                vec![Value::Integer(if rng.once_in(30) { rng.between(i64::MIN, i64::MAX) } else { row * 2 + 1 })]
            }
            Key::Plain => vec![Value::Integer(row)],
            Key::Text => vec![Value::Text(format!("k{row}'\"\\é"))],
            Key::Two => vec![Value::Integer(row / 3), Value::Text(format!("\"{}", row % 3))],
        };
        values.extend(themes.iter().map(|theme| theme.cell(rng)));
        let key_value = values[0].clone();
        // A STRICT table refuses other classes: then the row keeps what it takes.
        if connection.execute(&insert, rusqlite::params_from_iter(values.iter())).is_err() {
            for value in values.iter_mut().skip(keys.len()) {
                *value = Value::Null;
            }
            connection.execute(&insert, rusqlite::params_from_iter(values.iter())).unwrap();
        }
        if is_utf8 && rng.once_in(60) && !names.is_empty() {
            let sql = broken.replace("{c}", &quote_ident(&names[rng.below(names.len())]));
            let bytes: &[u8] =
                rng.pick(&[&b"a\0b"[..], b"\0", b"\xff", b"ab\xc0\x80", b"\xed\xa0\x80z", b"\xf4\x90\x80\x80"]);
            connection.execute(&sql, rusqlite::params![bytes, key_value]).ok();
        }
    }
}

fn index(rng: &mut Rng, number: usize, table: &str, names: &[String], connection: &Connection, script: &mut String) {
    if names.is_empty() || !rng.once_in(3) {
        return;
    }
    let parts: Vec<String> = (0..=rng.below(2))
        .map(|_| {
            format!("{}{}", quote_ident(&names[rng.below(names.len())]), rng.pick(&["", " DESC", " COLLATE NOCASE"]))
        })
        .collect();
    let sql = format!("CREATE INDEX i{number} ON {} ({})", quote_ident(table), parts.join(", "));
    connection.execute_batch(&sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    writeln!(script, "{sql};").unwrap();
}

/// What a column mostly holds, and how often it is something else.
struct Theme {
    main: usize,
    second: usize,
    /// One in so many cells is of the second kind; none if 0.
    odd: usize,
    null: usize,
}

type ValueGenerator = fn(&mut Rng) -> Value;

/// Kinds of values.
const KINDS: &[ValueGenerator] = &[
    |rng| Value::Integer(rng.between(0, 1)),
    |rng| Value::Integer(rng.between(-300, 70_000)),
    |rng| {
        Value::Integer(rng.pick(&[
            i64::MAX,
            i64::MIN,
            9_007_199_254_740_993,
            -9_007_199_254_740_992,
            0,
            -1,
            4_294_967_296,
        ]))
    },
    |rng| Value::Integer(rng.between(1_600_000_000, 1_700_000_000)),
    |rng| Value::Integer(rng.between(1_600_000_000_000, 1_700_000_000_000)),
    |rng| Value::Integer(rng.between(1_600_000_000_000_000, 1_700_000_000_000_000)),
    |rng| {
        Value::Real(rng.pick(&[
            0.0,
            -0.0,
            1.0,
            1.5,
            -2.25,
            1e20,
            1e300,
            -1e-300,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.1 + 0.2,
            9.2e18,
            123_456_789.123,
        ]))
    },
    |rng| format!("{}e-{}", rng.between(-9_999_999, 9_999_999), rng.below(5)).parse::<f64>().unwrap().into(),
    |rng| loop {
        let value = f64::from_bits(rng.roll());
        if !value.is_nan() {
            break value.into();
        }
    },
    |rng| {
        text(rng.pick(&[
            "",
            "a",
            "A",
            "abc",
            "x ",
            "x",
            "N/A",
            "NULL",
            "true",
            "t",
            "007",
            "1.50",
            "é",
            "É",
            "now",
            "\u{feff}",
            "\\x41",
            "\\",
            "日本 😀",
            "\u{fffd}",
            "a\u{1}b",
            "infinity",
        ]))
    },
    |rng| text(&format!("word {}", rng.below(1_000))),
    |rng| {
        text(
            &format!("{}-{:02}-{:02}", rng.between(1, 9999), rng.between(1, 12), rng.between(1, 31))
                .as_str()
                .replace("-00", "-01"),
        )
    },
    |rng| text(&stamp(rng)),
    |rng| text(&format!("{}Z", stamp(rng))),
    |rng| text(&format!("{}{}", stamp(rng), rng.pick(&["+05:30", "-0700", "+00:00", "Z"]))),
    |rng| text(rng.pick(&["07:30", "23:59:59", "23:59:59.999999", "00:00:00.1", "24:00:00", "07:30:00.1234567"])),
    |rng| {
        text(rng.pick(&[
            "2024-02-30",
            "0000-00-00",
            "1/2/2024",
            "20240102",
            "today",
            "2024-01-01 00:00:60",
            "2024-01-01 24:00:00",
            "2024-01-01 00:00:00.9999999",
            "10000-01-01",
        ]))
    },
    |rng| text(&uuid(rng, false)),
    |rng| text(&uuid(rng, true)),
    |rng| {
        text(rng.pick(&[
            "{}",
            "[1, 2]",
            "{\"a\": 1.10, \"b\": null}",
            "\"x\"",
            "7",
            "{\"a\":1,\"a\":2}",
            "\"\\u0000\"",
            "[-0]",
            "1e400",
            "\"\\ud800\"",
            "{a:1}",
            "[1e2]",
            "true",
        ]))
    },
    |rng| Value::Blob((0..rng.below(20)).map(|_| rng.roll().to_le_bytes()[0]).collect()),
    |rng| Value::Blob([rng.roll().to_be_bytes(), rng.roll().to_be_bytes()].concat()),
    |rng| {
        Value::Blob(
            uuid(rng, false)
                .replace('-', "")
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect(),
        )
    },
    |rng| Value::Blob(rng.pick(&["text", "", "é", "1", "\\x41"]).as_bytes().to_vec()),
];

impl Theme {
    /// Mostly values of the declared type.
    fn of(rng: &mut Rng, declared: &str) -> Self {
        let lower = declared.to_lowercase();
        let declared: &[usize] = match lower.as_str() {
            name if name.contains("bool") || name.contains("(1)") || name == "bit" => &[0],
            name if name.contains("int") || name.contains("long") || name.contains("serial") => &[0, 1, 2, 3, 4],
            name if name.contains("date") || name.contains("stamp") => &[3, 4, 5, 11, 12, 13, 14, 16],
            "time" => &[15, 12],
            name if name.contains("uuid") || name.contains("guid") || name.contains("unique") => &[17, 18, 22, 21],
            name if name.contains("json") => &[19],
            name if name.contains("blob") || name.contains("binary") || name.contains("bytea") => &[20, 21, 22, 23],
            name if name.contains("char") || name.contains("text") || name.contains("clob") => &[9, 10, 17, 19],
            name if name.contains("real")
                || name.contains("dou")
                || name.contains("num")
                || name.contains("dec")
                || name.contains("money") =>
            {
                &[1, 6, 7, 8]
            }
            _ => &[1, 7, 9, 20],
        };
        let main = if rng.once_in(5) { rng.below(KINDS.len()) } else { rng.pick(declared) };
        let odd = rng.pick(&[0, 0, 0, 2, 10, 40]);
        Self { main, second: rng.below(KINDS.len()), odd, null: rng.pick(&[3, 20, 20, 1_000]) }
    }

    fn cell(&self, rng: &mut Rng) -> Value {
        if rng.once_in(self.null) {
            Value::Null
        } else if self.odd > 0 && rng.once_in(self.odd) {
            KINDS[self.second](rng)
        } else {
            KINDS[self.main](rng)
        }
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn stamp(rng: &mut Rng) -> String {
    let day = format!("{:04}-{:02}-{:02}", rng.between(1, 9999), rng.between(1, 12), rng.between(1, 28));
    let clock = rng.pick(&["03:04", "03:04:05", "23:59:59.999999", "00:00:00.5", "12:00:00.100"]);
    format!("{day}{}{clock}", rng.pick(&["T", " "]))
}

fn uuid(rng: &mut Rng, any_case: bool) -> String {
    let digits = format!("{:016x}{:016x}", rng.roll(), rng.roll());
    let text =
        format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..]);
    if any_case && rng.once_in(2) { text.to_uppercase() } else { text }
}
