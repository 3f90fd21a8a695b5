//! What the new tables take over from the ones they replace: grants and comments, and what hangs on them
//! (`table_properties`). A table that replaces none gets what `ALTER DEFAULT PRIVILEGES IN SCHEMA` promises for the
//! target schema, because it is created in another one. Where the old tables have to go first, all that is put down in
//! the record meanwhile.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    model::{
        TablePlan,
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::{Parameter, Session, session::Row},
    stages::push::{
        plan::manifest::Manifest,
        target::{
            catalog::names_of,
            objects,
            record::TargetRecord,
            table_properties::{self, OldTableOutcome},
        },
    },
};

/// Privileges on the tables `$1`, their columns and their sequences, the owner's own left out.
const PRIVILEGES: &str = "
SELECT 'TABLE', c.relname::text, NULL::text, r.rolname::text, a.privilege_type, a.is_grantable
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = ANY($1) AND a.grantee <> c.relowner
UNION ALL
SELECT 'COLUMN', c.relname::text, t.attname::text, r.rolname::text, a.privilege_type, a.is_grantable
FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped
CROSS JOIN LATERAL aclexplode(t.attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = ANY($1) AND a.grantee <> c.relowner
UNION ALL
SELECT 'SEQUENCE', c.relname::text, t.attname::text, r.rolname::text, a.privilege_type, a.is_grantable
FROM pg_class c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
  AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = d.refobjsubid
CROSS JOIN LATERAL aclexplode(s.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = ANY($1) AND a.grantee <> s.relowner
ORDER BY 2, 1, 3, 4, 5";

/// What the present role's tables and sequences get in schema `$1`.
const DEFAULTS: &str = "
SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END, ''::text, NULL::text, r.rolname::text,
  a.privilege_type, a.is_grantable
FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname = $1 AND d.defaclobjtype IN ('r', 'S') AND a.grantee <> d.defaclrole
  AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
ORDER BY 1, 4, 5";

const COMMENTS: &str = "
SELECT c.relname::text, t.attname::text, d.description FROM pg_description d
JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = d.objsubid AND d.objsubid > 0
WHERE c.oid = ANY($1) ORDER BY 1, 2";

/// One privilege.
struct Privilege {
    kind: String,
    table: String,
    column: Option<String>,
    /// None is PUBLIC.
    grantee: Option<String>,
    word: String,
    grantable: bool,
}

/// Statements for the cutover, to be run when the new tables are in the target schema. `staged` and `live` are OIDs;
/// `replaced` are the names of the tables that had their rights before.
///
/// # Errors
/// `Target*`.
pub(crate) async fn statements(
    control: &Session,
    manifest: &Manifest,
    schema: &str,
    staged: &[u32],
    live: &[u32],
    replaced: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut sql = Vec::new();
    // On one connection these questions follow each other without waiting for answers.
    let (of_staged, of_new, of_old) = tokio::try_join!(
        privileges(control, PRIVILEGES, &staged),
        privileges(control, DEFAULTS, &schema),
        Box::pin(of_old(control, manifest, schema, live, OldTableOutcome::Kept)),
    )?;
    // What the staged tables got from general default privileges makes room for what the old ones had.
    for privilege in of_staged {
        if replaced.contains(&privilege.table)
            && let Some(object) = plan(manifest, &privilege.table).and_then(|table| object(&privilege, schema, table))
        {
            sql.push(format!("REVOKE ALL ON {object} FROM {}", grantee(&privilege)));
        }
    }
    for privilege in of_new {
        let new = manifest.tables.iter().map(|to_push| &to_push.table).filter(|table| !replaced.contains(&table.name));
        sql.extend(new.filter_map(|table| grant(&privilege, schema, table)));
    }
    sql.extend(of_old);
    Ok(sql)
}

/// The part of it that comes from the old tables.
async fn of_old(
    control: &Session,
    manifest: &Manifest,
    schema: &str,
    live: &[u32],
    outcome: OldTableOutcome,
) -> Result<Vec<String>> {
    let mut sql = Vec::new();
    let tables: Vec<&TablePlan> = manifest.tables.iter().map(|to_push| &to_push.table).collect();
    let (of_live, comments, attached) = tokio::try_join!(
        privileges(control, PRIVILEGES, &live),
        comments(control, manifest, schema, live),
        table_properties::statements(control, &tables, schema, live, outcome),
    )?;
    for privilege in of_live {
        if let Some(table) = plan(manifest, &privilege.table) {
            sql.extend(grant(&privilege, schema, table));
        }
    }
    sql.extend(comments);
    sql.extend(attached);
    Ok(sql)
}

fn plan<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a TablePlan> {
    manifest.tables.iter().map(|to_push| &to_push.table).find(|table| table.name == name)
}

/// The statements that put down what will be carried over to the tables that come later, before the old ones are
/// dropped.
///
/// # Errors
/// `Target*`.
pub(crate) async fn save_grants(
    control: &Session,
    manifest: &Manifest,
    schema: &str,
    record: &TargetRecord,
) -> Result<Vec<String>> {
    let mut carried = of_old(control, manifest, schema, &record.live_oids(), OldTableOutcome::Dropped).await?;
    carried.extend(objects::carried(control, &manifest.plan, schema, &record.live_objects).await?);
    let names = record.live.iter().map(|table| (Some(table.name.as_str()), None));
    let statements = carried.iter().map(|statement| (None, Some(statement.as_str())));
    let literal = |text: Option<&str>| text.map_or_else(|| "NULL".to_owned(), quote_literal);
    let place = quote_literal(schema);
    let values = names.chain(statements).zip(1..).map(|((name, statement), number): (_, u32)| {
        format!("({place}, {number}, {}, {})", literal(name), literal(statement))
    });
    let values: Vec<String> = values.collect();
    Ok(vec![forget_saved_grants(schema), format!("INSERT INTO turso2neon.carried VALUES {}", values.join(", "))])
}

/// What was put down: the names of the tables that had it, and the statements for those that take their places.
///
/// # Errors
/// `Target*`.
pub(crate) async fn saved_grants(control: &Session, schema: &str) -> Result<(BTreeSet<String>, Vec<String>)> {
    let list = |column: &str| {
        format!(
            "SELECT {column} FROM turso2neon.carried WHERE target_schema = $1 AND {column} IS NOT NULL ORDER BY number"
        )
    };
    let doing = "reading what hung on the tables";
    let names = names_of(control, doing, &list("table_name"), &[&schema]).await?;
    let statements = names_of(control, doing, &list("statement"), &[&schema]).await?;
    Ok((names.into_iter().collect(), statements))
}

/// The statement that forgets what was put down.
pub(crate) fn forget_saved_grants(schema: &str) -> String {
    format!("DELETE FROM turso2neon.carried WHERE target_schema = {}", quote_literal(schema))
}

async fn privileges(control: &Session, query: &str, parameter: &dyn Parameter) -> Result<Vec<Privilege>> {
    let rows = control.query_rows("reading grants", query, &[parameter]).await?;
    let read = |row: &Row<'_>| {
        Ok(Privilege {
            kind: row.get(0)?,
            table: row.get(1)?,
            column: row.get(2)?,
            grantee: row.get(3)?,
            word: row.get(4)?,
            grantable: row.get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

fn grantee(privilege: &Privilege) -> String {
    privilege.grantee.as_ref().map_or_else(|| "PUBLIC".to_owned(), |name| quote_ident(name))
}

/// The new object that the privilege is for, if the new table has one.
fn object(privilege: &Privilege, schema: &str, table: &TablePlan) -> Option<String> {
    match privilege.kind.as_str() {
        "TABLE" => Some(format!("TABLE {}", qualified(schema, &table.name))),
        "COLUMN" => {
            table.column(privilege.column.as_deref()?)?;
            Some(format!("TABLE {}", qualified(schema, &table.name)))
        }
        _ => {
            let identity = table.identity.as_ref()?;
            let fits = privilege.column.as_ref().is_none_or(|column| *column == identity.column);
            fits.then(|| format!("SEQUENCE {}", qualified(schema, &identity.sequence)))
        }
    }
}

fn grant(privilege: &Privilege, schema: &str, table: &TablePlan) -> Option<String> {
    let object = object(privilege, schema, table)?;
    let column = match (&privilege.column, privilege.kind.as_str()) {
        (Some(column), "COLUMN") => format!(" ({})", quote_ident(column)),
        _ => String::new(),
    };
    let option = if privilege.grantable { " WITH GRANT OPTION" } else { "" };
    Some(format!("GRANT {}{column} ON {object} TO {}{option}", privilege.word, grantee(privilege)))
}

async fn comments(control: &Session, manifest: &Manifest, schema: &str, live: &[u32]) -> Result<Vec<String>> {
    let rows = control.query_rows("reading comments", COMMENTS, &[&live]).await?;
    let mut sql = Vec::new();
    for row in &rows {
        let name: String = row.get(0)?;
        let column: Option<String> = row.get(1)?;
        let text: String = row.get(2)?;
        let Some(table) = manifest.tables.iter().map(|to_push| &to_push.table).find(|table| table.name == name) else {
            continue;
        };
        let whole = qualified(schema, &table.name);
        match column {
            None => sql.push(format!("COMMENT ON TABLE {whole} IS {}", quote_literal(&text))),
            Some(column) if table.column(&column).is_some() => {
                sql.push(format!("COMMENT ON COLUMN {whole}.{} IS {}", quote_ident(&column), quote_literal(&text)));
            }
            Some(_) => {}
        }
    }
    Ok(sql)
}
