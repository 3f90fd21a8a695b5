//! The ways of a push: what the wished mode means for a target as it is, and those ways that leave the tables where
//! they are.

use std::{collections::BTreeMap, sync::PoisonError};

use crate::{
    error::{Error, Kind, Result, Retry},
    model::{
        TableDigest,
        checkpoint::{LoadState, PushedTable},
    },
    postgres::{PgEndpoint, Session},
};

use super::{
    Part, Pushed,
    apply_diff::{self, InPlace},
    diff::Change,
    digest_check::Wanted,
    executor::Journey,
    manifest::Cargo,
    preflight::{Situation, Way},
    replace_tables::InTurn,
};

/// Why a mode was taken that isn't `auto`.
const fn asked(part: Part) -> &'static str {
    match part {
        Part::All => "--mode asks for it",
        Part::Schema => "--schema-only asks for the tables alone",
        Part::Rows => "--data-only asks for the rows alone",
    }
}

impl Journey<'_> {
    /// Whether rows are changed in place or tables replaced, by the wished mode and what is there.
    pub(super) async fn way(&self, control: &Session, reader: &Session, situation: &Situation) -> Result<Way> {
        let (mode, pushed) = (self.request.mode.as_str(), !situation.record.live.is_empty());
        match self.request.part {
            Part::Schema if pushed => return Err(schema_is_there()),
            Part::Rows if !pushed => return Err(no_schema()),
            Part::All | Part::Schema | Part::Rows => {}
        }
        match mode {
            "create" if pushed => {
                return Err(Error::new(
                    Kind::TargetOccupied,
                    "the target holds tables of an earlier push, and --mode is create",
                )
                .with_hint("use --mode auto, which changes or replaces them"));
            }
            "diff" if !pushed => {
                return Err(Error::new(Kind::Usage, "--mode diff needs tables that an earlier push brought")
                    .with_hint("use --mode auto, which creates them"));
            }
            "diff" => {}
            "replace" if pushed => {}
            "auto" if pushed && self.only_awaits_rows(situation) => {
                self.diary.reason("the tables of the last push have no rows yet");
                return Ok(Way::Replacing);
            }
            "auto" if pushed && !self.request.fresh => {}
            _ => {
                self.diary.reason(match (mode, pushed) {
                    _ if self.request.part == Part::Schema => asked(Part::Schema),
                    ("auto", false) => "the target has none of these tables",
                    ("auto", true) => "--fresh begins anew",
                    _ => asked(self.request.part),
                });
                return Ok(Way::Replacing);
            }
        }
        let (schema, replaces) = (&self.request.schema, mode == "replace");
        match apply_diff::obstacle(control, reader, self.manifest, situation, schema, replaces).await? {
            None => {
                self.diary.reason(if mode == "auto" {
                    "the tables of the last push have this structure"
                } else {
                    asked(self.request.part)
                });
                Ok(Way::InPlace)
            }
            Some(reason) if self.request.part == Part::Rows => {
                Err(Error::new(Kind::TargetOccupied, format!("--data-only needs tables of this structure: {reason}"))
                    .with_hint("leave --data-only out: the tables are replaced then"))
            }
            Some(reason) if mode == "diff" => {
                Err(Error::new(Kind::Usage, format!("--mode diff can't change these tables in place: {reason}"))
                    .with_hint("use --mode auto or swap, which replace the tables"))
            }
            Some(_) if mode == "replace" => {
                self.diary.reason(asked(self.request.part));
                Ok(Way::Replacing)
            }
            Some(reason) => {
                self.ctx.out.info(format!("the tables are replaced, because {reason}"));
                self.diary.reason(&reason);
                Ok(Way::Replacing)
            }
        }
    }

    /// Replaces the rows of table after table.
    pub(super) async fn replace_in_turn(
        &self,
        control: &Session,
        reader: &Session,
        situation: &Situation,
    ) -> Result<Pushed> {
        self.make_restore_point(situation).await?;
        let known = self.run.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let replacement = InTurn {
            ctx: self.ctx,
            target: &self.target,
            control,
            reader,
            manifest: self.manifest,
            situation,
            diary: &self.diary,
            workers: self.workers(self.manifest.cargo.len()),
            fresh: self.request.fresh && !known,
        };
        let know = |run| *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        let digests = Box::pin(replacement.run(know)).await?;
        self.note_sizes(control).await;
        let checkpoint = self.write_entry(Vec::new(), "replace", LoadState::Done, self.pushed_tables(&digests))?;
        Ok(Pushed { checkpoint: Some(checkpoint), unchanged: false, dry_run: Vec::new() })
    }

    /// Whether the target has what `--schema-only` left: then loading whole tables is quicker than changing them.
    fn only_awaits_rows(&self, situation: &Situation) -> bool {
        self.manifest.rows() > 0
            && situation.record.live.iter().all(|table| table.digest == Some(TableDigest::EMPTY))
            && situation.require_clear(Way::Replacing).is_ok()
    }

    /// What the checkpoint says of tables that stayed in place.
    fn pushed_tables(&self, digests: &[Wanted<'_>]) -> BTreeMap<String, PushedTable> {
        let tables = self.manifest.cargo.iter().zip(digests);
        let pushed = |(cargo, wanted): (&Cargo, &Wanted<'_>)| {
            let (rows, server_digest) = (wanted.digest.rows, Some(wanted.digest));
            (cargo.table.source.clone(), PushedTable { rows, server_digest, ..PushedTable::default() })
        };
        tables.map(pushed).collect()
    }

    /// Keeps the state of the branch as it is before tables that are in use change, where Neon's API can be used. The
    /// push doesn't depend on it: what it replaces is kept on the branch too.
    pub(super) async fn make_restore_point(&self, situation: &Situation) -> Result<()> {
        let Some(branch) = self.request.neon.as_ref().filter(|branch| !branch.on_trial) else { return Ok(()) };
        let made = self.restore_point.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if made || situation.record.live.is_empty() {
            return Ok(());
        }
        match branch.restore_point(self.ctx).await {
            Ok(name) => {
                self.ctx.out.info(format!("restore point {name} keeps the present state of the branch for 7 days"));
                *self.restore_point.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => self.ctx.out.warn(format!("no restore point was made: {error}")),
        }
        Ok(())
    }

    /// Changes the rows that differ; none if that is not possible and the tables have to be replaced.
    pub(super) async fn change_in_place(
        &self,
        control: &Session,
        (reader, local): (&Session, &PgEndpoint),
        situation: &Situation,
    ) -> Result<Option<Pushed>> {
        let change = InPlace {
            ctx: self.ctx,
            target: &self.target,
            control,
            reader,
            local,
            manifest: self.manifest,
            situation,
            diary: &self.diary,
            workers: self.workers(self.manifest.cargo.len()),
            keep_previous: self.request.keep_previous,
        };
        if self.request.dry_run {
            let dry_run = change.preview().await?;
            return Ok(Some(Pushed { checkpoint: None, unchanged: false, dry_run }));
        }
        self.make_restore_point(situation).await?;
        let know = |run| *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        let changed = match Box::pin(change.run(know)).await {
            Ok(changed) => changed,
            // A constraint stands in the way of a change row by row; whole tables can still take their places.
            Err(error) if self.request.mode == "auto" && is_in_the_way(&error) && !control.is_lost() => {
                self.ctx.out.warn(format!("the tables are replaced, because their rows can't be changed: {error}"));
                self.diary.reason("the rows can't be changed in place");
                situation.require_clear(Way::Replacing)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for (table, change) in &changed.changes {
            let Change { inserts, updates, deletes } = change;
            self.ctx.out.info(format!("{table}: {inserts} rows inserted, {updates} changed, {deletes} deleted"));
        }
        self.note_sizes(control).await;
        let tables = self.pushed_tables(&changed.digests);
        let checkpoint = self.write_entry(Vec::new(), "diff", LoadState::Done, tables)?;
        Ok(Some(Pushed { checkpoint: Some(checkpoint), unchanged: false, dry_run: Vec::new() }))
    }
}

/// Whether a change of rows was refused for a reason that replacing whole tables may not meet.
fn is_in_the_way(error: &Error) -> bool {
    error.kind() == Kind::TargetRejected && error.retry() == Retry::Never
}

fn schema_is_there() -> Error {
    Error::new(Kind::TargetOccupied, "--schema-only creates tables, and the target holds those of an earlier push")
        .with_hint("use `turso2neon push`, which changes or replaces them, or --data-only, which changes their rows")
}

fn no_schema() -> Error {
    Error::new(Kind::TargetOccupied, "--data-only needs tables that an earlier push created, and there are none")
        .with_hint("run `turso2neon push --schema-only` first, or `turso2neon push` for all of it")
}
