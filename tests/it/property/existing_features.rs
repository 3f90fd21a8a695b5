//! Parts of random existing schemas: columns with what PostgreSQL guards them by, the values that the source has for
//! them, and values that break them.

use crate::support::Rng;

/// The SQLite literals of one row, for the columns of a feature.
pub(super) type Values = Box<dyn Fn(i64) -> Vec<String>>;

/// What breaks a feature.
pub(super) struct Breach {
    /// The values of a row that breaks it.
    pub(super) values: Values,
    /// The code of the finding.
    pub(super) code: &'static str,
    /// The column that the finding is about, if it names one.
    pub(super) column: Option<String>,
    /// Whether the finding can't be accepted.
    pub(super) refused: bool,
}

/// Some columns of a table that belong together.
#[derive(Default)]
pub(super) struct Feature {
    /// Columns and constraints in PostgreSQL's CREATE TABLE.
    pub(super) columns: Vec<String>,
    /// Statements after all tables; `{t}` is the table, `{n}` its plain name.
    pub(super) after: Vec<String>,
    /// Columns of the source.
    pub(super) source: Vec<String>,
    /// The values of a good row.
    pub(super) values: Option<Values>,
    /// How it can be broken.
    pub(super) breach: Option<Breach>,
}

type Maker = fn(&mut Rng, &str) -> Feature;

/// Every kind of feature.
const KINDS: &[Maker] = &[
    check,
    domain,
    unique,
    unique_index,
    key_without_nulls,
    citext,
    exclusion,
    own_key,
    kind_key,
    full_key,
    defaulted_key,
    generated,
    generated_too,
    computed,
    not_null,
    text_input,
    enumerated,
    arrays,
    methods,
    wide_index,
    failing_index,
    own_defaults,
    numbers,
    times,
    plain,
    collated,
];

/// A feature whose columns begin with `name`.
pub(super) fn random(rng: &mut Rng, name: &str) -> Feature {
    KINDS[rng.below(KINDS.len())](rng, name)
}

fn one(values: impl Fn(i64) -> String + 'static) -> Values {
    Box::new(move |row| vec![values(row)])
}

fn always(value: &str) -> Values {
    let value = value.to_owned();
    one(move |_| value.clone())
}

#[expect(clippy::unnecessary_wraps, reason = "features without a breach have none")]
fn breach(code: &'static str, column: &str, values: Values) -> Option<Breach> {
    Some(Breach { values, code, column: Some(column.to_owned()), refused: false })
}

#[expect(clippy::unnecessary_wraps, reason = "features without a breach have none")]
fn refusal(code: &'static str, column: &str, values: Values) -> Option<Breach> {
    Some(Breach { values, code, column: Some(column.to_owned()), refused: true })
}

fn check(rng: &mut Rng, c: &str) -> Feature {
    let expression = rng.pick(&["<> 'bad'", "NOT LIKE 'ba%' AND {c} IS NOT NULL", "~ '^v[0-9]+$'"]).replace("{c}", c);
    let inherit = rng.pick(&["", " NO INHERIT"]);
    Feature {
        columns: vec![format!("{c} text"), format!("CONSTRAINT {c}_check CHECK ({c} {expression}){inherit}")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'v{row}'"))),
        breach: breach("check-violated", c, always("'bad'")),
        ..Feature::default()
    }
}

fn domain(rng: &mut Rng, c: &str) -> Feature {
    let (kind, bad) = rng.pick(&[
        ("positive", "-1"),
        ("app.positive_too", "-1"),
        ("app.positive_too", "77"),
        ("positive_positive", "0"),
        ("positive_positive", "1000000"),
    ]);
    Feature {
        columns: vec![format!("{c} {kind}")],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| (2 * row).to_string())),
        breach: breach("check-violated", c, always(bad)),
        ..Feature::default()
    }
}

