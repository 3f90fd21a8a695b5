//! What the server of the target says of itself and of the role that pushes.

use crate::{error::Result, model::identifier::quote_literal, postgres::Session};

/// What the server says of itself and of the role.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for once")]
pub(super) struct ServerFacts {
    pub(super) encoding: String,
    pub(super) read_only: bool,
    pub(super) may_create_schemas: bool,
    pub(super) schema_exists: bool,
    pub(super) may_create_in_schema: bool,
    pub(super) may_create_in_public: bool,
    pub(super) database_bytes: u64,
    pub(super) limit: Option<String>,
    /// The most connections of the role, or of all roles to this database.
    pub(super) connections: Option<i32>,
}

impl ServerFacts {
    pub(super) async fn read(control: &Session, schema: &str) -> Result<Self> {
        let namespace = quote_literal(schema);
        let sql = format!(
            "SELECT current_setting('server_encoding'), current_setting('transaction_read_only') = 'on' OR \
               pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'), \
               EXISTS (SELECT FROM pg_namespace WHERE nspname = {namespace}), \
               coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = {namespace}), false), \
               coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'), false), \
               pg_database_size(current_database()), current_setting('neon.max_cluster_size', true), \
               (SELECT min(most) FROM (SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user AND NOT rolsuper \
                UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()) l(most) WHERE most >= 0)"
        );
        let row = control.query_row("asking for the target's facts", &sql, &[]).await?;
        Ok(Self {
            encoding: row.get(0)?,
            read_only: row.get(1)?,
            may_create_schemas: row.get(2)?,
            schema_exists: row.get(3)?,
            may_create_in_schema: row.get(4)?,
            may_create_in_public: row.get(5)?,
            database_bytes: row.count(6)?,
            limit: row.get(7)?,
            connections: row.get(8)?,
        })
    }
}

/// A setting such as `512MB`, `1GB` or `512` (megabytes) in bytes; none for `-1` and what isn't one.
pub(super) fn megabytes(setting: &str) -> Option<u64> {
    let digits = setting.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = setting.trim().strip_prefix(digits)?;
    let number: u64 = digits.trim().parse().ok()?;
    let bits = match unit {
        "" | "MB" => 20,
        "kB" => 10,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.checked_shl(bits).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_postgresql_writes_them() {
        assert_eq!(megabytes("512MB"), Some(512 << 20));
        assert_eq!(megabytes("1GB"), Some(1 << 30));
        assert_eq!(megabytes("512"), Some(512 << 20));
        assert_eq!(megabytes("-1"), None);
        assert_eq!(megabytes(""), None);
    }
}
