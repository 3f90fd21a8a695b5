//! Who uses tables: what `pg_locks` says.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    model::name::quote_literal,
    postgres::Session,
};

use super::{
    locks::{Locks, Strength},
    preflight::names_of,
    record::unreadable,
};

/// How many sessions are named.
const NAMED: i64 = 5;

/// What others do with the tables at this moment.
pub(super) struct State {
    /// Tables that somebody holds, by their place in the list.
    pub busy: BTreeSet<usize>,
    /// How many of the named processes wait for a table.
    pub waiting: usize,
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

/// Who holds the tables now, and how many of these processes wait for them.
///
/// # Errors
/// `Target*`.
pub(super) async fn state(wanted: &Locks<'_>, processes: &[i32]) -> Result<State> {
    let sql = format!(
        "SELECT t.place, l.granted FROM {} WHERE CASE WHEN l.granted THEN l.mode = ANY ($1) ELSE l.pid = ANY ($2) END",
        locks(&wanted.theirs)
    );
    let control: &Session = wanted.control;
    let rows = control.rows("looking who uses the tables", &sql, &[&wanted.strength.conflicts(), &processes]).await?;
    let failed = |failure| unreadable(control, &failure);
    let mut state = State { busy: BTreeSet::new(), waiting: 0 };
    for row in &rows {
        let (place, granted): (i64, bool) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        if granted {
            state.busy.extend(usize::try_from(place).ok().and_then(|place| place.checked_sub(1)));
        } else {
            state.waiting += 1;
        }
    }
    Ok(state)
}

/// The tables that somebody holds now, by their place in the list.
///
/// # Errors
/// `Target*`.
pub(super) async fn tables(wanted: &Locks<'_>) -> Result<BTreeSet<usize>> {
    state(wanted, &[]).await.map(|state| state.busy)
}

/// The sessions that hold the tables now, those with the oldest transactions first, in words that quote no query.
///
/// # Errors
/// `Target*`.
pub(super) async fn by_whom(wanted: &Locks<'_>) -> Result<Vec<String>> {
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
        locks(&wanted.theirs),
        locks(&wanted.ours)
    );
    let conflicts = Strength::conflicts(wanted.strength);
    names_of(wanted.control, "looking who uses the tables", &sql, &[&conflicts]).await
}
