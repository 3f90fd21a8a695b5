//! libSQL's vector index as pgvector's (rule book, 1.8).

use crate::{
    model::{ColumnPlan, PgType, name::quote_ident},
    rules::expression::Call,
};

/// Whether an index key is `libsql_vector_idx(...)`.
pub(super) fn is_vector_index(call: &Call) -> bool {
    call.name == "libsql_vector_idx"
}

/// The column that is indexed.
pub(super) fn column(call: &Call) -> Option<&str> {
    call.columns.first().map(String::as_str)
}

/// The key of an `hnsw` index, or why there is none. libSQL's metric is cosine unless it says otherwise.
pub(super) fn key(call: &Call, column: &ColumnPlan) -> Result<String, &'static str> {
    let metric = call.texts.iter().find_map(|text| text.split_once('=').filter(|(key, _)| key.trim() == "metric"));
    let metric = match metric.map_or("cosine", |(_, value)| value.trim()) {
        "cosine" => "cosine",
        "l2" => "l2",
        _ => return Err("its metric is none of pgvector's"),
    };
    let prefix = match column.pg_type {
        PgType::Vector(1..=2000) => "vector",
        PgType::HalfVec(1..=4000) => "halfvec",
        PgType::Vector(_) | PgType::HalfVec(_) => return Err("pgvector indexes no vectors of so many dimensions"),
        _ => return Err("its column is no pgvector type in the target"),
    };
    Ok(format!("{} {prefix}_{metric}_ops", quote_ident(&column.name)))
}
