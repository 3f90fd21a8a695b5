//! What is to be pushed, as the artifacts of the earlier stages say: the chain of digests is checked here.

use std::collections::BTreeSet;

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    model::{
        DumpCheckpoint, LoadCheckpoint, Plan, TableDigest, TablePlan,
        checkpoint::{CHECKPOINT_FORMAT, LoadState, TableRecord},
        identifier::quote_list,
        offtype::{self, OFFTYPE_TABLE},
        table_digest::DIGEST_VERSION,
    },
    postgres::{Session, table_digest},
    rules::ddl,
    stages::push::{plan::request::PushPart, target::objects},
    workdir::{sealed, sha256_of, sha256_of_bytes},
};

/// Everything that a push takes from the artifacts.
pub(crate) struct Manifest {
    /// The plan.
    pub plan: Plan,
    /// SHA-256 of `plan.json`.
    pub plan_sha256: String,
    /// What `convert` left.
    pub convert: LoadCheckpoint,
    /// Every table, the off-type table included, in the plan's order.
    pub tables: Vec<TableToPush>,
    /// What is pushed, as one digest: structure and content of every table, and the target's schema.
    pub run_key: String,
    /// Where the dump came from, without secrets; none if the dump was removed.
    pub source: Option<String>,
    /// What of the tables is pushed.
    pub part: PushPart,
}

/// One table to be pushed.
pub(crate) struct TableToPush {
    /// Its plan.
    pub table: TablePlan,
    /// Digest of its structure.
    pub fingerprint: String,
    /// What `convert` loaded of it; none for an off-type table that its checkpoint doesn't list.
    pub loaded: Option<TableRecord>,
    /// Whether its rows are in partitions.
    pub is_partitioned: bool,
}

impl TableToPush {
    /// `shared` is what [`shared`] gives.
    fn new(table: TablePlan, loaded: Option<TableRecord>, shared: &str) -> Self {
        let fingerprint = fingerprint(&table, shared);
        Self { table, fingerprint, loaded, is_partitioned: false }
    }

    /// The columns that are sent, as in COPY.
    pub(crate) fn pushed_columns(&self) -> String {
        quote_list(self.table.pushed_columns().map(|column| column.name.as_str()))
    }

    /// The digest that `convert` recorded; none where it recorded none of this version.
    pub(crate) fn recorded_digest(&self) -> Option<TableDigest> {
        self.loaded.as_ref()?.server_digest
    }

    /// The digest of the rows that the local PostgreSQL holds now in this schema.
    ///
    /// # Errors
    /// `Local*`.
    pub(crate) async fn digest_now(&self, local: &Session, schema: &str) -> Result<TableDigest> {
        let digest = table_digest::of_table(local, schema, &self.table.name, self.table.compared_columns());
        digest.await.at_table(&self.table.source)
    }

    /// What stands for the rows in the run's key.
    fn content(&self, plan: &Plan) -> String {
        match &self.loaded {
            Some(TableRecord { server_digest: Some(digest), .. }) => digest.to_string(),
            // An earlier version loaded it. This digest is as good a name for the rows, but PostgreSQL can't compute
            // it.
            Some(loaded) => loaded.read_digest.clone(),
            // An off-type table without a digest of its own is a function of the dump.
            None => plan.dump_sha256.clone(),
        }
    }

    /// The table as one without rows.
    fn drop_rows(&mut self) {
        self.table.rows = 0;
        self.table.bytes = 0;
        let (sent_digest, read_digest) = (String::new(), String::new());
        let server_digest = Some(TableDigest::EMPTY);
        self.loaded = Some(TableRecord { rows: 0, sent_digest, read_digest, server_digest });
    }
}

impl Manifest {
    /// Loads and checks the artifacts.
    ///
    /// # Errors
    /// `Artifact*`.
    pub(crate) fn load(ctx: &Context, schema: &str, part: PushPart) -> Result<Self> {
        let convert = ctx.workdir.load_convert()?;
        let plan_sha256 = sha256_of(&ctx.workdir.plan_json())?;
        let plan = ctx.workdir.load_executed_plan(ctx.workdir.load_plan()?, &plan_sha256, &convert.dropped)?;
        let source = check_chain(ctx, &convert, &plan, &plan_sha256)?;
        let mut tables = tables_to_push(&plan, &convert)?;
        if part == PushPart::Schema {
            tables.iter_mut().for_each(TableToPush::drop_rows);
        }
        let run_key = run_key(&tables, &plan, schema);
        Ok(Self { plan, plan_sha256, convert, tables, run_key, source, part })
    }

    /// The run key's first digits, for names.
    pub(crate) fn short_key(&self) -> &str {
        self.run_key.get(..12).unwrap_or(&self.run_key)
    }

    /// Rows in all, the off-type table left out where its number isn't known.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.loaded.as_ref()).map(|loaded| loaded.rows).sum()
    }
}

