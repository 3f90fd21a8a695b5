//! Whose the schemas are that bear this tool's names.
//!
//! The record of pushes decides which tables are replaced and dropped. A role that may create schemas could make one
//! with the record's name and enter the tables of others into it. So what is read there must belong to the connected
//! role, to a role that it is a member of, to the owner of the database, or to a superuser.

use crate::{
    error::{Error, Kind, Result},
    postgres::Session,
    stages::push::target::record::SCHEMA,
};

/// The roles that are trusted; a superuser is a member of every role, so memberships are read from the catalog.
const FOREIGN: &str = "\
WITH RECURSIVE mine(oid) AS (
  SELECT oid FROM pg_roles WHERE rolname = current_user
  UNION SELECT m.roleid FROM pg_auth_members m JOIN mine ON m.member = mine.oid
), trusted(oid) AS (
  SELECT oid FROM mine
  UNION SELECT oid FROM pg_roles WHERE rolsuper OR rolname = 'pg_database_owner'
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
)
SELECT 'schema', nspname::text, pg_get_userbyid(nspowner)::text, current_user::text
FROM pg_namespace WHERE nspname = ANY ($1) AND nspowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT 'table', n.nspname::text || '.' || c.relname::text, pg_get_userbyid(c.relowner)::text, current_user::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $2 AND n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND c.relowner NOT IN (SELECT oid FROM trusted)
ORDER BY 1, 2";

/// Refuses schemas of these names that belong to a role which is not trusted; for the record, also its tables.
///
/// # Errors
/// `TargetOccupied`, `Target*`.
pub(crate) async fn require_trusted(control: &Session, schemas: &[&str]) -> Result<()> {
    let rows = control.query_rows("looking whose schemas these are", FOREIGN, &[&schemas, &SCHEMA]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (kind, name, owner, role): (&str, &str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let text = format!(
        "{kind} {name} on the target belongs to role {owner}; role {role} is not a member of it, and it owns neither \
         the database nor is it a superuser"
    );
    Err(Error::new(Kind::TargetOccupied, text).with_hint(format!(
        "nothing was changed; turso2neon keeps its own tables under this name: ask {owner} to drop or rename the \
         {kind}, or connect as {owner} if that role has pushed here"
    )))
}
