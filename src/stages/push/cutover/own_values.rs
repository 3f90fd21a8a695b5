//! Values that the target made in columns which the source lacks, such as `gen_random_uuid()`: rows that stay have them
//! in the new tables, too.

use std::collections::BTreeSet;

use crate::{
    error::{Result, ResultExt},
    model::identifier::{qualified, quote_ident},
    postgres::Session,
    stages::push::{diff::RowIdentity, plan::manifest::Manifest, target::record::TargetRecord},
};

/// Columns that both tables have in the same type. An identity column that is always generated takes no value.
const SHARED: &str = "SELECT a.attname::text FROM pg_attribute a JOIN pg_attribute b ON b.attname = a.attname \
     AND b.atttypmod = a.atttypmod AND format_type(b.atttypid, NULL) = format_type(a.atttypid, NULL) \
     WHERE a.attrelid = $1::text::regclass AND b.attrelid = $2::text::regclass AND a.attnum > 0 AND b.attnum > 0 \
       AND NOT a.attisdropped AND NOT b.attisdropped AND a.attidentity <> 'a'";

/// Copies the values of the live tables into staged ones, by key. Safe to repeat.
///
/// # Errors
/// `Target*`.
pub(crate) async fn carry(
    control: &Session,
    manifest: &Manifest,
    record: &TargetRecord,
    (staging, schema): (&str, &str),
) -> Result<bool> {
    let mut has_carried = false;
    for to_push in manifest.tables.iter().filter(|to_push| to_push.table.has_own_values()) {
        let table = &to_push.table;
        let shape = RowIdentity::new(table);
        if !shape.has_key() || !record.live.iter().any(|live| live.name == table.name) {
            continue;
        }
        let (staged, live) = (qualified(staging, &table.name), qualified(schema, &table.name));
        let doing = "reading the columns of a staged table";
        let shared: Vec<String> = control.query_column(doing, SHARED, &[&staged, &live]).await?;
        let shared: BTreeSet<&str> = shared.iter().map(String::as_str).collect();
        let is_pushed = |name: &str| table.pushed_columns().any(|column| column.name == name);
        let own = table.columns.iter().filter(|column| column.generated.is_none() && !is_pushed(&column.name));
        let own: Vec<String> =
            own.map(|column| column.name.as_str()).filter(|name| shared.contains(name)).map(quote_ident).collect();
        if own.is_empty() || !shape.key_names().all(|name| shared.contains(name)) {
            continue;
        }
        let sets: Vec<String> = own.iter().map(|name| format!("{name} = n.{name}")).collect();
        let differs =
            |alias: &str| own.iter().map(|name| format!("{alias}.{name}::text")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "UPDATE ONLY {staged} AS t SET {} FROM ONLY {live} AS n WHERE {} AND ROW({}) IS DISTINCT FROM ROW({})",
            sets.join(", "),
            shape.same_key("n"),
            differs("t"),
            differs("n")
        );
        control.batch("keeping what the target put into columns", &sql).await.at_table(&table.source)?;
        has_carried = true;
    }
    Ok(has_carried)
}
