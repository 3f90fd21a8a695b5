//! How the rows of a table are told apart and compared, as SQL: the same for the local PostgreSQL and the target.
//!
//! Decisions: a row is found by its primary key, else by a unique key without NULLs, else by its whole content and the
//! number of its copies. Large tables are first compared in buckets of some rows: ranges of a whole-number key, because
//! changes are mostly neighbours, else parts of the keys' hashes.

use crate::{
    model::{
        ColumnPlan, PgType, TablePlan,
        identifier::{qualified, quote_ident, quote_list},
    },
    postgres::table_digest::{self, Seed},
};

/// Rows that one bucket has on average.
pub(crate) const BUCKET_ROWS: u64 = 64;
/// Tables with fewer rows are compared row by row at once.
const SMALL_ROWS: u64 = 2048;
/// More bucket numbers than these in one statement are not worth it.
const BUCKETS_NAMED: usize = 100_000;

/// What tells rows without a key apart: two independent hashes of all columns.
const WHOLE_ROW: [Seed; 2] = [Seed::Row, Seed::Copy];

/// How the rows of one table are compared.
#[derive(Clone)]
pub(crate) struct RowIdentity<'a> {
    /// The table.
    pub table: &'a TablePlan,
    /// The columns that tell rows apart; empty if the whole row does.
    key: Vec<&'a ColumnPlan>,
    /// Columns that are pushed: neither generated nor left to the target.
    loaded: Vec<ColumnPlan>,
    /// Its rows are in partitions on the target.
    is_partitioned: bool,
}

/// A table cut into buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buckets {
    /// Everything is one.
    Whole,
    /// So many numbers of a whole-number key.
    Range(u64),
    /// So many parts of the hash; a power of two.
    Parts(u64),
}

