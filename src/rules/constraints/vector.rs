//! Plans an index of pgvector for libSQL's vector index (docs/conversion-rules.md, section 1.8).

use crate::{
    model::{ColumnPlan, PgType, identifier::quote_ident},
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Conversion, cell::StorageClass},
        rules::expression,
    };

    fn embedding(pg_type: PgType) -> ColumnPlan {
        ColumnPlan::new("e", pg_type, Conversion::Bytea, StorageClass::Blob)
    }

    #[test]
    fn the_metric_chooses_the_operators() {
        for (sql, pg_type, expected) in [
            ("libsql_vector_idx(e)", PgType::Vector(3), Some("\"e\" vector_cosine_ops")),
            ("libsql_vector_idx(e, 'type=diskann', 'metric=l2')", PgType::Vector(2000), Some("\"e\" vector_l2_ops")),
            ("libsql_vector_idx(e, 'metric=cosine')", PgType::HalfVec(4000), Some("\"e\" halfvec_cosine_ops")),
            ("libsql_vector_idx(e, 'metric=other')", PgType::Vector(3), None),
            ("libsql_vector_idx(e)", PgType::Vector(2001), None),
            ("libsql_vector_idx(e)", PgType::Bytea, None),
        ] {
            let call = expression::call(sql).unwrap();
            assert!(is_vector_index(&call) && column(&call) == Some("e"));
            assert_eq!(key(&call, &embedding(pg_type)).ok().as_deref(), expected, "{sql}");
        }
    }
}
