//! What the tables of the last push were like when it ended, and what of their structure others changed since.
//!
//! The structure is recorded after the push has committed, as lines of the catalog: columns, constraints and indexes.
//! Objects that were added to a table are not drift: a push leaves them, carries them over or refuses (`preflight`).

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::{TableDigest, identifier::quote_literal, table_digest::DigestColumn},
    postgres::{Session, session::Row},
};

/// Separates kind, name and definition in a line of the structure; no identifier of a message holds it.
const SEPARATOR: char = '\u{1f}';

/// The lines of the structure of the table `c` of `pg_class`. A constraint that was validated is the same constraint.
const STRUCTURE: &str = "(SELECT coalesce(array_agg(kind || chr(31) || name || chr(31) || definition \
     ORDER BY kind, name), '{}') FROM (\
   SELECT 'column', a.attname::text, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || \
       a.attidentity::text || ' ' || a.attgenerated::text || ' ' || a.attcollation || ' ' || \
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') \
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
   UNION ALL SELECT 'constraint', k.conname::text, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') \
     FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype NOT IN ('n', 't') \
   UNION ALL SELECT 'index', i.relname::text, pg_get_indexdef(x.indexrelid) \
     FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid) AS lines(kind, name, definition))";

/// One table of the last push.
pub(crate) struct TableBaseline {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// The digest of the rows that were pushed; none if an earlier version recorded another kind of digest.
    pub digest: Option<TableDigest>,
    /// What the digest was pushed as.
    pub fingerprint: String,
    /// The columns that the digest covers; none if an earlier version pushed the table.
    pub columns: Option<Vec<DigestColumn>>,
    /// The transaction after which every row is somebody else's; none if an earlier version pushed the table.
    pub pushed_xid: Option<String>,
    /// What changed in the structure, one sentence each.
    pub structure: Vec<String>,
    /// Whether the table was dropped, renamed or moved.
    pub is_gone: bool,
    /// The application made the table.
    pub is_adopted: bool,
    /// Whether one of the columns that the digest covers was dropped or has another type.
    pub is_unreadable: bool,
}

/// Reads what the record says of the live tables that were pushed, and compares their structure.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str) -> Result<Vec<TableBaseline>> {
    let doing = "comparing the tables with those of the last push";
    let there = "SELECT to_regclass('turso2neon.tables') IS NOT NULL";
    if !control.query_value::<bool>(doing, there, &[]).await? {
        return Ok(Vec::new());
    }
    // A record that an earlier version made lacks some columns.
    let sql = format!(
        "SELECT t.name, t.source, t.digest, t.fingerprint, r.j ->> 'columns', r.j ->> 'pushed_xid', \
           CASE jsonb_typeof(r.j -> 'structure') WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(r.j -> 'structure')) END, \
           CASE WHEN c.oid IS NOT NULL THEN {STRUCTURE} END, coalesce((r.j ->> 'is_adopted')::boolean, false) \
         FROM turso2neon.tables t CROSS JOIN LATERAL (SELECT to_jsonb(t)) AS r(j) \
         LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1) \
           ON c.oid = t.oid AND c.relname = t.name \
         WHERE t.target_schema = $1 AND t.state = 'live' AND t.run_id <> 0 ORDER BY t.name COLLATE \"C\""
    );
    control.query_rows(doing, &sql, &[&schema]).await?.iter().map(baseline).collect()
}

fn baseline(row: &Row<'_>) -> Result<TableBaseline> {
    let columns = row.get::<Option<&str>>(4)?.map(digest_columns).transpose().at_table(row.get::<&str>(0)?)?;
    let (before, now): (Option<Vec<String>>, Option<Vec<String>>) = (row.get(6)?, row.get(7)?);
    let (before_lines, now_lines) = (lines(before.as_deref()), lines(now.as_deref()));
    let column = |name: &str| ("column", name.to_owned());
    let is_same =
        |name: &str| before_lines.get(&column(name)).is_none_or(|line| now_lines.get(&column(name)) == Some(line));
    let is_unreadable =
        columns.iter().flatten().any(|one| !now_lines.contains_key(&column(&one.name)) || !is_same(&one.name));
    let mut structure = Vec::new();
    if before.is_some() && now.is_some() {
        structure = changes(&before_lines, &now_lines);
    } else if now.is_some() && is_unreadable {
        // A push that was interrupted after its commit has recorded no structure.
        structure.push("a column that was pushed was dropped or renamed".to_owned());
    }
    Ok(TableBaseline {
        name: row.get(0)?,
        source: row.get(1)?,
        digest: row.get::<&str>(2)?.parse().ok(),
        fingerprint: row.get(3)?,
        columns,
        pushed_xid: row.get(5)?,
        structure,
        is_gone: now.is_none(),
        is_adopted: row.get(8)?,
        is_unreadable,
    })
}

/// The columns that the recorded digest covers. Without them nobody could see that others changed rows.
fn digest_columns(text: &str) -> Result<Vec<DigestColumn>> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(Kind::ArtifactNewer, "the record of pushes on the target has a form that this version can't read")
            .with_hint("nothing was changed; use the newer turso2neon that pushed there")
    })
}

/// Kind and name of a line, and its definition.
type Lines<'a> = BTreeMap<(&'a str, String), &'a str>;

fn lines(structure: Option<&[String]>) -> Lines<'_> {
    structure.into_iter().flatten().filter_map(|line| parts(line)).collect()
}

fn parts(line: &str) -> Option<((&str, String), &str)> {
    let (kind, rest) = line.split_once(SEPARATOR)?;
    let (name, definition) = rest.split_once(SEPARATOR)?;
    Some(((kind, name.to_owned()), definition))
}

/// One sentence for each line that is gone or has another definition, and for each column that was added.
fn changes(before: &Lines<'_>, now: &Lines<'_>) -> Vec<String> {
    let changed = before.iter().filter_map(|((kind, name), definition)| match now.get(&(*kind, name.clone())) {
        None => Some(format!("{kind} {name} was dropped")),
        Some(other) if other != definition => Some(format!("{kind} {name} was altered")),
        Some(_) => None,
    });
    let added = now.keys().filter(|key| key.0 == "column" && !before.contains_key(*key));
    changed.chain(added.map(|(_, name)| format!("column {name} was added"))).collect()
}

/// Records the structure of tables that have no recorded structure: those of a push that has just committed.
///
/// # Errors
/// `Target*`.
pub(crate) async fn note_structure(control: &Session, schema: &str) -> Result<()> {
    let sql = format!(
        "UPDATE turso2neon.tables t SET structure = {STRUCTURE} FROM pg_class c \
         WHERE c.oid = t.oid AND t.target_schema = {} AND t.state = 'live' AND t.structure IS NULL",
        quote_literal(schema)
    );
    control.batch("recording the structure of the tables", &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_structure_are_named_and_added_indexes_are_none() {
        let line = |parts: [&str; 3]| parts.join("\u{1f}");
        let before = [line(["column", "a", "bigint"]), line(["column", "b", "text"]), line(["index", "i", "on a"])];
        let now = [line(["column", "a", "integer"]), line(["column", "c", "text"]), line(["index", "j", "on c"])];
        assert_eq!(
            changes(&lines(Some(&before)), &lines(Some(&now))),
            ["column a was altered", "column b was dropped", "index i was dropped", "column c was added"]
        );
        assert!(changes(&lines(Some(&before)), &lines(Some(&before))).is_empty());
    }
}