/// Gives the dump's source.
fn check_chain(ctx: &Context, convert: &LoadCheckpoint, plan: &Plan, plan_sha256: &str) -> Result<Option<String>> {
    let stale = |text: &str| {
        Err(Error::new(Kind::ArtifactStale, text).with_hint("run `turso2neon convert`, then `turso2neon push` again"))
    };
    if convert.state != LoadState::Done {
        return Err(Error::new(Kind::ArtifactMissing, "convert was begun but is not complete")
            .with_hint("run `turso2neon convert`: it continues where it stopped"));
    }
    if convert.plan_sha256 != plan_sha256 {
        return stale("the local PostgreSQL was loaded with another plan than plan/plan.json");
    }
    if convert.dump_sha256 != plan.dump_sha256 {
        return stale("the local PostgreSQL was loaded from another dump than the plan was made from");
    }
    // A dump that was removed to save space is no reason to refuse what was made from it.
    let dump: DumpCheckpoint = match sealed::load(&ctx.workdir.dump_checkpoint(), CHECKPOINT_FORMAT, "dump") {
        Ok(dump) => dump,
        Err(error) if error.kind() == Kind::ArtifactMissing => return Ok(None),
        Err(error) => return Err(error),
    };
    if [&dump.sha256, &dump.content_sha256].contains(&&convert.dump_sha256) {
        Ok(Some(dump.source))
    } else {
        stale("the dump is newer than what the local PostgreSQL holds")
    }
}

fn tables_to_push(plan: &Plan, convert: &LoadCheckpoint) -> Result<Vec<TableToPush>> {
    let mut tables = Vec::new();
    let shared = shared(plan);
    let existing = plan.existing_schema.iter().flat_map(|existing| existing.catalog.tables());
    let partitioned: BTreeSet<&str> =
        existing.filter(|(_, table)| table.partition_by.is_some()).map(|(name, _)| name).collect();
    for table in &plan.tables {
        let loaded = convert.tables.get(&table.source).cloned().ok_or_else(|| {
            Error::new(Kind::ArtifactDamaged, "the checkpoint of convert doesn't have this table of the plan")
                .at_table(&table.source)
                .with_hint("run `turso2neon convert --fresh`")
        })?;
        let is_partitioned = partitioned.contains(table.name.as_str());
        tables.push(TableToPush { is_partitioned, ..TableToPush::new(table.clone(), Some(loaded), &shared) });
    }
    if plan.has_offtype_cells() {
        let loaded = convert.tables.get(OFFTYPE_TABLE).cloned();
        tables.push(TableToPush::new(offtype::plan(), loaded, &shared));
    }
    Ok(tables)
}

/// What tables share: the user's SQL. A change of it is a change of every table.
pub(crate) fn shared(plan: &Plan) -> String {
    let hooks = plan.hooks.before.iter().chain(&plan.hooks.after);
    hooks.flat_map(|statement| ["sql ", statement.as_str(), "\n"]).collect()
}

/// Digest of everything that makes up a table except its rows and the next number of its identity column. `shared` is
/// what [`shared`] gives.
pub(crate) fn fingerprint(table: &TablePlan, shared: &str) -> String {
    let statements = [
        vec![ddl::create_table("", table)],
        ddl::keys("", table),
        ddl::indexes("", table),
        ddl::checks("", table),
        ddl::foreign_keys("", table),
        ddl::validations("", table),
        ddl::defaults("", table),
    ];
    let text: Vec<String> = statements.into_iter().flatten().map(|statement| statement.sql).collect();
    let own = sha256_of_bytes(text.join(";\n").as_bytes());
    if shared.is_empty() { own } else { sha256_of_bytes(format!("{own}\n{shared}").as_bytes()) }
}

fn run_key(tables: &[TableToPush], plan: &Plan, schema: &str) -> String {
    let extensions = plan.extensions.join(" ");
    let mut text = format!("digests {DIGEST_VERSION}\nschema {schema}\nextensions {extensions}\n");
    for item in tables {
        let content = item.content(plan);
        let next = ddl::sequence("", &item.table).map(|statement| statement.sql).unwrap_or_default();
        text.push_str(&format!("{} {} {content} {next}\n", item.table.name, item.fingerprint));
    }
    for object in objects::planned(plan, schema) {
        text.push_str(&format!("{} {}\n", object.kind, object.statements.join("; ")));
    }
    // What a file has more than before is created on the target. A database that was read has its own objects.
    for existing in plan.existing_schema.iter().filter(|existing| !existing.is_live) {
        for object in &existing.catalog.objects {
            let statements = object.create.iter().chain(&object.comments).chain(&object.grants);
            statements.for_each(|sql| text.push_str(&format!("existing {sql}\n")));
        }
    }
    sha256_of_bytes(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_key_follows_structure_content_and_schema() {
        let plan = |dump: &str| Plan {
            format: 1,
            tool: String::new(),
            dump_sha256: dump.to_owned(),
            overrides_sha256: String::new(),
            consents: std::collections::BTreeMap::new(),
            existing_schema: None,
            weakened: Vec::new(),
            sequences: Vec::new(),
            hooks: crate::model::overrides::UserSql::default(),
            schema: "s".to_owned(),
            extensions: Vec::new(),
            tables: Vec::new(),
            views: Vec::new(),
            triggers: Vec::new(),
            objects: Vec::new(),
            findings: Vec::new(),
        };
        let record = |digest: &str| TableRecord {
            rows: 1,
            sent_digest: String::new(),
            read_digest: String::new(),
            server_digest: Some(digest.parse().unwrap()),
        };
        let with = |digest: &str| vec![TableToPush::new(offtype::plan(), Some(record(digest)), "")];
        let mut wider = offtype::plan();
        wider.columns[0].not_null = false;
        let keys = [
            run_key(&with("2:1:1"), &plan("a"), "public"),
            run_key(&with("2:1:2"), &plan("a"), "public"),
            run_key(&with("2:1:1"), &plan("a"), "other"),
            run_key(&[TableToPush::new(wider, Some(record("2:1:1")), "")], &plan("a"), "public"),
        ];
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
        // A dump with another digest but the same tables is the same push.
        assert_eq!(keys[0], run_key(&with("2:1:1"), &plan("b"), "public"));
    }
}
