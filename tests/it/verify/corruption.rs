//! One corruption at a time, on one hop or the other: found, named, and nothing else.

use turso2neon::{
    model::{
        ColumnPlan, Conversion, TablePlan,
        cell::StorageClass,
        conversion_plan::{BlobText, CheckPlan, ForeignKeyPlan, IdentityPlan, IndexPlan, KeyPlan},
    },
    stages::verify::{Against, VerifyLevel},
};

use crate::support::plan_builder::{column, table};

use super::fixture::{Hops, lines};

const TEXT: Conversion = Conversion::Text { blobs: BlobText::Hex };

fn sample() -> Hops {
    Hops::new(SOURCE, shop_tables(), INSERTS)
}

/// The plan of [`SOURCE`].
pub(super) fn shop_tables() -> Vec<TablePlan> {
    let key = |name: &str| Some(KeyPlan { name: name.to_owned(), columns: vec!["id".to_owned()] });
    let id = || ColumnPlan { not_null: true, ..column("id", "bigint", Conversion::Integer) };
    let items = TablePlan {
        primary_key: key("items_pkey"),
        uniques: vec![KeyPlan { name: "items_code_key".to_owned(), columns: vec!["code".to_owned()] }],
        indexes: vec![
            index("items_name", &[r#""name" text_ops DESC NULLS LAST"#], false, None),
            index("items_open", &[r#""price""#, r#"lower("name" COLLATE "C") NULLS FIRST"#], true, Some(r#""open""#)),
        ],
        checks: vec![check("items_price", r#""price" >= 0"#, false), check("items_odd", r#""code" <> ''"#, true)],
        identity: Some(IdentityPlan {
            column: "id".to_owned(),
            sequence: "items_id_seq".to_owned(),
            next: Some(4),
            kind: turso2neon::model::conversion_plan::IdentityKind::ByDefault,
        }),
        ..table(
            "items",
            vec![
                id(),
                ColumnPlan { default: Some("'new'".to_owned()), ..column("code", "varchar(8)", TEXT) },
                ColumnPlan { not_null: true, ..column("name", "text", TEXT) },
                ColumnPlan { default: Some("0".to_owned()), ..column("price", "double precision", Conversion::Double) },
                ColumnPlan {
                    default: Some("true".to_owned()),
                    ..column("open", "boolean", Conversion::IntegerBoolean)
                },
                column("at", "timestamptz", Conversion::TimestampTz),
                column("extra", "jsonb", Conversion::Json),
                column("photo", "bytea", Conversion::Bytea),
                column("total", "numeric", Conversion::Numeric),
                ColumnPlan { main_class: StorageClass::Text, records_off_type: true, ..column("mixed", "text", TEXT) },
            ],
        )
    };
    let parts = TablePlan {
        primary_key: key("parts_pkey"),
        foreign_keys: vec![ForeignKeyPlan {
            name: "parts_item_fkey".to_owned(),
            columns: vec!["item".to_owned()],
            parent: "items".to_owned(),
            parent_columns: vec!["id".to_owned()],
            on_update: "NO ACTION".to_owned(),
            on_delete: "CASCADE".to_owned(),
            deferred: true,
            not_valid: false,
        }],
        ..table(
            "parts",
            vec![
                id(),
                column("item", "bigint", Conversion::Integer),
                column("a", "text", TEXT),
                column("b", "text", TEXT),
            ],
        )
    };
    vec![items, parts]
}

/// Two tables with everything that a schema may have.
pub(super) const SOURCE: &str = r#"
    CREATE TABLE items (id INTEGER PRIMARY KEY, code, name, price, open, at, extra, photo, total, mixed);
    INSERT INTO items VALUES
        (1, 'a', 'apple', 0.3, 1, '2024-01-01T00:00:00Z', '{"n":1,"l":[1,2]}', x'0102', 1.5, 'text'),
        (2, 'b', '', -0.0, 0, NULL, NULL, x'', 2, 17),
        (3, NULL, 'pear', NULL, 1, '2024-06-01T00:00:00Z', '[]', NULL, 0.1, x'c3a9');
    CREATE TABLE parts (id INTEGER PRIMARY KEY, item, a, b);
    INSERT INTO parts VALUES (1, 1, 'x', 'y'), (2, 1, 'p', 'q'), (9, NULL, NULL, '');"#;

const INSERTS: &str = r#"
    INSERT INTO {s}.items VALUES
        (1, 'a', 'apple', 0.3, true, '2024-01-01 00:00+00', '{"l":[1,2],"n":1}', '\x0102', 1.5, 'text'),
        (2, 'b', '', '-0', false, NULL, NULL, '\x', 2, '17'),
        (3, NULL, 'pear', NULL, true, '2024-06-01 00:00+00', '[]', NULL, 0.1, '\xc3a9');
    INSERT INTO {s}.parts VALUES (1, 1, 'x', 'y'), (2, 1, 'p', 'q'), (9, NULL, NULL, '');
    INSERT INTO {s}._sqlite_offtype VALUES
        ('items', 'mixed', '2', 'integer', '\x0000000000000011'), ('items', 'mixed', '3', 'blob', '\xc3a9')"#;

fn index(name: &str, keys: &[&str], unique: bool, predicate: Option<&str>) -> IndexPlan {
    IndexPlan {
        name: name.to_owned(),
        source: name.to_owned(),
        unique,
        method: "btree".to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        predicate: predicate.map(str::to_owned),
    }
}

fn check(name: &str, expression: &str, not_valid: bool) -> CheckPlan {
    CheckPlan { name: name.to_owned(), expression: expression.to_owned(), not_valid }
}

/// What is done, what undoes it, and the lines that must be found, without the side.
type Corruption = (&'static str, &'static str, &'static [&'static str]);

/// Of values and rows.
const VALUES: &[Corruption] = &[
    (
        "UPDATE {s}.items SET price = 0.30000000000000004 WHERE id = 1",
        "UPDATE {s}.items SET price = 0.3 WHERE id = 1",
        &["items.price [rowid 1]: value differs"],
    ),
    (
        "UPDATE {s}.items SET price = 0 WHERE id = 2",
        "UPDATE {s}.items SET price = '-0' WHERE id = 2",
        &["items.price [rowid 2]: value differs"],
    ),
    (
        "UPDATE {s}.parts SET item = 2 WHERE id = 2",
        "UPDATE {s}.parts SET item = 1 WHERE id = 2",
        &["parts.item [rowid 2]: value differs"],
    ),
    (
        "UPDATE {s}.parts SET id = 10 WHERE id = 9",
        "UPDATE {s}.parts SET id = 9 WHERE id = 10",
        &["parts.id [rowid 9]: value differs"],
    ),
    (
        "UPDATE {s}.parts SET id = 3 WHERE id = 2",
        "UPDATE {s}.parts SET id = 2 WHERE id = 3",
        &["parts.id [rowid 2]: value differs"],
    ),
    (
        "UPDATE {s}.parts SET a = '' WHERE id = 9",
        "UPDATE {s}.parts SET a = NULL WHERE id = 9",
        &["parts.a [rowid 9]: value differs: empty, expected NULL"],
    ),
    (
        "UPDATE {s}.parts SET b = NULL WHERE id = 9",
        "UPDATE {s}.parts SET b = '' WHERE id = 9",
        &["parts.b [rowid 9]: value differs: NULL, expected empty"],
    ),
    (
        "DELETE FROM {s}.parts WHERE id = 2",
        "INSERT INTO {s}.parts VALUES (2, 1, 'p', 'q')",
        &["parts [rowid 2]: row missing"],
    ),
    (
        "INSERT INTO {s}.parts VALUES (100, 3, 'q', 'p')",
        "DELETE FROM {s}.parts WHERE id = 100",
        &["parts [ctid]: row added"],
    ),
    (
        "UPDATE {s}.parts SET a = b, b = a WHERE id = 1",
        "UPDATE {s}.parts SET a = b, b = a WHERE id = 1",
        &["parts.a [rowid 1]: value differs", "parts.b [rowid 1]: value differs"],
    ),
    (
        r#"UPDATE {s}.items SET extra = '{"n":1,"l":[1,3]}' WHERE id = 1"#,
        r#"UPDATE {s}.items SET extra = '{"n":1,"l":[1,2]}' WHERE id = 1"#,
        &["items.extra [rowid 1]: value differs"],
    ),
    (
        r#"UPDATE {s}.items SET extra = '{"n":1.0,"l":[1,2]}' WHERE id = 1"#,
        r#"UPDATE {s}.items SET extra = '{"n":1,"l":[1,2]}' WHERE id = 1"#,
        &["items.extra [rowid 1]: value differs"],
    ),
    (
        "UPDATE {s}.items SET extra = '{}' WHERE id = 3",
        "UPDATE {s}.items SET extra = '[]' WHERE id = 3",
        &["items.extra [rowid 3]: value differs"],
    ),
    (
        r"UPDATE {s}.items SET photo = '\x0103' WHERE id = 1",
        r"UPDATE {s}.items SET photo = '\x0102' WHERE id = 1",
        &["items.photo [rowid 1]: value differs"],
    ),
    (
        "UPDATE {s}.items SET name = 'apple ' WHERE id = 1",
        "UPDATE {s}.items SET name = 'apple' WHERE id = 1",
        &["items.name [rowid 1]: value differs"],
    ),
    (
        "UPDATE {s}.items SET at = at + interval '1 microsecond' WHERE id = 1",
        "UPDATE {s}.items SET at = at - interval '1 microsecond' WHERE id = 1",
        &["items.at [rowid 1]: value differs"],
    ),
    (
        "UPDATE {s}.items SET at = 'infinity' WHERE id = 1",
        "UPDATE {s}.items SET at = '2024-01-01 00:00+00' WHERE id = 1",
        &["items.at [rowid 1]: value differs: it is outside of what the planned type takes from SQLite"],
    ),
    (
        "UPDATE {s}.items SET open = NOT open WHERE id = 3",
        "UPDATE {s}.items SET open = NOT open WHERE id = 3",
        &["items.open [rowid 3]: value differs"],
    ),
    (
        "UPDATE {s}.items SET total = 1.50 WHERE id = 1",
        "UPDATE {s}.items SET total = 1.5 WHERE id = 1",
        &["items.total [rowid 1]: value differs: the same number with another count of digits after the point"],
    ),
    (
        "UPDATE {s}.items SET total = 0.10000000000000001 WHERE id = 3",
        "UPDATE {s}.items SET total = 0.1 WHERE id = 3",
        &["items.total [rowid 3]: value differs"],
    ),
    (
        "DELETE FROM {s}._sqlite_offtype WHERE row_key = '2'",
        r"INSERT INTO {s}._sqlite_offtype VALUES ('items', 'mixed', '2', 'integer', '\x0000000000000011')",
        &["items.mixed [rowid 2]: off-type row missing"],
    ),
    (
        r"UPDATE {s}._sqlite_offtype SET raw = '\xc3a8' WHERE row_key = '3'",
        r"UPDATE {s}._sqlite_offtype SET raw = '\xc3a9' WHERE row_key = '3'",
        &["items.mixed [rowid 3]: off-type row differs in raw"],
    ),
    (
        r"INSERT INTO {s}._sqlite_offtype VALUES ('items', 'mixed', '1', 'text', '')",
        "DELETE FROM {s}._sqlite_offtype WHERE row_key = '1'",
        &["items.mixed [rowid 1]: off-type row added"],
    ),
];

/// Of the schema.
const SCHEMAS: &[Corruption] = &[
    (
        "DROP INDEX {s}.items_name",
        "CREATE INDEX items_name ON {s}.items (name DESC NULLS LAST)",
        &["items: index items_name is missing"],
    ),
    (
        "DROP INDEX {s}.items_open; CREATE INDEX items_open ON {s}.items (price, lower(name COLLATE \"C\") NULLS FIRST) WHERE open",
        "DROP INDEX {s}.items_open; CREATE UNIQUE INDEX items_open ON {s}.items (price, lower(name COLLATE \"C\") NULLS FIRST) WHERE open",
        &["items: index items_open: it is not unique"],
    ),
    (
        "DROP INDEX {s}.items_open; CREATE UNIQUE INDEX items_open ON {s}.items (price, upper(name COLLATE \"C\") NULLS FIRST) WHERE open",
        "DROP INDEX {s}.items_open; CREATE UNIQUE INDEX items_open ON {s}.items (price, lower(name COLLATE \"C\") NULLS FIRST) WHERE open",
        &["items: index items_open: its columns differ"],
    ),
    (
        "DROP INDEX {s}.items_open; CREATE UNIQUE INDEX items_open ON {s}.items (price, lower(name COLLATE \"C\") NULLS FIRST) WHERE NOT open",
        "DROP INDEX {s}.items_open; CREATE UNIQUE INDEX items_open ON {s}.items (price, lower(name COLLATE \"C\") NULLS FIRST) WHERE open",
        &["items: index items_open: its predicate differs"],
    ),
    ("CREATE INDEX mine ON {s}.parts (a)", "DROP INDEX {s}.mine", &["parts: index mine added"]),
    (
        "ALTER TABLE {s}.items ALTER name DROP NOT NULL",
        "ALTER TABLE {s}.items ALTER name SET NOT NULL",
        &["items.name: NOT NULL is missing"],
    ),
    (
        "ALTER SEQUENCE {s}.items_id_seq RESTART WITH 1",
        "ALTER SEQUENCE {s}.items_id_seq RESTART WITH 4",
        &["items.id: the next number of its sequence is 3 less than planned"],
    ),
    (
        "SELECT nextval('{s}.items_id_seq')",
        "ALTER SEQUENCE {s}.items_id_seq RESTART WITH 4",
        &["items.id: the next number of its sequence is 1 more than planned"],
    ),
    (
        "ALTER TABLE {s}.items ALTER code SET DEFAULT 'old'",
        "ALTER TABLE {s}.items ALTER code SET DEFAULT 'new'",
        &["items.code: default differs"],
    ),
    (
        "ALTER TABLE {s}.items ALTER open DROP DEFAULT",
        "ALTER TABLE {s}.items ALTER open SET DEFAULT true",
        &["items.open: default is missing"],
    ),
    (
        "ALTER TABLE {s}.parts ALTER a SET DEFAULT ''",
        "ALTER TABLE {s}.parts ALTER a DROP DEFAULT",
        &["parts.a: default is added"],
    ),
    (
        "ALTER TABLE {s}.items DROP CONSTRAINT items_code_key",
        "ALTER TABLE {s}.items ADD CONSTRAINT items_code_key UNIQUE (code)",
        &["items: UNIQUE constraint items_code_key is missing"],
    ),
    (
        "ALTER TABLE {s}.parts DROP CONSTRAINT parts_item_fkey; ALTER TABLE {s}.parts ADD CONSTRAINT parts_item_fkey \
         FOREIGN KEY (item) REFERENCES {s}.items (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE {s}.parts DROP CONSTRAINT parts_item_fkey; ALTER TABLE {s}.parts ADD CONSTRAINT parts_item_fkey \
         FOREIGN KEY (item) REFERENCES {s}.items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        &["parts: foreign key parts_item_fkey differs"],
    ),
    (
        "ALTER TABLE {s}.parts DROP CONSTRAINT parts_item_fkey; ALTER TABLE {s}.parts ADD CONSTRAINT parts_item_fkey \
         FOREIGN KEY (item) REFERENCES {s}.items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID",
        "ALTER TABLE {s}.parts VALIDATE CONSTRAINT parts_item_fkey",
        &["parts: foreign key parts_item_fkey is not validated, unlike planned"],
    ),
    (
        "ALTER TABLE {s}.items DROP CONSTRAINT items_price; ALTER TABLE {s}.items ADD CONSTRAINT items_price CHECK (price > 0) NOT VALID",
        "ALTER TABLE {s}.items DROP CONSTRAINT items_price; ALTER TABLE {s}.items ADD CONSTRAINT items_price CHECK (price >= 0)",
        &["items: check items_price is not validated, unlike planned", "items: check items_price differs"],
    ),
    (
        "ALTER TABLE {s}.items VALIDATE CONSTRAINT items_odd",
        "ALTER TABLE {s}.items DROP CONSTRAINT items_odd; ALTER TABLE {s}.items ADD CONSTRAINT items_odd CHECK (code <> '') NOT VALID",
        &["items: check items_odd is validated, unlike planned"],
    ),
    (
        "ALTER TABLE {s}.parts ALTER item TYPE integer",
        "ALTER TABLE {s}.parts ALTER item TYPE bigint",
        &["parts.item: type is integer, expected bigint"],
    ),
    ("ALTER TABLE {s}.parts ADD mine text", "ALTER TABLE {s}.parts DROP mine", &["parts: column mine added"]),
    (
        "ALTER TABLE {s}.items DROP CONSTRAINT items_code_key; ALTER TABLE {s}.items ADD CONSTRAINT items_code_key UNIQUE NULLS NOT DISTINCT (code)",
        "ALTER TABLE {s}.items DROP CONSTRAINT items_code_key; ALTER TABLE {s}.items ADD CONSTRAINT items_code_key UNIQUE (code)",
        &["items: UNIQUE constraint items_code_key differs"],
    ),
    (
        "ALTER TABLE {s}.items DROP CONSTRAINT items_code_key; ALTER TABLE {s}.items ADD CONSTRAINT items_code_key UNIQUE (code) INCLUDE (name)",
        "ALTER TABLE {s}.items DROP CONSTRAINT items_code_key; ALTER TABLE {s}.items ADD CONSTRAINT items_code_key UNIQUE (code)",
        &["items: UNIQUE constraint items_code_key differs"],
    ),
    (
        "ALTER TABLE {s}.parts DISABLE TRIGGER ALL",
        "ALTER TABLE {s}.parts ENABLE TRIGGER ALL",
        &["parts: foreign key parts_item_fkey is not enforced"],
    ),
    (
        "ALTER SEQUENCE {s}.items_id_seq MAXVALUE 1000",
        "ALTER SEQUENCE {s}.items_id_seq NO MAXVALUE",
        &["items.id: its sequence doesn't give all numbers of its type"],
    ),
    (
        "ALTER TABLE {s}.items ALTER id SET GENERATED ALWAYS",
        "ALTER TABLE {s}.items ALTER id SET GENERATED BY DEFAULT",
        &["items.id: identity is ALWAYS, expected BY DEFAULT"],
    ),
];

/// The lines with what PostgreSQL chose replaced: where an added row lies.
fn stable(found: Vec<String>) -> Vec<String> {
    let line = |line: String| match (line.find("[ctid"), line.find(']')) {
        (Some(start), Some(end)) => format!("{}[ctid{}", &line[..start], &line[end..]),
        _ => line,
    };
    found.into_iter().map(line).collect()
}

fn each(corruptions: &[Corruption], level: VerifyLevel, find: impl Fn(&Hops, &str, &[&str])) {
    let hops = sample();
    hops.assert_equal();
    for side in ["local", "target"] {
        for (corrupt, undo, expected) in corruptions {
            hops.change(side, corrupt);
            find(&hops, side, expected);
            hops.change(side, undo);
        }
    }
    assert_eq!(hops.lines(level), Vec::<String>::new());
}

#[test]
fn every_corruption_of_a_value_is_found_and_named() {
    each(VALUES, VerifyLevel::Full, |hops, side, expected| {
        let expected: Vec<String> = expected.iter().map(|line| format!("{side} {line}")).collect();
        let verified = hops.verify(Against::Both, VerifyLevel::Full);
        assert_eq!(stable(lines(&verified)), expected);
        assert_eq!(verified.difference_count, u64::try_from(expected.len()).unwrap());
        let unequal: Vec<&str> =
            verified.tables.iter().filter(|verdict| !verdict.equal).map(|verdict| verdict.side.as_str()).collect();
        assert_eq!(unequal, [side]);
    });
}

#[test]
fn digests_find_every_corruption_of_a_value() {
    each(VALUES, VerifyLevel::Digest, |hops, side, expected| {
        let found = hops.lines(VerifyLevel::Digest);
        let offtype = expected[0].contains("off-type row");
        let table = expected[0].split(['.', ' ']).next().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("{side} {table}");
        assert!(found[0].starts_with(&start) && (offtype || found[0].contains(" differs")), "{found:?} {expected:?}");
    });
}

#[test]
fn every_corruption_of_the_schema_is_found_at_every_level() {
    each(SCHEMAS, VerifyLevel::Digest, |hops, side, expected| {
        let expected: Vec<String> = expected.iter().map(|line| format!("{side} {line}")).collect();
        let level = if side == "local" { VerifyLevel::Counts } else { VerifyLevel::Full };
        assert_eq!(hops.lines(level), expected);
    });
}

#[test]
fn missing_tables_and_columns_are_named_and_the_rest_is_compared() {
    let hops = sample();
    hops.change(
        "target",
        "ALTER TABLE {s}.items DROP at; UPDATE {s}.items SET name = 'Pear' WHERE id = 3; DROP TABLE {s}.parts",
    );
    assert_eq!(
        hops.lines(VerifyLevel::Full),
        [
            "target items.at: column missing",
            "target items.name [rowid 3]: value differs",
            "target parts: table missing",
        ]
    );
    for level in [VerifyLevel::Counts, VerifyLevel::Digest] {
        assert_eq!(hops.lines(level).last().unwrap(), "target parts: table missing");
    }
    hops.change("target", "DROP TABLE {s}._sqlite_offtype");
    assert_eq!(hops.lines(VerifyLevel::Full).last().unwrap(), "target _sqlite_offtype: table missing");
}

#[test]
fn tables_that_inherit_are_named_and_their_rows_compared() {
    let hops = sample();
    hops.change(
        "target",
        "CREATE TABLE {s}.more () INHERITS ({s}.parts); INSERT INTO {s}.more VALUES (7, 1, 'm', 'n')",
    );
    assert_eq!(
        stable(hops.lines(VerifyLevel::Full)),
        ["target parts: other tables inherit from it", "target parts [ctid]: row added"]
    );
    assert!(hops.lines(VerifyLevel::Counts).contains(&"target parts: other tables inherit from it".to_owned()));
}

#[test]
fn limits_of_a_sequence_that_only_the_other_side_has_are_found() {
    let hops = sample();
    hops.change("target", "ALTER SEQUENCE {s}.items_id_seq START WITH 3");
    assert_eq!(hops.lines(VerifyLevel::Counts), ["target items.id: the limits of its sequence are not the local ones"]);
}

#[test]
fn both_hops_are_distinguished() {
    let hops = sample();
    hops.change("local", "UPDATE {s}.items SET name = 'x' WHERE id = 1");
    hops.change("target", "UPDATE {s}.parts SET a = 'x' WHERE id = 9");
    assert_eq!(
        hops.lines(VerifyLevel::Full),
        [
            "local items.name [rowid 1]: value differs",
            "target parts.a [rowid 9]: value differs: not NULL, expected NULL",
        ]
    );
    assert_eq!(hops.lines(VerifyLevel::Digest), ["local items: digest differs", "target parts: digest differs"]);
}

#[test]
fn a_table_that_differs_everywhere_names_a_thousand_and_counts() {
    let many = table("many", vec![column("n", "bigint", Conversion::Integer), column("t", "text", TEXT)]);
    let hops = Hops::new(
        "CREATE TABLE many (n, t); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) \
         INSERT INTO many SELECT n, 'x' FROM c",
        vec![many],
        "INSERT INTO {s}.many SELECT n, 'x' FROM generate_series(1, 3000) n",
    );
    hops.assert_equal();
    hops.change("target", "UPDATE {s}.many SET n = -n");
    let verified = hops.verify(Against::Both, VerifyLevel::Full);
    assert_eq!(verified.differences.len(), 1000);
    assert!(verified.difference_count >= 1000, "{}", verified.difference_count);
}
