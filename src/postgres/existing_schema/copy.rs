//! Creates the objects of a catalog in an empty database.

use super::script::with_roles;
use crate::{
    error::{Error, Kind, Result},
    model::catalog::Catalog,
    postgres::Session,
};

/// Creates all objects of the catalog, without rows. Roles that grants and policies name are created, too; `privileges`
/// says whether grants are.
///
/// # Errors
/// `Config`, naming the object that the server refuses; by role if the connection is lost.
pub async fn create_objects(session: &Session, catalog: &Catalog, privileges: bool) -> Result<()> {
    session.batch("creating the schema again", &catalog.set_search_path(false)).await?;
    for object in &catalog.objects {
        let words = object.name.words(&catalog.schema);
        let grants = object.grants.iter().filter(|_| privileges);
        for statement in object.create.iter().chain(&object.comments).chain(grants) {
            if let Err(error) = with_roles(session, &words, statement).await {
                return Err(if session.is_lost() { error } else { refused(&error) });
            }
        }
    }
    Ok(())
}

fn refused(error: &Error) -> Error {
    Error::new(Kind::Config, error.message()).with_hint(
        "the schema is created again in a scratch cluster to be compared; use a local PostgreSQL of the server's version \
         with its extensions: --pg-bin DIR",
    )
}
