//! A push in mode `diff`, from the choice to the commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::future::try_join_all;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        Stage, TablePlan,
        identifier::{qualified, quote_literal},
    },
    postgres::{PgEndpoint, Session},
    rules::ddl,
};

use super::{
    copy_stream::{Sent, relay, weigh},
    diff::{self, Change, Ends, Found, Item, Rows, Shape, Work},
    digest_check::{self, Wanted},
    manifest::Manifest,
    objects,
    preflight::Situation,
    progress_journal::Diary,
    row_undo,
    session_pool::Crew,
    staging,
    target::Target,
    target_state::{self, unreadable},
};

/// How often the rows are compared anew because somebody changed them in between.
const ROUNDS: u32 = 3;

/// One push that changes rows in place.
pub(super) struct InPlace<'a> {
    /// The directory and the listener.
    pub ctx: &'a Context,
    /// Where to.
    pub target: &'a Target<'a>,
    /// The session that holds the push's lock.
    pub control: &'a Session,
    /// The local PostgreSQL.
    pub reader: &'a Session,
    /// Where more sessions of it come from.
    pub local: &'a PgEndpoint,
    /// What.
    pub manifest: &'a Manifest,
    /// What the target is like.
    pub situation: &'a Situation,
    /// Told of what is sent.
    pub diary: &'a Diary,
    /// Sessions that compare at once.
    pub workers: usize,
    /// Keep what is needed to change the rows back.
    pub keep_previous: bool,
}

/// A change that was made.
pub(super) struct Changed<'a> {
    /// The digest that each table has now.
    pub digests: Vec<Wanted<'a>>,
    /// Per source table with differences: how many.
    pub changes: BTreeMap<String, Change>,
}

/// What was found to differ.
struct Findings<'a> {
    wanted: Vec<Wanted<'a>>,
    tables: Vec<Found<'a>>,
    /// Sessions of the local PostgreSQL, besides the usual one, whose temporary tables list the rows.
    more: Vec<Session>,
    restarts: Vec<Restart<'a>>,
    received: u64,
}

/// An identity column that has to go on with another number.
struct Restart<'a> {
    table: &'a TablePlan,
    now: i64,
}

/// Why rows can't be changed in place, if so: tables came or went, or their structure isn't what would be pushed.
/// `replaces` if foreign keys may be missing, because a push in mode `replace` takes them off and puts them back.
///
/// # Errors
/// `Local*`, `Target*`.
pub(super) async fn obstacle(
    control: &Session,
    reader: &Session,
    manifest: &Manifest,
    situation: &Situation,
    schema: &str,
    replaces: bool,
) -> Result<Option<String>> {
    let live = &situation.record.live;
    let there: BTreeSet<&str> = live.iter().map(|table| table.name.as_str()).collect();
    let wanted: BTreeSet<&str> = manifest.cargo.iter().map(|cargo| cargo.table.name.as_str()).collect();
    if let Some(name) = wanted.symmetric_difference(&there).next() {
        let words = if there.contains(name) { "is no longer in the plan" } else { "is new" };
        return Ok(Some(format!("table {name} {words}")));
    }
    for cargo in &manifest.cargo {
        let Some(ours) = live.iter().find(|ours| ours.name == cargo.table.name) else { continue };
        if ours.fingerprint != cargo.fingerprint {
            return Ok(Some(format!("the structure of table {} changed", ours.name)));
        }
        let comes_back = |part: &str| {
            replaces && cargo.table.foreign_keys.iter().any(|key| part == format!("constraint {}", key.name))
        };
        if let Some(part) = ours.lost.iter().find(|part| !comes_back(part)) {
            return Ok(Some(format!("{part} of table {} is gone from the target", ours.name)));
        }
    }
    if !objects::are_there(&manifest.plan, schema, &situation.record.live_objects) {
        return Ok(Some("views or triggers changed".to_owned()));
    }
    let (here, remote) = tokio::try_join!(columns(reader, &manifest.plan.schema), columns(control, schema))?;
    let altered = here.iter().find(|column| wanted.contains(column.0.as_str()) && !remote.contains(*column));
    Ok(altered.map(|(table, column, _)| format!("column {column} of table {table} was altered on the target")))
}

