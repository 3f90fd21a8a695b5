//! The digest of a table: the same on every version of PostgreSQL, and different whenever a bit is.

use turso2neon::{
    model::{ColumnPlan, PgType, TableDigest},
    postgres::table_digest,
};

use super::fixture::column;
use crate::support::{PgVersion, Target, programs::MAJORS};

/// The session settings that the tool pins, and its search path.
const SETTINGS: &str = "SET extra_float_digits = 1; SET datestyle = 'ISO,YMD'; SET intervalstyle = 'postgres'; \
                        SET timezone = 'UTC'; SET bytea_output = 'hex'; SET search_path = pg_catalog";

/// Every type that the tool makes, and values that differ though PostgreSQL may call them equal or give them one hash.
fn values() -> Vec<(PgType, &'static [&'static str])> {
    vec![
        (PgType::SmallInt, &["0", "1", "-1", "32767", "-32768"]),
        (PgType::Integer, &["0", "1", "-1", "2147483647", "-2147483648"]),
        // `hashint8` gives each line's values one hash.
        (
            PgType::BigInt,
            &[
                "0",
                "4294967297",
                "1",
                "4294967296",
                "-1",
                "4294967295",
                "-4294967297",
                "4294967294",
                "-9223372036854775808",
            ],
        ),
        (PgType::Boolean, &["true", "false"]),
        (PgType::Double, &["0", "'-0'", "1", "'nan'", "'inf'", "'-inf'", "0.1", "0.30000000000000004", "5e-324", "-1"]),
        (PgType::Numeric(None), &["0", "1.5", "1.50", "-1.5", "0.0", "'nan'", "'inf'", "'-inf'", "15"]),
        (PgType::Numeric(Some((10, 2))), &["0", "1.5", "-1.5", "15", "'nan'"]),
        (PgType::Text, &["''", "'a'", "'A'", "'a '", "'a' || chr(769)", "chr(225)", "'2:1:1'", "E'\\x01'"]),
        (PgType::Varchar(5), &["''", "'a'", "'A'", "'a '"]),
        (PgType::Bytea, &["''", "'\\x00'", "'\\x0000'", "'\\x5c78'", "'\\xff'"]),
        (PgType::Date, &["'2000-01-01'", "'infinity'", "'-infinity'", "'0001-01-01 BC'", "'0001-01-01'"]),
        (PgType::Time, &["'00:00'", "'24:00'", "'00:00:00.000001'", "'01:11:34.967296'", "'01:11:34.967297'"]),
        // 4294.967296 s are 2^32 microseconds.
        (
            PgType::Timestamp,
            &[
                "'2000-01-01 00:00:00.000001'",
                "'2000-01-01 01:11:34.967296'",
                "'1999-12-31 23:59:59.999999'",
                "'2000-01-01 01:11:34.967295'",
                "'infinity'",
                "'-infinity'",
            ],
        ),
        (
            PgType::TimestampTz,
            &["'2000-01-01 00:00:00.000001+00'", "'2000-01-01 01:11:34.967296+00'", "'infinity'", "'-infinity'"],
        ),
        (
            PgType::Uuid,
            &[
                "'00000000-0000-0000-0000-000000000000'",
                "'00000000-0000-0000-0000-000000000001'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            ],
        ),
        (PgType::Json, &["'1'", "'1.0'", "' 1'", "'{\"a\":1,\"a\":2}'", "'{\"a\":2}'", "'null'"]),
        (PgType::Jsonb, &["'1'", "'1.0'", "'1.00'", "'\"1\"'", "'[]'", "'{}'", "'null'", "'-0'", "'[1.0]'"]),
        (PgType::RealArray, &["'{}'", "'{0}'", "'{-0}'", "'{NULL}'", "'{{0}}'", "'[0:0]={0}'"]),
        (PgType::DoubleArray, &["'{}'", "'{0}'", "'{-0}'", "'{NULL}'", "'{0,0}'"]),
        (PgType::Bit(3), &["B'000'", "B'001'", "B'100'"]),
        (PgType::Enum("mood".to_owned()), &["'happy'", "'sad'"]),
        (PgType::ExistingType("interval".to_owned()), &["'1 day'", "'24 hours'", "'1 month'", "'30 days'"]),
        (PgType::ExistingType("inet".to_owned()), &["'10.0.0.1'", "'10.0.0.1/24'", "'::1'"]),
        (PgType::ExistingType("character(3)".to_owned()), &["'a'", "'b'", "''"]),
    ]
}

/// The columns `v` and `w` of a type.
fn pair(pg_type: &PgType) -> Vec<ColumnPlan> {
    vec![column("v", pg_type.clone()), column("w", pg_type.clone())]
}

fn digest(server: &Target, columns: &[ColumnPlan]) -> TableDigest {
    digests_after(server, columns, &[String::new()]).remove(0)
}

/// The digest after each of these statements.
fn digests_after(server: &Target, columns: &[ColumnPlan], statements: &[String]) -> Vec<TableDigest> {
    let query = table_digest::query("public", "t", columns);
    let script = statements.iter().map(|sql| format!("{sql}; {query};"));
    let rows = server.query(&format!("{SETTINGS}; {}", script.collect::<String>()));
    rows.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect()
}

/// A table of one type with every pair of values, NULL included, one row at a time. Gives the digests by what the row
/// holds.
fn digests_of(server: &Target, pg_type: &PgType, values: &[&str]) -> Vec<(String, TableDigest)> {
    server.query(&format!("DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (v {pg_type}, w {pg_type})"));
    let with_null: Vec<&str> = values.iter().copied().chain(["NULL"]).collect();
    let pairs = with_null.iter().flat_map(|v| with_null.iter().map(move |w| format!("{v}, {w}")));
    let rows: Vec<String> = pairs.collect();
    let fill = |row: &String| format!("DELETE FROM public.t; INSERT INTO public.t VALUES ({row})");
    let digests = digests_after(server, &pair(pg_type), &rows.iter().map(fill).collect::<Vec<_>>());
    server.query("TRUNCATE public.t");
    let none = [("no row".to_owned(), digest(server, &pair(pg_type)))];
    none.into_iter().chain(rows.into_iter().zip(digests)).collect()
}

fn prepared(major: u32) -> Target {
    let server = Target::start_on(PgVersion::Major(major));
    server.query("CREATE TYPE public.mood AS ENUM ('happy', 'sad')");
    server
}

#[test]
fn rows_that_differ_in_a_bit_have_different_digests_and_every_version_the_same_ones() {
    let servers: Vec<(u32, Target)> = MAJORS.into_iter().map(|major| (major, prepared(major))).collect();
    for (pg_type, values) in values() {
        let (first, rest) = servers.split_first().unwrap();
        let expected = digests_of(&first.1, &pg_type, values);
        for (at, (row, digest)) in expected.iter().enumerate() {
            let twin = expected[..at].iter().find(|(_, other)| other == digest);
            assert!(twin.is_none(), "{pg_type}: ({row}) has the digest of ({})", twin.unwrap().0);
        }
        for (major, server) in rest {
            let found = digests_of(server, &pg_type, values);
            assert_eq!(found, expected, "{pg_type} on {major} and {}", first.0);
        }
    }
}

#[test]
fn values_of_a_collation_that_calls_them_equal_have_different_digests() {
    // The servers of the package are built without ICU; Debian's has it.
    let server = Target::start();
    server.query(
        "CREATE COLLATION public.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE public.t (v text COLLATE public.nocase, w text COLLATE public.nocase)",
    );
    let mut digests = Vec::new();
    for row in ["'a', 'b'", "'A', 'b'", "'a', 'B'", "'A', 'B'"] {
        server.query(&format!("TRUNCATE public.t; INSERT INTO public.t VALUES ({row})"));
        digests.push(digest(&server, &pair(&PgType::Text)));
    }
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest), "{digests:?}");
    }
}

