//! What to do about an SQLSTATE.

use tokio_postgres::error::SqlState;

/// What to do where a server refuses something with this SQLSTATE, if it says more than the kind of the error.
pub(super) fn of_sqlstate(state: &SqlState) -> Option<&'static str> {
    Some(match state.code() {
        "25006" => {
            "connect to the primary, with a role that may write: a replica and default_transaction_read_only = on take no \
             writes"
        }
        "42501" => {
            "GRANT the missing right to the role, or use the owner; since PostgreSQL 15 only the database's owner may \
             create in schema public (GRANT CREATE ON SCHEMA public TO ROLE)"
        }
        "42704" => {
            "create the type or its extension in this database; a type outside the target schema, pg_catalog and the \
             schemas of extensions has to be named with its schema"
        }
        "22021" | "22P05" => {
            "use a database with encoding UTF8 (SHOW server_encoding); SQL_ASCII and single-byte encodings do not hold all \
             texts"
        }
        "53200" => {
            "the server has no memory left: load over fewer connections with --jobs 1, or give the server more memory (at \
             Neon, a larger compute)"
        }
        "53300" => {
            "load over fewer connections with --jobs 1 (one more is needed beside them), or raise the role's or the \
             database's connection limit"
        }
        // Class 54 is "program limit exceeded": the same load would meet it again.
        state if state.starts_with("54") => {
            "no PostgreSQL holds this; leave the table out with `exclude` in turso2neon.toml"
        }
        _ => return None,
    })
}