fn unique(rng: &mut Rng, c: &str) -> Feature {
    let options =
        rng.pick(&["", " INCLUDE (id)", " WITH (fillfactor = 70)", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]);
    Feature {
        columns: vec![format!("{c} varchar(40)"), format!("CONSTRAINT {c}_key UNIQUE ({c}){options}")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'u{row}'"))),
        breach: breach("keys-merged", c, always("'u1'")),
        ..Feature::default()
    }
}

fn unique_index(rng: &mut Rng, c: &str) -> Feature {
    let (keys, plain) = rng.pick(&[
        ("(lower({c}))", false),
        ("({c}) WHERE {c} LIKE 'É%'", true),
        ("({c} COLLATE \"C\" DESC)", false),
        ("({c}) INCLUDE (id) WITH (fillfactor = 80)", true),
        ("(upper({c}), lower({c})) WHERE {c} IS NOT NULL", false),
    ]);
    let name = format!("{c}_index");
    Feature {
        columns: vec![format!("{c} text")],
        after: vec![format!("CREATE UNIQUE INDEX {name} ON {{t}} {}", keys.replace("{c}", c))],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'É{row}'"))),
        breach: breach("keys-merged", if plain { c } else { &name }, always("'É1'")),
    }
}

fn key_without_nulls(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} integer"), format!("CONSTRAINT {c}_key UNIQUE NULLS NOT DISTINCT ({c})")],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| if row == 1 { "NULL".to_owned() } else { row.to_string() })),
        breach: breach("keys-merged", c, always("NULL")),
        ..Feature::default()
    }
}

fn citext(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} citext UNIQUE")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'c{row}'"))),
        breach: breach("keys-merged", c, always("'C1'")),
        ..Feature::default()
    }
}

fn exclusion(rng: &mut Rng, c: &str) -> Feature {
    let options = rng.pick(&["", " DEFERRABLE", " WHERE (NOT isempty({c}))"]).replace("{c}", c);
    Feature {
        columns: vec![
            format!("{c} int4range"),
            format!("CONSTRAINT {c}_apart EXCLUDE USING gist ({c} WITH &&){options}"),
        ],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'[{},{})'", row * 10, row * 10 + 5))),
        breach: breach("keys-merged", c, always("'[12,14)'")),
        ..Feature::default()
    }
}

fn own_key(rng: &mut Rng, c: &str) -> Feature {
    let options = rng.pick(&["", " ON DELETE CASCADE", " DEFERRABLE INITIALLY DEFERRED", " ON UPDATE SET NULL"]);
    Feature {
        columns: vec![format!("{c} bigint")],
        after: vec![format!(
            "ALTER TABLE {{t}} ADD CONSTRAINT {c}_own FOREIGN KEY ({c}) REFERENCES {{t}} (id){options}"
        )],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| if row % 3 == 0 { "NULL".to_owned() } else { "1".to_owned() })),
        breach: breach("orphan-rows", c, always("987654")),
    }
}

/// A key to a table of another schema, whose rows the file has.
fn kind_key(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} text DEFAULT 'a' REFERENCES app.kinds (name)")],
        source: vec![format!("{c} TEXT")],
        values: Some(always("'b'")),
        breach: breach("orphan-rows", c, always("'x'")),
        ..Feature::default()
    }
}

fn full_key(rng: &mut Rng, c: &str) -> Feature {
    let wrong = rng.pick(&[["1", "NULL"], ["1", "'b'"]]);
    Feature {
        columns: vec![
            format!("{c} integer"),
            format!("{c}_b text"),
            format!("CONSTRAINT {c}_full FOREIGN KEY ({c}, {c}_b) REFERENCES pairs (one, other) MATCH FULL"),
        ],
        source: vec![format!("{c} INTEGER"), format!("{c}_b TEXT")],
        values: Some(Box::new(|row| {
            let pair = if row % 2 == 0 { ["NULL", "NULL"] } else { ["1", "'a'"] };
            pair.map(str::to_owned).to_vec()
        })),
        breach: breach("orphan-rows", &format!("{c}, {c}_b"), Box::new(move |_| wrong.map(str::to_owned).to_vec())),
        ..Feature::default()
    }
}

fn defaulted_key(rng: &mut Rng, c: &str) -> Feature {
    let default = rng.pick(&["'b'", "'a'::text", "lower('B')"]);
    let (columns, after) =
        (vec![format!("{c} text NOT NULL DEFAULT {default} REFERENCES app.kinds (name)")], Vec::new());
    Feature { columns, after, ..Feature::default() }
}