#[test]
fn every_exchange_of_a_pair_in_any_column_changes_the_digest() {
    for major in [14, 18] {
        let server = prepared(major);
        for (pg_type, values) in values() {
            server.query(&format!(
                "DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id integer, v {pg_type}, w {pg_type})"
            ));
            let rows = values.iter().chain(&["NULL"]).enumerate();
            let rows: Vec<String> = rows.map(|(id, value)| format!("({id}, {value}, {value})")).collect();
            server.query(&format!("INSERT INTO public.t VALUES {}", rows.join(", ")));
            let columns = [vec![column("id", PgType::Integer)], pair(&pg_type)].concat();
            let before = digest(&server, &columns);
            let exchange = |name: &str, one: usize, other: usize| {
                format!(
                    "UPDATE public.t SET {name} = (SELECT {name} FROM public.t o WHERE o.id = {one} + {other} - t.id) \
                     WHERE id IN ({one}, {other})"
                )
            };
            let places = (0..rows.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
            let exchanges: Vec<String> =
                places.flat_map(|(one, other)| ["v", "w"].map(|name| exchange(name, one, other))).collect();
            // Each exchange is made and taken back.
            let there_and_back: Vec<String> = exchanges.iter().flat_map(|sql| [sql.clone(), sql.clone()]).collect();
            let digests = digests_after(&server, &columns, &there_and_back);
            for (sql, digests) in exchanges.iter().zip(digests.chunks(2)) {
                assert_ne!(digests[0], before, "{pg_type} on {major}: {sql}");
                assert_eq!(digests[1], before, "{pg_type} on {major}: {sql}");
            }
        }
    }
}

#[test]
fn tables_as_wide_as_postgresql_allows_have_a_digest_that_sees_every_column() {
    const COLUMNS: usize = 1600;
    for major in [14, 18] {
        let server = prepared(major);
        let columns: Vec<ColumnPlan> = (0..COLUMNS).map(|at| column(&format!("c{at}"), PgType::SmallInt)).collect();
        let definitions: Vec<String> = (0..COLUMNS).map(|at| format!("c{at} smallint DEFAULT {at}")).collect();
        server
            .query(&format!("CREATE TABLE public.t ({}); INSERT INTO public.t DEFAULT VALUES", definitions.join(", ")));
        let mut seen = vec![digest(&server, &columns)];
        for (one, other) in [(0, 1), (99, 100), (0, 1599), (700, 1300)] {
            let exchange = format!("UPDATE public.t SET c{one} = c{other}, c{other} = c{one}");
            server.query(&exchange);
            let now = digest(&server, &columns);
            assert!(!seen.contains(&now), "columns {one} and {other} on {major}");
            seen.push(now);
            server.query(&exchange);
            assert_eq!(digest(&server, &columns), seen[0]);
        }
    }
}
