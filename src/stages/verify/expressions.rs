//! Checks whether two SQL expressions mean the same, by the server's own reading of both: it parses them, folds
//! constants and prints them again. `EXPLAIN` does this without running or writing anything.

use serde_json::Value;

use crate::{error::Result, postgres::Session};

/// Two expressions over one table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpressionPair {
    /// The plan's.
    pub(super) planned: String,
    /// The catalog's.
    pub(super) found: String,
    /// The type that both are brought to; none for what they are.
    pub(super) as_type: Option<String>,
}

impl ExpressionPair {
    fn list(&self) -> String {
        let one = |text: &str| match &self.as_type {
            Some(name) => format!("CAST(({text}) AS {name})"),
            None => format!("({text})"),
        };
        format!("{}, {}", one(&self.planned), one(&self.found))
    }
}

/// For each pair whether it means the same where it stands for a row of `from`. What the server can't read is not the
/// same.
///
/// # Errors
/// Of the connection only.
pub(super) async fn same(session: &Session, from: &str, pairs: &[ExpressionPair]) -> Result<Vec<bool>> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<String> = pairs.iter().map(ExpressionPair::list).collect();
    if let Some(same) = explain(session, from, &all.join(", "), pairs.len()).await? {
        return Ok(same);
    }
    let mut same = Vec::new();
    for pair in pairs {
        let one = explain(session, from, &pair.list(), 1).await?;
        same.push(one.is_some_and(|one| one == [true]));
    }
    Ok(same)
}

/// None if the server can't read one of the expressions, or simplifies the list.
async fn explain(session: &Session, from: &str, list: &str, count: usize) -> Result<Option<Vec<bool>>> {
    let sql = format!("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT {list} FROM {from}");
    let plan: Json = match session.query_value("comparing expressions", &sql, &[]).await {
        Err(error) if error.sqlstate().is_some() && !session.is_lost() => return Ok(None),
        answer => answer?,
    };
    let output = plan.0.pointer("/0/Plan/Output").and_then(Value::as_array);
    Ok(output.filter(|output| output.len() == count * 2).map(|output| {
        let (pairs, _) = output.as_chunks::<2>();
        pairs.iter().map(|[planned, found]| planned == found).collect()
    }))
}

/// `EXPLAIN`'s answer of type `json`.
struct Json(Value);

impl<'a> tokio_postgres::types::FromSql<'a> for Json {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    fn accepts(of: &tokio_postgres::types::Type) -> bool {
        *of == tokio_postgres::types::Type::JSON || *of == tokio_postgres::types::Type::TEXT
    }
}
