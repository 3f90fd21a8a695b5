//! What is asked of a push, and what came of it.

use std::time::Duration;

use wildmatch::WildMatch;

use crate::{
    error::{Error, Kind, Result},
    model::{
        Plan, PushCheckpoint,
        conversion_plan::ObjectPlan,
        drift::DriftPolicy,
        push_plan::{PushPlan, RequestedMode},
        structure_change::TypeChangePolicy,
    },
    neon::Branch,
    postgres::managed::LocalChoice,
    secret::Secret,
    stages::push::target::{record, session::STAGING_PREFIX},
};

/// The schema that tables go to where none is named.
const USUAL_SCHEMA: &str = "public";

/// What of the tables is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PushPart {
    /// Everything.
    #[default]
    All,
    /// Tables, keys, indexes, views and triggers without rows, where the target has none of the tables yet.
    Schema,
    /// Rows, into tables of this structure that an earlier push created.
    Rows,
}

/// What to push and where to.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The target's connection string.
    pub target: Secret<String>,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
    /// How the tables are brought up to date.
    pub mode: RequestedMode,
    /// What is done with tables that others changed on the target since the last push.
    pub on_drift: DriftPolicy,
    /// What is done about changes of the structure of tables that are in use.
    pub on_type_change: TypeChangePolicy,
    /// All of it, or the schema or the rows alone.
    pub part: PushPart,
    /// Connections that load at once; 0 means the default.
    pub jobs: usize,
    /// The schema on the target.
    pub schema: String,
    /// Everything but writing.
    pub dry_run: bool,
    /// Keep what is replaced or changed, so that it can be put back.
    pub keep_previous: bool,
    /// Tables of the target that may be replaced although this tool didn't push them; names and patterns.
    pub force_tables: Vec<String>,
    /// The Neon branch that is pushed to, where it is known: a restore point is made of it, and its limit counts.
    pub neon: Option<Branch>,
    /// Forget the earlier result: push even if nothing changed.
    pub fresh: bool,
    /// How long to try to get the tables for a moment without readers.
    pub lock_wait: Duration,
}

impl PushRequest {
    /// Whether the user allows to replace what this table of the target holds.
    pub(crate) fn is_forced(&self, table: &str) -> bool {
        self.force_tables.iter().any(|one| forces(one, table))
    }
}

/// Whether `--force-table` with this value means the table: by its name, or by a pattern in which `*` stands for any
/// letters and `?` for one.
pub(crate) fn forces(value: &str, table: &str) -> bool {
    value == table || WildMatch::new(value).matches(table)
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Pushed {
    /// The checkpoint; none after a dry run.
    pub checkpoint: Option<PushCheckpoint>,
    /// Whether the target held this content already.
    pub unchanged: bool,
    /// What it did, or after a dry run would do; none if an interrupted push had done everything.
    pub plan: Option<PushPlan>,
    /// After a dry run: what would be done, one line each.
    pub dry_run: Vec<String>,
    /// Views, triggers and indexes of the source that are not pushed.
    pub not_carried: Vec<ObjectPlan>,
}

/// The schema that a plan's tables go to: that of the existing schema, unless another one than the usual is named.
#[must_use]
pub fn schema_for(plan: &Plan, schema: &str) -> String {
    match &plan.existing_schema {
        Some(existing) if schema == USUAL_SCHEMA => existing.catalog.schema.clone(),
        Some(_) | None => schema.to_owned(),
    }
}

/// Checks what can be checked without looking anywhere.
pub(crate) fn check(request: &PushRequest) -> Result<()> {
    use RequestedMode::{Auto, Create, Diff, Replace};
    match (request.part, request.mode) {
        (PushPart::All, _) | (PushPart::Schema, Auto | Create) | (PushPart::Rows, Auto | Diff | Replace) => {}
        (PushPart::Schema, mode) => {
            return Err(Error::new(Kind::Usage, format!("--schema-only can't go with --mode {mode}"))
                .with_hint("it creates tables where there are none: leave --mode out"));
        }
        (PushPart::Rows, mode) => {
            return Err(Error::new(Kind::Usage, format!("--data-only can't go with --mode {mode}"))
                .with_hint("it changes rows of tables that are there: leave --mode out, or give diff or replace"));
        }
    }
    let schema = request.schema.as_str();
    let reserved = schema.starts_with("pg_")
        || schema == "information_schema"
        || schema.starts_with(record::SCHEMA)
        || schema.starts_with(STAGING_PREFIX);
    if schema.is_empty() || schema.len() > 63 || schema.contains('\0') {
        return Err(Error::new(Kind::Usage, "--schema needs a name of 1 to 63 bytes"));
    }
    if reserved {
        return Err(Error::new(Kind::Usage, format!("schema {schema} is reserved; --schema needs another name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(schema: &str) -> PushRequest {
        PushRequest {
            target: Secret::new(String::new()),
            local: LocalChoice::default(),
            mode: RequestedMode::Auto,
            on_drift: DriftPolicy::Refuse,
            on_type_change: TypeChangePolicy::Decide,
            part: PushPart::All,
            jobs: 0,
            schema: schema.to_owned(),
            dry_run: false,
            keep_previous: true,
            force_tables: Vec::new(),
            neon: None,
            fresh: false,
            lock_wait: Duration::from_secs(1),
        }
    }

    #[test]
    fn reserved_schemas_are_refused() {
        assert!(check(&request("public")).is_ok());
        assert!(check(&request("app")).is_ok());
        for schema in ["", "pg_catalog", "turso2neon", "turso2neon_previous", "_turso2neon_stage_1"] {
            let error = check(&request(schema)).err();
            assert_eq!(error.map(|error| error.kind()), Some(Kind::Usage), "{schema}");
        }
    }

    #[test]
    fn a_part_of_the_tables_goes_only_with_modes_that_can_push_it() {
        let of = |part, mode| check(&PushRequest { mode, part, ..request("public") }).is_ok();
        assert!(of(PushPart::Schema, RequestedMode::Create) && !of(PushPart::Schema, RequestedMode::Swap));
        assert!(of(PushPart::Rows, RequestedMode::Replace) && !of(PushPart::Rows, RequestedMode::Create));
    }
}
