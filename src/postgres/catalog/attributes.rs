//! Reads comments and grants, and attaches them to their objects.

use super::{DOING, Reader, queries};
use crate::error::Result;

impl Reader<'_> {
    /// Comments and grants.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn attributes(&mut self) -> Result<()> {
        for row in self.session.query_rows(DOING, queries::COMMENTS, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            let statement: Option<String> = row.get(2)?;
            if let (Some(object), Some(statement)) = (place.and_then(|place| self.objects.get_mut(place)), statement) {
                object.comments.push(statement);
            }
        }
        for row in self.session.query_rows(DOING, queries::GRANTS, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            if let Some(object) = place.and_then(|place| self.objects.get_mut(place)) {
                object.grants.push(row.get(2)?);
                object.grant_roles.push(row.get(3)?);
            }
        }
        for row in self.session.query_rows(DOING, queries::POLICY_ROLES, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            if let Some(object) = place.and_then(|place| self.objects.get_mut(place)) {
                object.roles = row.get(2)?;
            }
        }
        Ok(())
    }
}