fn generated(rng: &mut Rng, c: &str) -> Feature {
    let guard = rng.pick(&["", " UNIQUE", " CHECK ({c}_g <> 'nothing')", " NOT NULL"]).replace("{c}", c);
    Feature {
        columns: vec![format!("{c} text"), format!("{c}_g text GENERATED ALWAYS AS (app.slug({c})) STORED{guard}")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'G {row}'"))),
        ..Feature::default()
    }
}

/// The source has the column that PostgreSQL generates.
fn generated_too(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} text"), format!("{c}_g text GENERATED ALWAYS AS (lower({c})) STORED")],
        source: vec![format!("{c} TEXT"), format!("{c}_g TEXT")],
        values: Some(Box::new(|row| vec![format!("'G{row}'"), format!("'g{row}'")])),
        breach: breach(
            "generated-value-differs",
            &format!("{c}_g"),
            Box::new(|row| vec![format!("'G{row}'"), "'other'".to_owned()]),
        ),
        ..Feature::default()
    }
}

/// An expression that fails for a value.
fn computed(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} integer"), format!("{c}_g integer GENERATED ALWAYS AS (1000 / {c}) STORED")],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| row.to_string())),
        breach: refusal("generated-value-differs", &format!("{c}_g"), always("0")),
        ..Feature::default()
    }
}

fn not_null(rng: &mut Rng, c: &str) -> Feature {
    let default = rng.pick(&["", " DEFAULT 5", " DEFAULT nextval('shared_seq')"]);
    Feature {
        columns: vec![format!("{c} bigint{default} NOT NULL")],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| row.to_string())),
        breach: breach("not-null-violated", c, always("NULL")),
        ..Feature::default()
    }
}

fn text_input(rng: &mut Rng, c: &str) -> Feature {
    let (kind, good, bad) = rng.pick(&[
        ("inet", "'10.0.0.1/24'", "'10.0.0'"),
        ("macaddr", "'08:00:2b:01:02:03'", "'08:00'"),
        ("int4range", "'[1,4)'", "'[4,1)'"),
        ("tsrange", "'[2024-01-01,)'", "'[x,)'"),
        ("point", "'(1,2)'", "'(1'"),
        ("interval", "'1 day'", "'1 dya'"),
        ("tsvector", "'cat'", "''''"),
    ]);
    Feature {
        columns: vec![format!("{c} {kind}")],
        source: vec![format!("{c} TEXT")],
        values: Some(always(good)),
        breach: refusal("type-does-not-fit", c, always(bad)),
        ..Feature::default()
    }
}

fn enumerated(rng: &mut Rng, c: &str) -> Feature {
    let (kind, good, bad) = rng.pick(&[
        ("mood", "'so, so'", "'none'"),
        ("app.mood", "'it''s'", "'ok'"),
        ("app.mood[]", "'[\"up\", null]'", "'[\"none\"]'"),
    ]);
    Feature {
        columns: vec![format!("{c} {kind}")],
        source: vec![format!("{c} TEXT")],
        values: Some(always(good)),
        breach: refusal("type-does-not-fit", c, always(bad)),
        ..Feature::default()
    }
}

fn arrays(rng: &mut Rng, c: &str) -> Feature {
    let (kind, good) = rng.pick(&[
        ("text[]", "'[\"a\",\"b\"]'"),
        ("integer[]", "'[1,2]'"),
        ("jsonb", "'{\"a\":1}'"),
        ("uuid[]", "'[]'"),
    ]);
    Feature {
        columns: vec![format!("{c} {kind} DEFAULT NULL")],
        after: vec![format!("CREATE INDEX {c}_gin ON {{t}} USING gin ({c})")],
        source: vec![format!("{c} TEXT")],
        values: Some(always(good)),
        ..Feature::default()
    }
}

fn methods(rng: &mut Rng, c: &str) -> Feature {
    let index = rng.pick(&[
        "USING hash ({c})",
        "USING brin ({c}) WITH (pages_per_range = 16)",
        "({c} DESC NULLS LAST) INCLUDE (id)",
        "(abs({c}), ({c} + 1)) WHERE {c} > 2",
        "USING btree ({c}) WITH (fillfactor = 60)",
    ]);
    let statistics = rng.pick(&["", "CREATE STATISTICS {c}_stat (ndistinct, dependencies) ON id, {c} FROM {t}"]);
    let after = [format!("CREATE INDEX {c}_method ON {{t}} {index}"), statistics.to_owned()];
    Feature {
        columns: vec![format!("{c} bigint")],
        after: after.into_iter().filter(|sql| !sql.is_empty()).map(|sql| sql.replace("{c}", c)).collect(),
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| row.to_string())),
        ..Feature::default()
    }
}

