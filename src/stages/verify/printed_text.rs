//! Asks a server for the text that it prints of values which its own input functions read. The text of the dump's cell
//! is cast to the column's type and back; the column itself is read as text. So both sides have one spelling.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::{
    error::{Kind, Result},
    model::{ColumnPlan, identifier::qualified},
    postgres::Session,
};

/// For each compared column its type, if PostgreSQL reads it from text.
#[derive(Debug, Clone, Default)]
pub(super) struct TextPrinter {
    server: Option<Server>,
}

#[derive(Clone)]
struct Server {
    session: Arc<Session>,
    runtime: Handle,
    /// Types without length and precision: with these a cast would cut silently.
    types: Vec<Option<String>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("types", &self.types).finish_non_exhaustive()
    }
}

impl TextPrinter {
    /// For these columns of a table or view.
    pub(super) async fn of(
        session: &Arc<Session>,
        schema: &str,
        relation: &str,
        columns: &[&ColumnPlan],
    ) -> Result<Self> {
        let sql = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, -1) FROM pg_catalog.pg_attribute a \
                   WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped";
        let name = qualified(schema, relation);
        let rows = session.query_rows("looking at types", sql, &[&name]).await?;
        let found: Vec<(String, String)> =
            rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_>>()?;
        let type_of = |column: &&ColumnPlan| {
            let known = found.iter().find(|(name, _)| *name == column.name).filter(|_| column.by_text_input());
            known.map(|(_, pg_type)| pg_type.clone())
        };
        let types = columns.iter().map(type_of).collect();
        Ok(Self { server: Some(Server { session: Arc::clone(session), runtime: Handle::current(), types }) })
    }

    /// What the server prints of each text in the column at this position; none for what it does not take. Blocks the
    /// thread.
    pub(super) fn print(&self, column: usize, texts: &[String]) -> Result<Vec<Option<String>>> {
        let server = self.server.as_ref();
        let Some((server, pg_type)) = server.and_then(|server| Some((server, server.types.get(column)?.as_ref()?)))
        else {
            return Ok(vec![None; texts.len()]);
        };
        let sql =
            format!("SELECT (u.x::{pg_type})::text FROM unnest($1::text[]) WITH ORDINALITY AS u(x, n) ORDER BY u.n");
        server.runtime.block_on(server.printed(&sql, texts))
    }
}

impl Server {
    async fn printed(&self, sql: &str, texts: &[String]) -> Result<Vec<Option<String>>> {
        let doing = "reading texts by their type";
        match self.session.query_column(doing, sql, &[&texts]).await {
            Ok(printed) => return Ok(printed),
            // A value that the server does not take is a difference, not an error.
            Err(error) if matches!(error.kind(), Kind::LocalUnreachable | Kind::TargetUnreachable) => {
                return Err(error);
            }
            Err(_) => {}
        }
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let one = std::slice::from_ref(text);
            let printed: Result<Vec<Option<String>>> = self.session.query_column(doing, sql, &[&one]).await;
            match printed {
                Ok(printed) => all.push(printed.into_iter().next().flatten()),
                Err(error) if matches!(error.kind(), Kind::LocalUnreachable | Kind::TargetUnreachable) => {
                    return Err(error);
                }
                Err(_) => all.push(None),
            }
        }
        Ok(all)
    }
}
