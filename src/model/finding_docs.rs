//! Documents each finding code: `docs/findings.md` and `turso2neon explain CODE` show these texts.

use super::finding::FindingCode;

/// What users should know of a finding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingDoc {
    /// What it means.
    pub meaning: &'static str,
    /// When it appears, and with which severity.
    pub severity: &'static str,
    /// What happens once it is accepted.
    pub accepted: &'static str,
    /// Which settings and commands solve it.
    pub solve: &'static str,
    /// A message.
    pub example: &'static str,
}

impl FindingCode {
    /// The documentation of the code.
    #[must_use]
    pub fn doc(self) -> FindingDoc {
        const NONE: FindingDoc = FindingDoc { meaning: "", severity: "", accepted: "", solve: "", example: "" };
        DOCS.iter().find(|(code, _)| *code == self).map_or(NONE, |(_, doc)| *doc)
    }

    /// The section of the code in Markdown, without its heading.
    #[must_use]
    pub fn section_text(self) -> String {
        let FindingDoc { meaning, severity, accepted, solve, example } = self.doc();
        let word = self.word();
        format!(
            "{meaning}\n\n- Severity: {severity}\n- Accepted with `--accept {word}@TABLE.COLUMN`: {accepted}.\n\
             - Solved by: {solve}\n- Example: {example}\n"
        )
    }
}