/// A key that is too large for a page of an index.
fn wide_index(rng: &mut Rng, c: &str) -> Feature {
    let unique = rng.pick(&["", "UNIQUE "]);
    Feature {
        columns: vec![format!("{c} text")],
        after: vec![format!("CREATE {unique}INDEX {c}_wide ON {{t}} ({c})")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'w{row}'"))),
        breach: breach("index-not-carried", c, one(|row| format!("'{row}' || hex(randomblob(4000))"))),
    }
}

fn failing_index(_: &mut Rng, c: &str) -> Feature {
    let name = format!("{c}_fails");
    Feature {
        columns: vec![format!("{c} integer")],
        after: vec![format!("CREATE INDEX {name} ON {{t}} ((100 / {c}))")],
        source: vec![format!("{c} INTEGER")],
        values: Some(one(|row| row.to_string())),
        breach: breach("index-not-carried", &name, always("0")),
    }
}

/// Columns that only the existing schema has.
fn own_defaults(rng: &mut Rng, c: &str) -> Feature {
    let column = rng.pick(&[
        "uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()",
        "timestamptz NOT NULL DEFAULT now()",
        "text DEFAULT 'X-' || nextval('code_seq')",
        "bigint DEFAULT nextval('shared_seq')",
        "bigint GENERATED BY DEFAULT AS IDENTITY (START 7 INCREMENT 3 CACHE 5)",
        "serial",
        "positive DEFAULT 3",
        "app.mood NOT NULL DEFAULT 'up'",
        "with_default NOT NULL",
        "text[] DEFAULT ARRAY['a']",
        "numeric(5,2) DEFAULT 1.25 CHECK ({c} > 0)",
    ]);
    Feature { columns: vec![format!("{c} {}", column.replace("{c}", c))], ..Feature::default() }
}

fn numbers(rng: &mut Rng, c: &str) -> Feature {
    let (kind, good) = rng.pick(&[
        ("numeric(12,2)", "12.5"),
        ("real", "0.5"),
        ("double precision", "1e300"),
        ("smallint", "7"),
        ("boolean", "1"),
        ("bytea", "x'00ff'"),
        ("oid", "12"),
        ("bit(3)", "'101'"),
    ]);
    plain_of(c, kind, good)
}

fn times(rng: &mut Rng, c: &str) -> Feature {
    let (kind, good) = rng.pick(&[
        ("timestamptz", "1700000000"),
        ("timestamp(3)", "'2024-01-02T03:04:05.678Z'"),
        ("date", "'2024-01-02'"),
        ("time", "'03:04:05'"),
        ("timetz", "'03:04:05+02:00'"),
    ]);
    plain_of(c, kind, good)
}

fn plain(rng: &mut Rng, c: &str) -> Feature {
    let storage = rng.pick(&[
        "ALTER TABLE {t} ALTER COLUMN {c} SET STORAGE EXTERNAL",
        "ALTER TABLE {t} ALTER COLUMN {c} SET STATISTICS 50",
        "ALTER TABLE {t} ALTER COLUMN {c} SET (n_distinct = 5)",
        "ALTER TABLE {t} ALTER COLUMN {c} SET COMPRESSION pglz",
        "COMMENT ON COLUMN {t}.{c} IS 'it''s a \\ column'",
        "GRANT SELECT ({c}), UPDATE ({c}) ON {t} TO neon_superuser",
        "CREATE VIEW {c}_view AS SELECT id, {c} AS other, count(*) OVER () FROM {t}",
        "CREATE MATERIALIZED VIEW {c}_mat AS SELECT {c}, count(*) AS n FROM {t} GROUP BY 1; \
         CREATE UNIQUE INDEX ON {c}_mat ({c})",
    ]);
    Feature { after: vec![storage.replace("{c}", c)], ..plain_of(c, "text", "'line' || char(10) || '\\N'") }
}

fn collated(_: &mut Rng, c: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} text COLLATE app.numeric UNIQUE")],
        source: vec![format!("{c} TEXT")],
        values: Some(one(|row| format!("'n{row}'"))),
        breach: breach("keys-merged", c, always("'N1'")),
        ..Feature::default()
    }
}

fn plain_of(c: &str, kind: &str, good: &str) -> Feature {
    Feature {
        columns: vec![format!("{c} {kind}")],
        source: vec![format!("{c} {}", if kind == "text" { "TEXT" } else { "" })],
        values: Some(always(good)),
        ..Feature::default()
    }
}
