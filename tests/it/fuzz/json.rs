//! SQLite's binary JSON, which SQLite itself reads, too.

use rusqlite::Connection;
use turso2neon::rules::value_shape::jsonb;

use super::{fuzz, mutate};
use crate::support::Rng;

const CASES: usize = 300;

/// A document of some depth, in JSON.
fn document(rng: &mut Rng, depth: usize) -> String {
    let kind = if depth == 0 { rng.below(7) } else { rng.below(10) };
    match kind {
        0 => rng.pick(&["null", "true", "false"]).to_owned(),
        1 => rng.between(-5, 5).to_string(),
        2 => rng.between(i64::MIN, i64::MAX).to_string(),
        3 => format!("{}.{}e{}", rng.between(-99, 99), rng.below(1000), rng.between(-30, 30)),
        4 | 5 => string(rng),
        6 => format!("\"{}\"", "x".repeat(rng.pick(&[11, 12, 255, 256, 65_535, 65_536]))),
        7 | 8 => {
            let items: Vec<String> = (0..rng.below(5)).map(|_| document(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let members: Vec<String> =
                (0..rng.below(5)).map(|_| format!("{}:{}", string(rng), document(rng, depth - 1))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn string(rng: &mut Rng) -> String {
    let parts = ["a", "é", "😀", "\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", " ", "/", "\\/", "key", "\u{7f}"];
    let text: String = (0..rng.below(6)).map(|_| rng.pick(&parts)).collect();
    format!("\"{text}\"")
}

/// The text that SQLite reads, if it takes the blob for strictly valid.
fn read_by_sqlite(connection: &Connection, blob: &[u8]) -> Option<String> {
    let sql = "SELECT CASE WHEN json_valid(?1, 8) THEN json(?1) END";
    connection.query_row(sql, [blob], |row| row.get(0)).ok().flatten()
}

#[test]
fn binary_json_of_sqlite() {
    fuzz(|rng| {
        let connection = Connection::open_in_memory().unwrap();
        for _ in 0..CASES / 10 {
            let text = document(rng, 4);
            let blob: Vec<u8> = connection.query_row("SELECT jsonb(?1)", [&text], |row| row.get(0)).unwrap();
            let read = jsonb::text_of(&blob);
            assert!(read.is_some() && read == read_by_sqlite(&connection, &blob), "{text}\n{blob:02x?}");
            for _ in 0..10 {
                let mut changed = blob.clone();
                mutate(
                    rng,
                    &mut changed,
                    &[&blob],
                    &[b"\x0b", b"\xcc", b"\xfb\xff\xff\xff\xff\xff\xff\xff\xff", b"\x17x", b"\x13"],
                );
                if let Some(read) = jsonb::text_of(&changed) {
                    assert_eq!(Some(&read), read_by_sqlite(&connection, &changed).as_ref(), "{changed:02x?}");
                    assert!(
                        serde_json::from_str::<&serde_json::value::RawValue>(&read).is_ok(),
                        "{read}\n{changed:02x?}"
                    );
                }
            }
        }
    });
}

#[test]
fn binary_json_that_is_deep_is_read_without_deep_recursion() {
    // Arrays in arrays, each with its length in 9 bytes, as deep as a blob of some megabytes allows.
    let mut blob = vec![0x0b];
    for _ in 0..2000 {
        let mut outer = vec![0xfb];
        outer.extend((blob.len() as u64).to_be_bytes());
        outer.extend(&blob);
        blob = outer;
    }
    let read = std::thread::Builder::new().stack_size(512 << 10).spawn(move || jsonb::text_of(&blob)).unwrap();
    assert_eq!(read.join().unwrap(), None);
}