const DOCS: [(FindingCode, FindingDoc); 33] = [
    (
        FindingCode::TypeWidened,
        FindingDoc {
            meaning: "The column gets a wider type than the declared one, because some values do not fit the declared type. No value changes.",
            severity: "Warning for values that do not fit; information where a default or a foreign key requires the wider type.",
            accepted: "nothing changes; the column keeps the wider type",
            solve: "`type`, `off_type`, `empty_as_null`, `bool_words`, `dates` or `from` in `[columns.\"TABLE.COLUMN\"]`; or correct the values in the source and dump again. `turso2neon plan --explain TABLE.COLUMN` counts what each setting does.",
            example: "declared DATETIME, but 1 of 2 values is no timestamp (first at rowid 5): the column is text",
        },
    ),
    (
        FindingCode::ClassMerged,
        FindingDoc {
            meaning: "Values of different storage classes become the same PostgreSQL value: the text `1` and the number 1 can no longer be told apart.",
            severity: "Warning if the table `_sqlite_offtype` keeps the class; needs a decision if the rows have no key under which it could be kept; information for texts that an existing `bytea` column takes.",
            accepted: "the values are loaded, and the storage class is not kept where the rows have no key",
            solve: "`type` in `[columns.\"TABLE.COLUMN\"]`, or a primary key in the source.",
            example: "7 values of another storage class than integer in a column of type text; class and raw bytes of each are kept in the table _sqlite_offtype",
        },
    ),
    (
        FindingCode::SpellingNormalised,
        FindingDoc {
            meaning: "The value is the same, and PostgreSQL writes it in another form: upper case in UUIDs, leading zeros, the offset of a time, spacing in JSON.",
            severity: "Information. Needs a decision if an existing schema has a type without zone and the values have an offset from UTC.",
            accepted: "the values are loaded in the form of the type, without their offset from UTC",
            solve: "`type = \"text\"` in `[columns.\"TABLE.COLUMN\"]` keeps the spelling; with an existing schema use `timestamptz` there.",
            example: "3 texts true, false become boolean",
        },
    ),
    (
        FindingCode::EpochAssumed,
        FindingDoc {
            meaning: "Numbers are read as a time, in the unit that their size or the declared default shows.",
            severity: "Information if the range of the unit or the default decides; needs a decision if the numbers only suggest a unit.",
            accepted: "the numbers are read in the unit that the finding names",
            solve: "`from = \"unix_s\"`, `\"unix_ms\"`, `\"unix_us\"`, `\"unix_ns\"`, `\"julian\"` or `\"core_data\"` in `[columns.\"TABLE.COLUMN\"]`; or `type = \"bigint\"`, which keeps the numbers.",
            example: "numbers are read as milliseconds since 1970-01-01 UTC, because all lie in the range of that unit",
        },
    ),
    (
        FindingCode::Advice,
        FindingDoc {
            meaning: "A possibility or a consequence that changes no value.",
            severity: "Information.",
            accepted: "nothing changes",
            solve: "The finding names the setting, if there is one.",
            example: "all values are 0 or 1; the column stays bigint",
        },
    ),
    (
        FindingCode::TextNotStorable,
        FindingDoc {
            meaning: "Texts contain a NUL character or are not valid UTF-8, which no text type of PostgreSQL takes.",
            severity: "Needs a decision if the texts would be replaced; warning if the configuration says so or the column becomes `bytea`; refused with `bad_text = \"fail\"` or where the texts identify rows.",
            accepted: "each NUL and each invalid sequence becomes U+FFFD, and the table `_sqlite_offtype` keeps the bytes",
            solve: "`bad_text = \"replace\"`, `\"bytea\"` or `\"fail\"` in `[columns.\"TABLE.COLUMN\"]`; or correct the texts in the source and dump again.",
            example: "PostgreSQL can't hold 1 text with a NUL character (first at rowid 1)",
        },
    ),
    (
        FindingCode::ValueTooLong,
        FindingDoc {
            meaning: "A value exceeds a limit of PostgreSQL or the length of an existing type.",
            severity: "Needs a decision if an existing `varchar(n)`, `char(n)` or `name` would cut it; refused above 1 GB in a field or a row; warning above 500 MB, because `pg_dump` of the table fails.",
            accepted: "the values are cut to the length of the type",
            solve: "A longer type in the existing schema; `exclude` for a table that exceeds 1 GB.",
            example: "2 of 10 values have more characters than the type and are cut to its length: varchar(20)",
        },
    ),
    (
        FindingCode::TypeDoesNotFit,
        FindingDoc {
            meaning: "Values cannot be converted to the type that the configuration or the existing schema specifies, or are rounded or cut by the conversion.",
            severity: "Refused for values that are none of the type; needs a decision for values that are rounded or cut, and accepted already if the configuration names the column; information for empty texts that become NULL.",
            accepted: "the values are loaded rounded or cut, as the finding says; values that are none of the type cannot be accepted",
            solve: "`off_type`, `empty_as_null`, `from`, `zone`, `list` or `bad_text` in `[columns.\"TABLE.COLUMN\"]`; another type. `turso2neon plan --explain TABLE.COLUMN` counts what each setting does.",
            example: "1 of 3 values cannot become integer: they do not have the form of the type's values (first at rowid 2; the form of the first is an empty text)",
        },
    ),
    (
        FindingCode::VectorExtensionMissing,
        FindingDoc {
            meaning: "The server that will hold the tables does not offer pgvector, so vectors become arrays or bytes.",
            severity: "Information.",
            accepted: "nothing changes",
            solve: "`vector = \"on\"` or `--vector on`, after pgvector is available on the server.",
            example: "without the extension pgvector the column is real[] instead of vector(2)",
        },
    ),
    (
        FindingCode::NullsInPrimaryKey,
        FindingDoc {
            meaning: "A column of the primary key contains NULL, which PostgreSQL does not allow there.",
            severity: "Warning without an existing schema: the key becomes a UNIQUE constraint. Needs a decision with one.",
            accepted: "the table is created without this primary key",
            solve: "Correct the rows in the source and dump again.",
            example: "2 values are NULL where the existing schema allows none: the column is made without the primary key",
        },
    ),
    (
        FindingCode::KeysMerged,
        FindingDoc {
            meaning: "Rows have keys that differ in SQLite and are equal in PostgreSQL, so that the key or unique index is not created.",
            severity: "Needs a decision; refused for the primary key of a WITHOUT ROWID table, because nothing else addresses its rows.",
            accepted: "the tables are created without this key or unique index",
            solve: "`type` in `[columns.\"TABLE.COLUMN\"]` with a type in which the keys remain different, such as `text`; or correct the rows in the source and dump again.",
            example: "the unique on email is not carried: 1 key has a twin that differs only in storage class or spelling, which PostgreSQL doesn't distinguish",
        },
    ),
    (
        FindingCode::NotNullViolated,
        FindingDoc {
            meaning: "A column that is NOT NULL has rows without a value.",
            severity: "Warning without an existing schema: a check NOT VALID is made instead. Needs a decision with one; refused if the source has no column for it and it has no default.",
            accepted: "the column is created without NOT NULL",
            solve: "Correct the rows in the source and dump again; `name` in `[columns.\"TABLE.COLUMN\"]` if the column has another name; a default in the existing schema.",
            example: "3 values are NULL where the existing schema allows none: the column is made without NOT NULL",
        },
    ),
    (
        FindingCode::CheckViolated,
        FindingDoc {
            meaning: "Rows break a check.",
            severity: "Warning without an existing schema: the check is created NOT VALID. Needs a decision with one.",
            accepted: "the check is created NOT VALID, so that it holds for new rows only; a domain becomes its base type",
            solve: "Correct the rows in the source and dump again; after the migration correct them on the target and run `ALTER TABLE ... VALIDATE CONSTRAINT`.",
            example: "2 rows break the check orders_total_check: it is created NOT VALID, so that it holds for new rows only",
        },
    ),
    (
        FindingCode::CheckNotCarried,
        FindingDoc {
            meaning: "A check cannot be translated, or it gives a different result in PostgreSQL than in SQLite for some rows.",
            severity: "Needs a decision. It can appear in `convert`, which tries the check on all rows.",
            accepted: "the table is created without the check; the report has its SQL",
            solve: "Write the check for PostgreSQL in `[sql] after`.",
            example: "the check can't be translated: it calls a function that PostgreSQL does not have",
        },
    ),
    (
        FindingCode::GeneratedValueDiffers,
        FindingDoc {
            meaning: "An existing generated column would compute other values than the source has, or cannot be computed.",
            severity: "Needs a decision for other values; refused if PostgreSQL cannot compute the expression for a row.",
            accepted: "the target has the values that PostgreSQL computes",
            solve: "Correct the expression in the existing schema, or the values in the source.",
            example: "2 rows have another value in the source than the expression of the existing schema gives: the value of the expression is kept",
        },
    ),
    (
        FindingCode::OrphanRows,
        FindingDoc {
            meaning: "Rows refer to rows that do not exist. SQLite does not enforce foreign keys by default.",
            severity: "Warning without an existing schema; needs a decision with one, and for references to rows that are left out.",
            accepted: "the foreign key is created NOT VALID, so that it holds for new rows only",
            solve: "Correct the rows in the source and dump again; after the migration correct them on the target and run `ALTER TABLE ... VALIDATE CONSTRAINT`.",
            example: "3 rows refer to rows that do not exist: the foreign key comments_post_fkey is created NOT VALID, so that it holds for new rows only",
        },
    ),
    (
        FindingCode::ForeignKeyNotCarried,
        FindingDoc {
            meaning: "A foreign key cannot be created, for example because its parent table or key does not exist.",
            severity: "Needs a decision or warning, by the reason.",
            accepted: "the table is created without the foreign key",
            solve: "Include the parent table, or give the columns the same `type`.",
            example: "the foreign key users_org_fkey is not created: the key that it refers to is not created",
        },
    ),
    (
        FindingCode::DefaultNotCarried,
        FindingDoc {
            meaning: "A default cannot be translated, or an existing default is not of the column's type.",
            severity: "Warning; refused if the default of an existing schema is wrong.",
            accepted: "the column is created without the default",
            solve: "Set the default after the migration with `ALTER TABLE ... ALTER COLUMN ... SET DEFAULT`, or correct it in the existing schema.",
            example: "the default can't be carried: it calls a function that PostgreSQL does not have",
        },
    ),
    (
        FindingCode::GeneratedAsPlain,
        FindingDoc {
            meaning: "A generated column becomes a plain column that has the values of SQLite.",
            severity: "Warning. It can appear in `convert`, which compares the translated expression on all rows.",
            accepted: "the column is a plain one, and applications must set its values",
            solve: "Write the column for PostgreSQL after the migration; the report has its SQL.",
            example: "the generated column is carried as a plain column with its present values: it calls a function that PostgreSQL does not have; new rows need a trigger or the application to fill it",
        },
    ),
    (
        FindingCode::IndexChanged,
        FindingDoc {
            meaning: "An index is created in another form, because PostgreSQL does not have the form of the source.",
            severity: "Warning.",
            accepted: "the index is created in the form that the finding describes",
            solve: "Write the index for PostgreSQL in `[sql] after`.",
            example: "the index is created without its collation",
        },
    ),
    (
        FindingCode::IndexNotCarried,
        FindingDoc {
            meaning: "An index is not created.",
            severity: "Warning; needs a decision with `--strict`, or if an existing index refuses values. It can appear in `convert`.",
            accepted: "the table is created without the index; the report has its SQL",
            solve: "Write the index for PostgreSQL in `[sql] after`.",
            example: "queries lose this index: it calls a function that PostgreSQL does not have",
        },
    ),
    (
        FindingCode::CollationChanged,
        FindingDoc {
            meaning: "Text is compared or ordered otherwise than in SQLite, for example because of NOCASE or a collation that the application defines.",
            severity: "Warning.",
            accepted: "nothing changes",
            solve: "Use `lower()` or `ILIKE` in queries, or the type `citext`.",
            example: "it was unique under a collation of the application's own; PostgreSQL compares exactly",
        },
    ),
    (
        FindingCode::UniqueNotCarried,
        FindingDoc {
            meaning: "A unique key cannot be created, so PostgreSQL does not enforce uniqueness.",
            severity: "Needs a decision.",
            accepted: "the table is created without the unique key; the report has its SQL",
            solve: "Write the key for PostgreSQL in `[sql] after`.",
            example: "the uniqueness that it guards is lost: its expression can't be translated",
        },
    ),
    (
        FindingCode::ClauseNotCarried,
        FindingDoc {
            meaning: "A clause of a declaration has no form in PostgreSQL, or an object of the existing schema is not carried.",
            severity: "Information or warning; needs a decision if an object depends on one that is not created; refused if the source has rows both for a table and for a table that inherits from it.",
            accepted: "the object is created without the clause",
            solve: "Write the clause for PostgreSQL after the migration, if it is needed.",
            example: "RANDOM ROWID: PostgreSQL numbers new rows upwards instead of at random",
        },
    ),
    (
        FindingCode::ViewNotCarried,
        FindingDoc {
            meaning: "A view is not created: it cannot be translated, it gives other rows in PostgreSQL, or the objects come from an existing schema.",
            severity: "Warning; needs a decision with `--strict`. It can appear in `convert`.",
            accepted: "the view is not created; the report has its SQL",
            solve: "Write the view for PostgreSQL in `[sql] after`.",
            example: "it is not carried, because it calls a function that PostgreSQL does not have",
        },
    ),
    (
        FindingCode::TriggerNotCarried,
        FindingDoc {
            meaning: "A trigger is not created: it cannot be translated, or the objects come from an existing schema.",
            severity: "Warning; needs a decision with `--strict`. It can appear in `convert`.",
            accepted: "the trigger is not created; the report has its SQL",
            solve: "Write the trigger for PostgreSQL in `[sql] after`.",
            example: "not made: the existing schema decides what the tables have",
        },
    ),
    (
        FindingCode::VirtualTableAsPlain,
        FindingDoc {
            meaning: "A virtual table, such as a full-text index, becomes a plain table with its rows.",
            severity: "Warning.",
            accepted: "the rows are loaded into a plain table; the functions of the virtual table, such as full-text search, are not available",
            solve: "`fts = \"tsvector\"` adds a GIN index to full-text tables.",
            example: "it is carried as a plain table with the rows of the fts5 table, without the module's functions",
        },
    ),
    (
        FindingCode::TableSkipped,
        FindingDoc {
            meaning: "A table of the source is not loaded.",
            severity: "Information for tables that the configuration excludes, internal tables such as the shadow tables of a virtual table, or that are migration histories which the existing schema has too; warning for other migration histories; needs a decision if an existing schema lacks the table and it has rows.",
            accepted: "the rows of the table are not loaded",
            solve: "`name` in `[tables.\"TABLE\"]` if the table has another name in the existing schema; `--carry-missing` creates it; `exclude` if it is not needed.",
            example: "the existing schema has no such table: 3 rows are left out",
        },
    ),
    (
        FindingCode::ColumnSkipped,
        FindingDoc {
            meaning: "An existing schema lacks a column of the source.",
            severity: "Needs a decision if the column has values; else information.",
            accepted: "the values of the column are not loaded",
            solve: "`name` in `[columns.\"TABLE.COLUMN\"]` if the column has another name in the existing schema.",
            example: "the existing table users has no such column: 3 values are left out",
        },
    ),
    (
        FindingCode::TableNotReadable,
        FindingDoc {
            meaning: "SQLite cannot read the table, so that its rows are not in the dump.",
            severity: "Needs a decision.",
            accepted: "the rows of the table are not loaded",
            solve: "Make the module or extension of the table available to the source, or copy the rows into a plain table, and dump again.",
            example: "its rows are not carried: the dump leaves it out: its module is not known",
        },
    ),
    (
        FindingCode::NameChanged,
        FindingDoc {
            meaning: "A name is changed, because PostgreSQL has a limit of 63 bytes, the name is taken, or `identifiers` says so.",
            severity: "Information.",
            accepted: "nothing changes",
            solve: "`name` in `[tables.\"TABLE\"]` or `[columns.\"TABLE.COLUMN\"]`.",
            example: "it is called order_ in PostgreSQL: the name is taken",
        },
    ),
    (
        FindingCode::IdentityExhausted,
        FindingDoc {
            meaning: "The last number that the sequence of a column can give is in use.",
            severity: "Warning.",
            accepted: "nothing changes; an INSERT must supply the number explicitly",
            solve: "Number the rows again in the source, or use a larger type or another limit of the sequence in the existing schema.",
            example: "the highest number is in use, so that no row can be numbered by itself; SQLite would go on with random numbers",
        },
    ),
    (
        FindingCode::RowTooWide,
        FindingDoc {
            meaning: "A table has more columns, or a row has more bytes, than PostgreSQL allows.",
            severity: "Refused for more than 1600 columns; needs a decision for a row that does not fit a page.",
            accepted: "the load is tried, and fails if PostgreSQL refuses the row",
            solve: "`exclude` leaves the table out; else divide it in the source.",
            example: "1700 columns are more than PostgreSQL's 1600",
        },
    ),
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const HEAD: &str = "\
# Findings

This page is generated from the source: `TURSO2NEON_UPDATE_DOCS=1 cargo test --lib docs_findings` writes it again.

`plan` reports findings; `turso2neon explain CODE` prints a section of this page without a network. A finding has a
severity: information, warning, needs a decision, or refused. Nothing is loaded while a finding is refused or needs a
decision. `--accept CODE`, `--accept CODE@TABLE`, `--accept CODE@TABLE.COLUMN` and `[accept]` accept findings; a refused
finding cannot be accepted. [`conversion-rules.md`](conversion-rules.md), section 10, states the rules.
";

    #[test]
    fn docs_findings_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
        let mut page = HEAD.to_owned();
        for code in FindingCode::ALL {
            page += &format!("\n## {}\n\n{}", code.word(), code.section_text());
        }
        if std::env::var_os("TURSO2NEON_UPDATE_DOCS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let is_current = fs::read_to_string(&path).is_ok_and(|stored| stored == page);
        assert!(is_current, "docs/findings.md is stale: run `TURSO2NEON_UPDATE_DOCS=1 cargo test --lib docs_findings`");
    }

    #[test]
    fn every_code_is_documented_once_and_in_order() {
        assert_eq!(DOCS.map(|(code, _)| code).as_slice(), FindingCode::ALL.as_slice());
        for (code, doc) in DOCS {
            let FindingDoc { meaning, severity, accepted, solve, example } = doc;
            assert!([meaning, severity, accepted, solve, example].iter().all(|text| !text.is_empty()), "{code:?}");
        }
    }
}