impl<'a> RowIdentity<'a> {
    pub(crate) fn new(table: &'a TablePlan) -> Self {
        let fits = |columns: &[String]| -> Option<Vec<&'a ColumnPlan>> {
            let found: Vec<&ColumnPlan> = columns.iter().filter_map(|name| table.column(name)).collect();
            let is_pushed = |column: &&ColumnPlan| table.pushed_columns().any(|one| one.name == column.name);
            let usable = found.len() == columns.len() && found.iter().all(is_pushed);
            (usable && !found.is_empty()).then_some(found)
        };
        let primary = table.primary_key.as_ref().and_then(|key| fits(&key.columns));
        let unique = || {
            let without_nulls = |columns: &Vec<&ColumnPlan>| columns.iter().all(|column| column.not_null);
            table.uniques.iter().filter_map(|key| fits(&key.columns)).find(without_nulls)
        };
        let key = primary.or_else(unique).unwrap_or_default();
        let loaded = table.pushed_columns().cloned().collect();
        Self { table, key, loaded, is_partitioned: false }
    }

    /// The same of a table whose rows are in partitions on the target.
    pub(crate) fn in_partitions(mut self, is_partitioned: bool) -> Self {
        self.is_partitioned = is_partitioned;
        self
    }

    /// The table in a schema, without the rows of tables that inherit from it.
    pub(crate) fn relation(&self, schema: &str) -> String {
        let table = qualified(schema, &self.table.name);
        if self.is_partitioned { table } else { format!("ONLY {table}") }
    }

    /// The place of a row of the table `t`.
    const fn place(&self) -> &'static str {
        if self.is_partitioned { "(t.tableoid, t.ctid)" } else { "t.ctid" }
    }

    /// Every column that a row can be written with, those too that the source lacks, as a list with this prefix.
    pub(crate) fn stored_columns(&self, prefix: &str) -> String {
        let stored = self.table.columns.iter().filter(|column| column.generated.is_none());
        stored.map(|column| format!("{prefix}{}", quote_ident(&column.name))).collect::<Vec<_>>().join(", ")
    }

    /// Whether the target has values in these rows that are nowhere else.
    pub(crate) fn keeps_own_values(&self) -> bool {
        self.table.has_own_values()
    }

    /// Whether rows have a key.
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Names of the columns of the key.
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|column| column.name.as_str())
    }

    /// Names of the loaded columns.
    pub(crate) fn loaded_names(&self) -> impl Iterator<Item = &str> {
        self.loaded.iter().map(|column| column.name.as_str())
    }

    /// The loaded columns as a list, each with this prefix.
    pub(crate) fn columns(&self, prefix: &str) -> String {
        let columns = self.loaded.iter().map(|column| format!("{prefix}{}", quote_ident(&column.name)));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The hash of a row over the alias `t`.
    fn hash(&self, seed: Seed) -> String {
        table_digest::row_hash(&self.loaded, seed)
    }

    /// What tells rows apart, over the alias `t`.
    fn identity(&self) -> Vec<String> {
        if self.has_key() {
            self.key.iter().map(|column| format!("t.{}", quote_ident(&column.name))).collect()
        } else {
            WHOLE_ROW.iter().map(|seed| self.hash(*seed)).collect()
        }
    }

    /// The names of the identity's parts in the lists of rows: `k1`, `k2`..
    pub(crate) fn parts(&self) -> Vec<String> {
        (1..=if self.has_key() { self.key.len() } else { WHOLE_ROW.len() }).map(|number| format!("k{number}")).collect()
    }

    /// The identity with the names of its parts.
    fn identity_named(&self) -> String {
        let named = self.identity().into_iter().zip(self.parts()).map(|(part, name)| format!("{part} AS {name}"));
        named.collect::<Vec<_>>().join(", ")
    }

    /// The condition that two lists of rows have the same identity.
    pub(crate) fn same(&self, one: &str, other: &str) -> String {
        let parts = self.parts().into_iter().map(|part| format!("{one}.{part} = {other}.{part}"));
        parts.collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that a row of the table `t` is the one of a list. Only for tables with a key.
    pub(crate) fn is_row_of(&self, list: &str) -> String {
        let parts = self.identity().into_iter().zip(self.parts());
        parts.map(|(part, name)| format!("{part} = {list}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that a row of the table `t` and one with the same columns have the same key.
    pub(crate) fn same_key(&self, other: &str) -> String {
        let parts = self.key_names().map(quote_ident).map(|name| format!("t.{name} = {other}.{name}"));
        parts.collect::<Vec<_>>().join(" AND ")
    }

    /// Rows as a list of identity and `h`: the row's hash, or the number of its copies where rows have no key.
    pub(crate) fn listing(&self, schema: &str, buckets: &Buckets, some: Option<&[i64]>) -> String {
        let condition = match some {
            Some(numbers) if numbers.len() <= BUCKETS_NAMED => {
                let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
                format!(" WHERE {} = ANY ('{{{}}}'::bigint[])", self.bucket(buckets), numbers.join(","))
            }
            Some(_) | None => String::new(),
        };
        let from = format!("FROM {} AS t{condition}", self.relation(schema));
        if self.has_key() {
            format!("SELECT {}, {} AS h {from}", self.identity_named(), self.hash(Seed::Row))
        } else {
            format!("SELECT {}, count(*) AS h {from} GROUP BY 1, 2", self.identity_named())
        }
    }

    /// A list of rows without rows, of the same types.
    pub(crate) fn empty_listing(&self, schema: &str) -> String {
        let table = self.relation(schema);
        format!("SELECT {}, 0::bigint AS h FROM {table} AS t WHERE false", self.identity_named())
    }

    /// How to cut the table. `bounds` are the lowest and highest number of a whole-number key.
    pub(crate) fn buckets(rows: u64, bounds: Option<(i64, i64)>) -> Buckets {
        if rows < SMALL_ROWS {
            return Buckets::Whole;
        }
        let count = (rows / BUCKET_ROWS).max(1);
        match bounds {
            Some((low, high)) => {
                let span = u128::from(high.abs_diff(low)) + 1;
                let width = span.div_ceil(u128::from(count)).clamp(1, 1 << 62);
                Buckets::Range(u64::try_from(width).unwrap_or(1 << 62))
            }
            None => Buckets::Parts(count.next_power_of_two()),
        }
    }

    /// The query for the bounds that [`Self::buckets`] wants, where there are any.
    pub(crate) fn bounds_query(&self, schema: &str) -> Option<String> {
        let name = quote_ident(&self.number_key()?.name);
        Some(format!("SELECT min({name})::bigint, max({name})::bigint FROM {}", self.relation(schema)))
    }

    fn number_key(&self) -> Option<&ColumnPlan> {
        match self.key.as_slice() {
            [column] if matches!(column.pg_type, PgType::SmallInt | PgType::Integer | PgType::BigInt) => Some(column),
            _ => None,
        }
    }

    /// The number of a row's bucket over the alias `t`.
    fn bucket(&self, buckets: &Buckets) -> String {
        match (buckets, self.number_key()) {
            (Buckets::Range(width), Some(key)) => format!("(t.{}::bigint / {width})", quote_ident(&key.name)),
            (Buckets::Parts(count), _) => {
                let hash = if self.has_key() {
                    table_digest::row_hash(self.key.iter().copied(), Seed::Bucket)
                } else {
                    self.hash(Seed::Bucket)
                };
                format!("({hash} & {})", count - 1)
            }
            (Buckets::Range(_) | Buckets::Whole, _) => "0::bigint".to_owned(),
        }
    }

    /// Rows and sum of hashes per bucket: `b`, `n`, `s`.
    pub(crate) fn sums(&self, schema: &str, buckets: &Buckets) -> String {
        format!(
            "SELECT {} AS b, count(*) AS n, sum({})::text AS s FROM {} AS t GROUP BY 1",
            self.bucket(buckets),
            self.hash(Seed::Row),
            self.relation(schema)
        )
    }

    /// The rows of the table `t` that a list of identities names, as `SELECT what`; a list of rows without key says in
    /// `n` how many copies are meant.
    pub(crate) fn named(&self, what: &str, schema: &str, list: &str) -> String {
        let table = self.relation(schema);
        if self.has_key() {
            return format!("SELECT {what} FROM {table} AS t JOIN {list} AS l ON {}", self.is_row_of("l"));
        }
        format!("SELECT {what} FROM {table} AS t JOIN {} AS p ON {} = p.c", self.picked(schema, list), self.place())
    }

    /// The places of as many copies of rows as a list names.
    fn picked(&self, schema: &str, list: &str) -> String {
        let partition = self.identity().join(", ");
        format!(
            "(SELECT x.c FROM (SELECT {} AS c, {}, row_number() OVER (PARTITION BY {partition}) AS r \
             FROM {} AS t) AS x JOIN {list} AS l ON {} WHERE x.r <= l.n)",
            self.place(),
            self.identity_named(),
            self.relation(schema),
            self.same("x", "l")
        )
    }

    /// Deletes the rows that a list names.
    pub(crate) fn delete(&self, schema: &str, list: &str) -> String {
        let table = self.relation(schema);
        if self.has_key() {
            return format!("DELETE FROM {table} AS t USING {list} AS l WHERE {}", self.is_row_of("l"));
        }
        format!("DELETE FROM {table} AS t USING {} AS p WHERE {} = p.c", self.picked(schema, list), self.place())
    }

    /// Deletes all rows.
    pub(crate) fn delete_all(&self, schema: &str) -> String {
        format!("DELETE FROM {}", self.relation(schema))
    }

    /// Inserts the rows of a table with the loaded columns.
    pub(crate) fn insert(&self, schema: &str, rows: &str) -> String {
        self.insert_columns(schema, rows, &self.columns(""), &self.columns("n."))
    }

    /// Inserts the rows of a table with the columns of [`Self::stored_columns`].
    pub(crate) fn insert_stored(&self, schema: &str, rows: &str) -> String {
        self.insert_columns(schema, rows, &self.stored_columns(""), &self.stored_columns("n."))
    }

    fn insert_columns(&self, schema: &str, rows: &str, columns: &str, values: &str) -> String {
        let table = qualified(schema, &self.table.name);
        format!("INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {rows} AS n")
    }

    /// Changes the rows that a table with the loaded columns has by key; none if there is nothing that could change.
    pub(crate) fn update(&self, schema: &str, rows: &str) -> Option<String> {
        let identity = self.table.identity.as_ref().map(|identity| identity.column.as_str());
        let sets = self.loaded_names().filter(|name| Some(*name) != identity);
        let sets: Vec<String> = sets.map(quote_ident).map(|name| format!("{name} = n.{name}")).collect();
        (self.has_key() && !sets.is_empty()).then(|| {
            format!(
                "UPDATE {} AS t SET {} FROM {rows} AS n WHERE {}",
                self.relation(schema),
                sets.join(", "),
                self.same_key("n")
            )
        })
    }

    /// The list of the rows that a table with the loaded columns holds.
    pub(crate) fn list_of(&self, rows: &str) -> String {
        if self.has_key() {
            format!("SELECT {} FROM {rows} AS t", self.identity_named())
        } else {
            format!("SELECT {}, count(*) AS n FROM {rows} AS t GROUP BY 1, 2", self.identity_named())
        }
    }

    /// The old form of rows that a table with the loaded columns will change.
    pub(crate) fn before_update(&self, schema: &str, rows: &str) -> String {
        if !self.has_key() {
            return self.empty_rows(schema);
        }
        let (table, same) = (self.relation(schema), self.same_key("n"));
        format!("SELECT {} FROM {table} AS t JOIN {rows} AS n ON {same}", self.columns("t."))
    }

    /// No rows, with the loaded columns.
    pub(crate) fn empty_rows(&self, schema: &str) -> String {
        let table = self.relation(schema);
        format!("SELECT {} FROM {table} AS t WHERE false", self.columns("t."))
    }

    /// No identities, with the columns of a list.
    pub(crate) fn empty_list(&self, schema: &str) -> String {
        let table = self.relation(schema);
        let copies = if self.has_key() { "" } else { ", 0::bigint AS n" };
        format!("SELECT {}{copies} FROM {table} AS t WHERE false", self.identity_named())
    }

    /// The columns of a list, as in COPY.
    pub(crate) fn list_columns(&self) -> String {
        let mut parts = self.parts();
        if !self.has_key() {
            parts.push("n".to_owned());
        }
        parts.join(", ")
    }

    /// The columns of the loaded rows, as in COPY.
    pub(crate) fn copy_columns(&self) -> String {
        quote_list(self.loaded_names())
    }
}
