//! Which rows differ: the target's hashes go into temporary tables of the local PostgreSQL, which compares.
//!
//! Invariant: nothing is written to the target here, and nothing on the local PostgreSQL but temporary tables. What
//! is received follows the change: bucket sums, then the hashes of rows in buckets that differ.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    context::Context,
    error::{Result, ResultExt},
    event::Event,
    model::{Stage, row_changes::RowChanges},
    postgres::Session,
    stages::push::{
        diff::row_identity::{Buckets, RowIdentity},
        load::copy_stream::relay,
    },
    worker_pool,
};

/// Both servers and the schemas of the tables there.
pub(crate) struct DiffSessions<'a> {
    /// The local PostgreSQL.
    pub local: &'a Session,
    /// The tables' schema there.
    pub from: &'a str,
    /// The target.
    pub target: &'a Session,
    /// The tables' schema there.
    pub to: &'a str,
    /// Bytes of hashes that were received from the target.
    pub received: AtomicU64,
}

/// The lists of one table on the local PostgreSQL: what the target lacks, has otherwise, and has too many.
pub(crate) fn lists(number: usize) -> [String; 3] {
    ["ins", "upd", "del"].map(|word| format!("pg_temp.t2n_{word}_{number}"))
}

impl DiffSessions<'_> {
    /// Finds the rows of one table that differ and leaves them in its [`lists`].
    ///
    /// # Errors
    /// `Local*`, `Target*`.
    pub(crate) async fn find(&self, shape: &RowIdentity<'_>, rows: u64, number: usize) -> Result<RowChanges> {
        self.find_unplaced(shape, rows, number).await.at_table(&shape.table.source)
    }

    async fn find_unplaced(&self, shape: &RowIdentity<'_>, rows: u64, number: usize) -> Result<RowChanges> {
        let bounds = match shape.bounds_query(self.from) {
            Some(query) => self.bounds(&query).await?,
            None => None,
        };
        let buckets = RowIdentity::buckets(rows, bounds);
        let some = self.differing_buckets(shape, &buckets).await?;
        let (remote, local_rows) = (format!("pg_temp.t2n_remote_{number}"), format!("pg_temp.t2n_local_{number}"));
        let create = format!("CREATE TEMP TABLE t2n_remote_{number} AS {}", shape.empty_listing(self.from));
        self.local.batch("preparing the comparison", &create).await?;
        self.fetch(
            &shape.listing(self.to, &buckets, some.as_deref()),
            &format!("COPY {remote} FROM STDIN (FORMAT binary)"),
        )
        .await?;
        let mut sql = vec![format!(
            "CREATE TEMP TABLE t2n_local_{number} AS {}; ANALYZE {remote}; ANALYZE {local_rows}",
            shape.listing(self.from, &buckets, some.as_deref())
        )];
        sql.extend(compare(shape, &local_rows, &remote, number));
        sql.push(format!("DROP TABLE {local_rows}, {remote}"));
        self.local.batch("comparing rows", &sql.join("; ")).await?;
        self.count(shape, number).await
    }

    async fn bounds(&self, query: &str) -> Result<Option<(i64, i64)>> {
        let rows = self.local.query_rows("looking for the bounds of a key", query, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (low, high): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(low.zip(high))
    }

    /// The buckets that differ; none if all have to be looked at.
    async fn differing_buckets(&self, shape: &RowIdentity<'_>, buckets: &Buckets) -> Result<Option<Vec<i64>>> {
        if *buckets == Buckets::Whole {
            return Ok(None);
        }
        let create = "DROP TABLE IF EXISTS pg_temp.t2n_sums; CREATE TEMP TABLE t2n_sums (b bigint, n bigint, s text)";
        self.local.batch("preparing the comparison", create).await?;
        self.fetch(&shape.sums(self.to, buckets), "COPY pg_temp.t2n_sums FROM STDIN (FORMAT binary)").await?;
        let sql = format!(
            "SELECT coalesce(o.b, t.b) FROM ({}) AS o FULL JOIN pg_temp.t2n_sums AS t ON o.b = t.b \
             WHERE (o.n, o.s) IS DISTINCT FROM (t.n, t.s) ORDER BY 1",
            shape.sums(self.from, buckets)
        );
        let rows = self.local.query_rows("comparing ranges of rows", &sql, &[]).await?;
        let numbers = rows.iter().map(|row| row.get(0));
        numbers.collect::<Result<Vec<i64>>>().map(Some)
    }

    /// Copies what a query on the target gives into a temporary table of the local PostgreSQL.
    async fn fetch(&self, query: &str, input: &str) -> Result<()> {
        let prepared = self.local.client().prepare(input).await;
        let statement = prepared.map_err(|failure| self.local.error("preparing the comparison", &failure))?;
        let output = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
        let count = |bytes| {
            self.received.fetch_add(bytes, Ordering::Relaxed);
        };
        relay(self.target, &output, self.local, &statement, count).await.map(|_| ())
    }

    async fn count(&self, shape: &RowIdentity<'_>, number: usize) -> Result<RowChanges> {
        let rows_of = |list: &String| {
            if shape.has_key() {
                format!("(SELECT count(*) FROM {list})")
            } else {
                format!("(SELECT coalesce(sum(n), 0)::bigint FROM {list})")
            }
        };
        let sql = format!("SELECT {}", lists(number).iter().map(rows_of).collect::<Vec<_>>().join(", "));
        let row = self.local.query_row("counting the differences", &sql, &[]).await?;
        Ok(RowChanges { inserted: row.count(0)?, updated: row.count(1)?, deleted: row.count(2)? })
    }
}