/// Columns of a schema's tables: table, column, type.
async fn columns(session: &Session, schema: &str) -> Result<BTreeSet<(String, String, String)>> {
    let sql = "SELECT c.relname::text, a.attname::text, t.typname || ' ' || a.atttypmod || ' ' || a.attgenerated::text \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
               JOIN pg_type t ON t.oid = a.atttypid \
               WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = session.rows("reading the columns of the tables", sql, &[&schema]).await?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    rows.iter().map(|row| read(row).map_err(|failure| unreadable(session, &failure))).collect()
}

impl<'a> InPlace<'a> {
    /// Makes the change. After `TargetUnreachable` it may have happened or not; the record knows. `run` is told of the
    /// run's number as soon as there is one.
    ///
    /// # Errors
    /// `Local*`, `Target*`, `Interrupted`, `ArtifactStale`.
    pub(super) async fn run(&self, run: impl Fn(i64)) -> Result<Changed<'a>> {
        target_state::create(self.control).await?;
        for unfinished in &self.situation.record.unfinished {
            staging::drop_run(self.control, unfinished).await?;
        }
        let run_id = target_state::begin_run(self.control, &self.manifest.run_key, self.target.schema, "diff").await?;
        run(run_id);
        for _ in 0..ROUNDS {
            let findings = self.find().await?;
            let items = self.send(&findings).await?;
            let work = self.work(run_id, &findings, &items).await?;
            let making = work.run(self.target, self.control);
            let differing = self.diary.phase(self.ctx, "apply", None, making).await?;
            if differing.is_empty() {
                self.clear_up(&findings).await?;
                return Ok(findings.changed());
            }
            let reason = digest_check::explain(self.reader, self.manifest, &differing).await?;
            if reason.kind() == Kind::ArtifactStale {
                return Err(reason);
            }
            self.ctx
                .out
                .warn(format!("rows changed on the target meanwhile; comparing anew: {}", differing.join(", ")));
        }
        Err(Error::new(Kind::TargetRejected, "somebody changes the tables on the target while they are compared")
            .with_hint("stop what writes to these tables, or use --mode swap"))
    }

    /// What would be done, one line each; nothing is written.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn preview(&self) -> Result<Vec<String>> {
        let findings = self.find().await?;
        let (mut lines, mut bytes, mut rows) = (Vec::new(), 0, 0);
        for (number, Found { shape, change, place }) in findings.tables.iter().enumerate() {
            for parcel in shape.parcels(&self.manifest.plan.schema, number) {
                bytes += weigh(self.lister(&findings, *place), &parcel).await?;
            }
            rows += change.inserts + change.updates + change.deletes;
            lines.push(format!(
                "table {}: {} rows would be inserted, {} changed, {} deleted",
                shape.table.name, change.inserts, change.updates, change.deletes
            ));
        }
        for restart in &findings.restarts {
            lines.push(format!("table {}: new rows would be numbered from {}", restart.table.name, restart.next()));
        }
        let first = format!(
            "{} of {} tables differ; {rows} rows would be touched in one transaction, with {bytes} bytes of rows \
             ({} bytes of hashes were compared)",
            findings.tables.len(),
            self.manifest.cargo.len(),
            findings.received
        );
        lines.insert(0, first);
        Ok(lines)
    }

    /// The session that lists the rows of a table.
    fn lister<'b>(&'b self, findings: &'b Findings<'_>, place: usize) -> &'b Session {
        place.checked_sub(1).and_then(|place| findings.more.get(place)).unwrap_or(self.reader)
    }

    async fn find(&self) -> Result<Findings<'a>> {
        let wanted = digest_check::wanted(self.reader, self.manifest).await?;
        let crew = Crew::open(self.target, &self.situation.path, self.workers).await?;
        let work = digest_check::differing(&crew, self.target.schema, &wanted);
        let differing = self.diary.phase(self.ctx, "digests", Some(wanted.len() as u64), work).await?;
        let shapes: Vec<Shape<'a>> = wanted
            .iter()
            .map(|wanted| wanted.table)
            .filter(|table| differing.contains(&table.source))
            .map(Shape::new)
            .collect();
        let hands = crew.sessions().len().min(shapes.len());
        let open = || async { Box::pin(Session::connect_patiently(self.ctx, Stage::Push, self.local)).await };
        let more = try_join_all((1..hands).map(|_| open())).await?;
        self.reader.batch("forgetting a former comparison", "DISCARD TEMP").await?;
        let locals: Vec<&Session> = std::iter::once(self.reader).chain(&more).collect();
        let ends: Vec<Ends<'_>> =
            locals.into_iter().zip(crew.sessions()).map(|(local, target)| self.ends(local, target)).collect();
        let size = |shape: &Shape<'_>| {
            let cargo = self.manifest.cargo.iter().find(|cargo| cargo.table.source == shape.table.source);
            cargo.and_then(|cargo| cargo.loaded.as_ref()).map_or(0, |loaded| loaded.rows)
        };
        let work = diff::find_all(self.ctx, &ends, shapes, size);
        let tables = self.diary.phase(self.ctx, "differences", Some(differing.len() as u64), work).await?;
        let received = ends.iter().map(|ends| ends.received.load(Ordering::Relaxed)).sum();
        let restarts = self.restarts().await?;
        self.diary.received(received);
        Ok(Findings { wanted, tables, more, restarts, received })
    }

    fn ends<'b>(&'b self, local: &'b Session, target: &'b Session) -> Ends<'b> {
        let received = AtomicU64::new(0);
        Ends { local, from: &self.manifest.plan.schema, target, to: self.target.schema, received }
    }

    /// Identity columns whose next number isn't the plan's.
    async fn restarts(&self) -> Result<Vec<Restart<'a>>> {
        let tables = || self.manifest.cargo.iter().map(|cargo| &cargo.table);
        let query = |table: &TablePlan| {
            let sequence = qualified(self.target.schema, &table.identity.as_ref()?.sequence);
            let name = quote_literal(&table.name);
            Some(format!("SELECT {name}::text, last_value, is_called FROM {sequence}"))
        };
        let queries: Vec<String> = tables().filter_map(query).collect();
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "reading the next numbers of identity columns";
        let rows = self.control.rows(doing, &queries.join(" UNION ALL "), &[]).await?;
        let failed = |failure| unreadable(self.control, &failure);
        let mut restarts = Vec::new();
        for row in &rows {
            let name: String = row.try_get(0).map_err(failed)?;
            let (last, called): (i64, bool) = (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
            let now = if called { last.saturating_add(1) } else { last };
            let restart = tables().find(|table| table.name == name).map(|table| Restart { table, now });
            restarts.extend(restart.filter(|restart| restart.next() != now));
        }
        Ok(restarts)
    }

    /// Sends the rows that differ into temporary tables of the target.
    async fn send(&self, findings: &Findings<'a>) -> Result<Vec<Item<'a>>> {
        let oid = |name: &str| self.situation.record.live.iter().find(|ours| ours.name == name).map(|ours| ours.oid);
        let oids: Vec<u32> = findings.tables.iter().filter_map(|found| oid(&found.shape.table.name)).collect();
        let mut facts = diff::facts(self.control, &oids).await?;
        self.control.batch("forgetting a former comparison", "DISCARD TEMP").await?;
        let mut items = Vec::new();
        let sending = async {
            for (number, Found { shape, place, .. }) in findings.tables.iter().enumerate() {
                self.ctx.stop.check()?;
                let lister = self.lister(findings, *place);
                let [inserts, updates, deletes] = ["ins", "upd", "del"].map(|word| format!("t2n_{word}_{number}"));
                let rows = shape.empty_rows(self.target.schema);
                let list = shape.empty_list(self.target.schema);
                let create = format!(
                    "CREATE TEMP TABLE {inserts} AS {rows}; CREATE TEMP TABLE {updates} AS {rows}; \
                     CREATE TEMP TABLE {deletes} AS {list}"
                );
                self.control.batch("preparing the change", &create).await?;
                let places = [inserts, updates, deletes].map(|name| format!("pg_temp.{name}"));
                let columns = [shape.copy_columns(), shape.copy_columns(), shape.list_columns()];
                let parcels = shape.parcels(&self.manifest.plan.schema, number);
                for ((parcel, place), columns) in parcels.iter().zip(&places).zip(&columns) {
                    let input = format!("COPY {place} ({columns}) FROM STDIN (FORMAT binary)");
                    self.diary.moved(&shape.table.source, self.send_one(lister, parcel, &input).await?);
                }
                let [inserts, updates, deletes] = places;
                let analyze = format!("ANALYZE {inserts}; ANALYZE {updates}; ANALYZE {deletes}");
                self.control.batch("preparing the change", &analyze).await?;
                items.push(Item {
                    shape: Shape::new(shape.table),
                    facts: facts.remove(&shape.table.name).unwrap_or_default(),
                    rows: Rows { inserts, updates, deletes },
                });
            }
            Ok(())
        };
        self.diary.phase(self.ctx, "send", Some(findings.tables.len() as u64), sending).await?;
        Ok(items)
    }

    async fn send_one(&self, lister: &Session, output: &str, input: &str) -> Result<Sent> {
        let prepared = self.control.client().prepare(input).await;
        let statement = prepared.map_err(|failure| self.control.error("preparing the change", &failure))?;
        relay(lister, output, self.control, &statement, |bytes| self.diary.sent(bytes)).await
    }

    async fn work<'b>(&self, run_id: i64, findings: &Findings<'a>, items: &'b [Item<'a>]) -> Result<Work<'b>>
    where
        'a: 'b,
    {
        let schema = self.target.schema;
        let kept = row_undo::read(self.control, schema).await?;
        let touched = !items.is_empty() || !findings.restarts.is_empty();
        let is_changed = |wanted: &Wanted<'_>| items.iter().any(|item| item.shape.table.name == wanted.table.name);
        let (mut keep, mut after) = (Vec::new(), Vec::new());
        if touched && self.keep_previous {
            let nexts = findings.restarts.iter().map(|restart| (restart.table, restart.now));
            let equal = findings.wanted.iter().filter(|wanted| !is_changed(wanted));
            let equal: Vec<_> = equal.map(|wanted| (wanted.table.name.as_str(), wanted.digest)).collect();
            keep = row_undo::keep(schema, run_id, items, &nexts.collect::<Vec<_>>(), &equal);
            after.extend(row_undo::drop_kept(schema, &kept));
        } else if touched {
            after.extend(row_undo::forget(schema, &kept));
        }
        let restarts = findings.restarts.iter().filter_map(|restart| ddl::sequence(schema, restart.table));
        after.extend(restarts.map(|statement| statement.sql));
        let rows: u64 = self.manifest.rows();
        after.push(target_state::live(schema, run_id, &self.manifest.run_key, &self.described(findings)));
        after.extend(target_state::done(schema, run_id, rows));
        // A key that guards new rows only can take action on rows of tables that are not touched.
        let guarded = |table: &TablePlan| table.foreign_keys.iter().any(|key| key.not_valid);
        let all = self.manifest.cargo.iter().any(|cargo| guarded(&cargo.table));
        let counts = |wanted: &&Wanted<'_>| all || is_changed(wanted);
        let wanted = findings.wanted.iter().filter(counts);
        let wanted = wanted.map(|wanted| (Shape::new(wanted.table), wanted.digest)).collect();
        Ok(Work { schema, items, keep, after, wanted })
    }

    fn described(&self, findings: &Findings<'a>) -> Vec<target_state::Described<'a>> {
        let cargo = self.manifest.cargo.iter();
        cargo
            .zip(&findings.wanted)
            .map(|(cargo, wanted)| target_state::Described {
                name: &cargo.table.name,
                source: &cargo.table.source,
                fingerprint: &cargo.fingerprint,
                digest: wanted.digest,
            })
            .collect()
    }

    /// What the push before kept of replaced tables is no longer what a rollback would bring back.
    async fn clear_up(&self, findings: &Findings<'a>) -> Result<()> {
        self.control.batch("forgetting the sent rows", "DISCARD TEMP").await?;
        let touched = !findings.tables.is_empty() || !findings.restarts.is_empty();
        if touched
            && let Err(error) =
                target_state::drop_previous(self.control, self.target.schema, &self.situation.record).await
        {
            if self.control.is_lost() {
                return Err(error);
            }
            self.ctx.out.warn(format!("the tables that an earlier push replaced are still there: {}", error.message()));
        }
        Ok(())
    }
}

impl<'a> Findings<'a> {
    fn changed(self) -> Changed<'a> {
        let changes = self.tables.iter().map(|found| (found.shape.table.source.clone(), found.change)).collect();
        Changed { digests: self.wanted, changes }
    }
}

impl Restart<'_> {
    /// The number that the plan wants next.
    fn next(&self) -> i64 {
        self.table.identity.as_ref().and_then(|identity| identity.next).unwrap_or(i64::MAX).max(1)
    }
}
