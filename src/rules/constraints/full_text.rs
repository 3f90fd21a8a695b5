//! Plans full-text indexes of PostgreSQL on request (docs/conversion-rules.md, section 6.5): a GIN index on the texts
//! of a table that was one of SQLite's full-text indexes. The words and their order of relevance are PostgreSQL's, so
//! that it is no translation.

use crate::{
    model::{
        Finding, FindingCode, Severity, TablePlan,
        conversion_plan::IndexPlan,
        identifier::{quote_ident, quote_literal},
        source_schema::{SourceSchema, TableKind},
    },
    rules::identifiers::Namespace,
};

/// Modules whose tables are indexes of texts.
const MODULES: [&str; 3] = ["fts3", "fts4", "fts5"];

/// Adds an index to each table that was a full-text index, and says how to search with it.
pub fn add(schema: &SourceSchema, namespace: &mut Namespace, tables: &mut [TablePlan]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in tables {
        let source = schema.tables.iter().find(|source| source.name == table.source);
        let is_text_index = source.is_some_and(|source| match &source.kind {
            TableKind::Virtual { module } => MODULES.contains(&module.as_str()),
            TableKind::Rowid | TableKind::WithoutRowid => false,
        });
        let texts: Vec<String> = table
            .columns
            .iter()
            .filter(|column| column.pg_type.is_text())
            .map(|column| format!("coalesce({}, '')", quote_ident(&column.name)))
            .collect();
        if !is_text_index || texts.is_empty() {
            continue;
        }
        let key = format!("to_tsvector('simple', {})", texts.join(" || ' ' || "));
        let name = namespace.relation(&format!("{}_search_idx", table.name)).name;
        let message = format!(
            "its texts have a GIN index; queries that use it: WHERE {key} @@ plainto_tsquery('simple', {}); it knows \
             neither the tokenizer nor the ranking of SQLite's",
            quote_literal("words")
        );
        findings.push(Finding::new(FindingCode::Advice, Severity::Info, message).at_table(&table.source));
        table.indexes.push(IndexPlan {
            name,
            source: table.source.clone(),
            unique: false,
            method: "gin".to_owned(),
            keys: vec![key],
            predicate: None,
        });
    }
    findings
}
