//! Which rows differ: the target's hashes go into temporary tables of the local PostgreSQL, which compares.
//!
//! Invariant: nothing is written to the target here, and nothing on the local PostgreSQL but temporary tables. What
//! is received follows the change: bucket sums, then the hashes of rows in buckets that differ.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    error::{Result, ResultExt},
    postgres::Session,
};

use super::{
    super::{pump::relay, record::unreadable},
    shape::{Buckets, Shape},
};

/// Both servers and the schemas of the tables there.
pub(in super::super) struct Ends<'a> {
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

/// How many rows of a table differ, and its place among the tables that do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Change {
    /// Rows that the target lacks.
    pub inserts: u64,
    /// Rows that have other values there.
    pub updates: u64,
    /// Rows that only the target has.
    pub deletes: u64,
}

/// The lists of one table on the local PostgreSQL: what the target lacks, has otherwise, and has too many.
pub(super) fn lists(number: usize) -> [String; 3] {
    ["ins", "upd", "del"].map(|word| format!("pg_temp.t2n_{word}_{number}"))
}

impl Ends<'_> {
    /// Forgets the temporary tables of a former try.
    ///
    /// # Errors
    /// By role.
    pub(in super::super) async fn forget(&self) -> Result<()> {
        self.local.batch("forgetting a former comparison", "DISCARD TEMP").await
    }

    /// Finds the rows of one table that differ and leaves them in its [`lists`].
    ///
    /// # Errors
    /// `Local*`, `Target*`.
    pub(in super::super) async fn find(&self, shape: &Shape<'_>, rows: u64, number: usize) -> Result<Change> {
        self.find_unplaced(shape, rows, number).await.at_table(&shape.table.source)
    }

    async fn find_unplaced(&self, shape: &Shape<'_>, rows: u64, number: usize) -> Result<Change> {
        let bounds = match shape.bounds_query(self.from) {
            Some(query) => self.bounds(&query).await?,
            None => None,
        };
        let buckets = Shape::buckets(rows, bounds);
        let some = self.differing_buckets(shape, &buckets).await?;
        let (theirs, ours) = (format!("pg_temp.t2n_theirs_{number}"), format!("pg_temp.t2n_ours_{number}"));
        let create = format!("CREATE TEMP TABLE t2n_theirs_{number} AS {}", shape.empty_listing(self.from));
        self.local.batch("preparing the comparison", &create).await?;
        self.fetch(
            &shape.listing(self.to, &buckets, some.as_deref()),
            &format!("COPY {theirs} FROM STDIN (FORMAT binary)"),
        )
        .await?;
        let mut sql = vec![format!(
            "CREATE TEMP TABLE t2n_ours_{number} AS {}; ANALYZE {theirs}; ANALYZE {ours}",
            shape.listing(self.from, &buckets, some.as_deref())
        )];
        sql.extend(compare(shape, &ours, &theirs, number));
        sql.push(format!("DROP TABLE {ours}, {theirs}"));
        self.local.batch("comparing rows", &sql.join("; ")).await?;
        self.count(shape, number).await
    }

    async fn bounds(&self, query: &str) -> Result<Option<(i64, i64)>> {
        let rows = self.local.rows("looking for the bounds of a key", query, &[]).await?;
        let failed = |failure| unreadable(self.local, &failure);
        let Some(row) = rows.first() else { return Ok(None) };
        let (low, high): (Option<i64>, Option<i64>) =
            (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        Ok(low.zip(high))
    }

    /// The buckets that differ; none if all have to be looked at.
    async fn differing_buckets(&self, shape: &Shape<'_>, buckets: &Buckets) -> Result<Option<Vec<i64>>> {
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
        let rows = self.local.rows("comparing ranges of rows", &sql, &[]).await?;
        let numbers = rows.iter().map(|row| row.try_get(0).map_err(|failure| unreadable(self.local, &failure)));
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

    async fn count(&self, shape: &Shape<'_>, number: usize) -> Result<Change> {
        let rows_of = |list: &String| {
            if shape.has_key() {
                format!("(SELECT count(*) FROM {list})")
            } else {
                format!("(SELECT coalesce(sum(n), 0)::bigint FROM {list})")
            }
        };
        let sql = format!("SELECT {}", lists(number).iter().map(rows_of).collect::<Vec<_>>().join(", "));
        let rows = self.local.rows("counting the differences", &sql, &[]).await?;
        let number = |index: usize| {
            let value: Option<i64> = rows.first().and_then(|row| row.try_get(index).ok());
            value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
        };
        Ok(Change { inserts: number(0), updates: number(1), deletes: number(2) })
    }

    /// The statements on the local PostgreSQL that give what has to be sent of one table: new rows, changed rows, and
    /// the identities of those to be deleted.
    pub(in super::super) fn parcels(&self, shape: &Shape<'_>, number: usize) -> [String; 3] {
        let [inserts, updates, deletes] = lists(number);
        let rows = |list: &str| shape.named(&shape.columns("t."), self.from, list);
        let keys = format!("SELECT {} FROM {deletes}", shape.list_columns());
        [rows(&inserts), rows(&updates), keys].map(|query| format!("COPY ({query}) TO STDOUT (FORMAT binary)"))
    }
}

/// The statements that make the three lists.
fn compare(shape: &Shape<'_>, ours: &str, theirs: &str, number: usize) -> Vec<String> {
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
        let changed = format!("SELECT {} FROM {ours} AS o JOIN {theirs} AS t ON {same} WHERE o.h <> t.h", names("o"));
        return vec![
            create("ins", only((ours, "o"), (theirs, "t"))),
            create("upd", changed),
            create("del", only((theirs, "t"), (ours, "o"))),
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
        create("ins", surplus((ours, "o"), (theirs, "t"))),
        create("upd", format!("SELECT {}, o.h AS n FROM {ours} AS o WHERE false", names("o"))),
        create("del", surplus((theirs, "t"), (ours, "o"))),
    ]
}
