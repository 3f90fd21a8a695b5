//! Whether the local PostgreSQL can hold pgvector's types. Starts no server and writes nothing.

use super::{
    PgEndpoint, Role, Session,
    managed::{LocalChoice, installation::Installation},
};
use crate::{
    error::{Kind, Result},
    secret::Secret,
};

/// Whether the local PostgreSQL of this choice offers the extension `vector`. A machine without PostgreSQL doesn't:
/// that it lacks one is for `convert` to say.
///
/// # Errors
/// `Usage` and `Local*` if the server named by `--local-url` can't be asked.
pub async fn offered(choice: &LocalChoice) -> Result<bool> {
    if let Some(url) = &choice.url {
        return offered_by(url).await;
    }
    match Installation::find(choice) {
        Ok(found) => Ok(found.pgvector),
        Err(error) if error.kind() == Kind::LocalMissing => Ok(false),
        Err(error) => Err(error),
    }
}

async fn offered_by(url: &Secret<String>) -> Result<bool> {
    let session = Session::connect(&PgEndpoint::parse(url, Role::Local)?.endpoint).await?;
    let sql = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'";
    Ok(!session.rows("looking for pgvector", sql, &[]).await?.is_empty())
}