impl RowIdentity<'_> {
    /// The statements on the local PostgreSQL, where the tables are in the schema `from`, that give what has to be sent
    /// of one table: new rows, changed rows, and the identities of those to be deleted.
    pub(crate) fn changed_row_queries(&self, from: &str, number: usize) -> [String; 3] {
        let [inserts, updates, deletes] = lists(number);
        let rows = |list: &str| self.named(&self.columns("t."), from, list);
        let keys = format!("SELECT {} FROM {deletes}", self.list_columns());
        [rows(&inserts), rows(&updates), keys].map(|query| format!("COPY ({query}) TO STDOUT (FORMAT binary)"))
    }
}

/// A table with rows that differ.
pub(crate) struct TableDiff<'a> {
    /// How its rows are compared.
    pub shape: RowIdentity<'a>,
    /// How many differ.
    pub changes: RowChanges,
    /// Which of the pairs of servers found it: the local session there lists the rows.
    pub place: usize,
}

/// Compares the tables on all pairs of sessions at once, the largest table first. Gives them in their order, which
/// numbers their lists.
///
/// # Errors
/// `Local*`, `Target*`, `Interrupted`: the first that no other try can cure.
pub(crate) async fn find_all<'a>(
    ctx: &Context,
    pairs: &[DiffSessions<'_>],
    shapes: Vec<RowIdentity<'a>>,
    rows: impl Fn(&RowIdentity<'_>) -> u64,
) -> Result<Vec<TableDiff<'a>>> {
    let mut queue: Vec<(u64, usize, &RowIdentity<'_>)> =
        shapes.iter().enumerate().map(|(number, shape)| (rows(shape), number, shape)).collect();
    queue.sort_unstable_by_key(|(rows, number, _)| Reverse((*rows, *number)));
    let find = |(place, ends), (rows, number, shape)| async move {
        let ends: &DiffSessions<'_> = ends;
        let change = ends.find(shape, rows, number).await?;
        ctx.out.emit(&Event::Stepped { stage: Stage::Push, phase: "differences" });
        Ok(((place, ends), (number, (change, place))))
    };
    let found = worker_pool::in_place(ctx, pairs.iter().enumerate(), queue, find).await?;
    let found: BTreeMap<usize, (RowChanges, usize)> = found.into_iter().collect();
    let place = |(number, shape)| {
        let (change, place) = found.get(&number).copied()?;
        Some(TableDiff { shape, changes: change, place })
    };
    Ok(shapes.into_iter().enumerate().filter_map(place).collect())
}

/// The statements that make the three lists.
fn compare(shape: &RowIdentity<'_>, local_rows: &str, remote: &str, number: usize) -> Vec<String> {
    let create = |word: &str, query: String| {
        format!("CREATE TEMP TABLE t2n_{word}_{number} AS {query}; ANALYZE pg_temp.t2n_{word}_{number}")
    };
    let names =
        |alias: &str| shape.parts().into_iter().map(|part| format!("{alias}.{part}")).collect::<Vec<_>>().join(", ");
    let same = shape.same("o", "t");
    if shape.has_key() {
        let only = |one: (&str, &str), other: (&str, &str)| {
            let ((table, alias), (absent, absent_alias)) = (one, other);
            format!(
                "SELECT {} FROM {table} AS {alias} WHERE NOT EXISTS (SELECT FROM {absent} AS {absent_alias} WHERE {same})",
                names(alias)
            )
        };
        let changed =
            format!("SELECT {} FROM {local_rows} AS o JOIN {remote} AS t ON {same} WHERE o.h <> t.h", names("o"));
        return vec![
            create("ins", only((local_rows, "o"), (remote, "t"))),
            create("upd", changed),
            create("del", only((remote, "t"), (local_rows, "o"))),
        ];
    }
    let surplus = |one: (&str, &str), other: (&str, &str)| {
        let ((table, alias), (absent, absent_alias)) = (one, other);
        format!(
            "SELECT {}, {alias}.h - coalesce({absent_alias}.h, 0) AS n FROM {table} AS {alias} \
             LEFT JOIN {absent} AS {absent_alias} ON {same} WHERE {alias}.h > coalesce({absent_alias}.h, 0)",
            names(alias)
        )
    };
    vec![
        create("ins", surplus((local_rows, "o"), (remote, "t"))),
        create("upd", format!("SELECT {}, o.h AS n FROM {local_rows} AS o WHERE false", names("o"))),
        create("del", surplus((remote, "t"), (local_rows, "o"))),
    ]
}
