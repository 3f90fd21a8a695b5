//! Who uses tables: what `pg_locks` says.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Statement;

use crate::{
    error::Result,
    model::identifier::quote_literal,
    postgres::Session,
    stages::push::target::{catalog::names_of, lock_acquisition::Locks},
};

/// How many sessions are named.
const NAMED: i64 = 5;
/// For messages.
const READING: &str = "reading the locks of the target";

/// What others do with the tables at this moment; tables by their place in the list.
#[derive(Debug, Default)]
pub(crate) struct TableUsage {
    /// What each session holds that holds any.
    pub held: Vec<BTreeSet<usize>>,
    /// How many of the named processes wait for a table.
    pub waiting: usize,
    /// Somebody else waits for a lock that even a weak lock of the push keeps away: a change of a table's structure.
    pub altering: bool,
}

impl TableUsage {
    /// The table that most sessions hold.
    pub(crate) fn busiest(&self) -> Option<usize> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        self.held.iter().flatten().for_each(|table| *counts.entry(*table).or_default() += 1);
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(table, _)| table)
    }
}

/// Locks of this database's tables that somebody else holds or waits for. `{tables}` are qualified names.
const LOCKS: &str = "unnest({tables}::text[]) WITH ORDINALITY AS t(name, place) \
     JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = to_regclass(t.name) \
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
       AND l.pid IS DISTINCT FROM pg_backend_pid()";

fn locks(tables: &[String]) -> String {
    let names: Vec<String> = tables.iter().map(|name| quote_literal(name)).collect();
    LOCKS.replace("{tables}", &format!("ARRAY[{}]", names.join(", ")))
}

/// A look at the tables that can be repeated.
pub(crate) struct LockMonitor<'a> {
    control: &'a Session,
    statement: Statement,
    conflicts: Vec<&'static str>,
}

impl<'a> LockMonitor<'a> {
    /// For these tables.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn of(wanted: &Locks<'a>) -> Result<Self> {
        let sql = format!(
            "SELECT l.virtualtransaction, t.place, l.granted, coalesce(l.pid = ANY ($2), false) FROM {} \
             WHERE CASE WHEN l.granted THEN l.mode = ANY ($1) \
               ELSE l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') END",
            locks(&wanted.shared)
        );
        let control = wanted.control;
        let prepared = control.client().prepare(&sql).await;
        let statement = prepared.map_err(|failure| control.error(READING, &failure))?;
        Ok(Self { control, statement, conflicts: wanted.strength.conflicts().to_vec() })
    }

    /// Who holds the tables now, and whether these processes wait for them.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn look(&self, processes: &[i32]) -> Result<TableUsage> {
        let failed = |failure| self.control.error(READING, &failure);
        let asked = self.control.client().query(&self.statement, &[&self.conflicts, &processes]).await;
        let mut held: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let mut state = TableUsage::default();
        for row in &asked.map_err(failed)? {
            let (who, place): (Option<String>, i64) =
                (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
            let (granted, named): (bool, bool) = (row.try_get(2).map_err(failed)?, row.try_get(3).map_err(failed)?);
            match (granted, named) {
                (true, _) => {
                    let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
                    held.entry(who.unwrap_or_default()).or_default().extend(place);
                }
                (false, true) => state.waiting += 1,
                (false, false) => state.altering = true,
            }
        }
        state.held = held.into_values().collect();
        Ok(state)
    }
}

/// The sessions that hold the tables now, those with the oldest transactions first, in words that quote no query.
///
/// # Errors
/// `Target*`.
pub(crate) async fn by_whom(wanted: &Locks<'_>) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT coalesce('process ' || pid || coalesce(' (' || nullif(left(regexp_replace(app, '[^ -~]', '?', 'g'), 60), '') \
             || ')', '') || coalesce(', ' || state, '') || \
             coalesce(', in a transaction for ' || round(extract(epoch FROM clock_timestamp() - since)) || ' s', ''), \
           'a prepared transaction') FROM (\
           SELECT DISTINCT l.pid, a.application_name AS app, a.state, a.xact_start AS since FROM (\
             SELECT l.pid FROM {} WHERE l.granted AND l.mode = ANY ($1) \
             UNION ALL SELECT l.pid FROM {} WHERE l.granted) AS l \
           LEFT JOIN pg_stat_activity a ON a.pid = l.pid) AS s \
         ORDER BY since NULLS FIRST, pid LIMIT {NAMED}",
        locks(&wanted.shared),
        locks(&wanted.private)
    );
    names_of(wanted.control, "looking who uses the tables", &sql, &[&wanted.strength.conflicts()]).await
}
