//! Everything that can keep a push from succeeding, said at once before the first write.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Kind, Result},
    model::{
        conversion_plan::OFFTYPE_TABLE,
        drift::{DriftPolicy, TableDrift},
        identifier::quote_ident,
        push_plan::Action,
        structure_change::StructureChange,
    },
    postgres::{Parameter, Session},
    stages::push::{
        plan::{
            in_place::InPlace,
            manifest::Manifest,
            request::{PushRequest, forces},
            server_facts::{ServerFacts, megabytes},
        },
        target::{
            catalog::names_of,
            dependents, lifecycle, objects,
            record::{self, TargetRecord},
            session::previous_schema,
            source_identity, table_properties,
        },
    },
};

/// The oldest server that has what the digests need.
const OLDEST: u32 = 140_000;
/// How many names one complaint lists.
const NAMED: usize = 20;

/// One reason against the push.
struct Problem {
    kind: Kind,
    text: String,
    /// It speaks only against replacing the tables, not against changing their rows in place.
    of_replacing: bool,
    /// What to do about it, where the kind does not say enough.
    hint: Option<&'static str>,
}

/// The target as it is before the push.
pub(crate) struct TargetState {
    /// What this tool knows of it.
    pub record: TargetRecord,
    /// Reasons against a push, found so far.
    problems: Vec<Problem>,
    /// Whether the target schema has to be created.
    pub creates_schema: bool,
    /// Extensions that have to be created, and where.
    pub creates_extensions: Vec<String>,
    /// Schemas in which the types of extensions are or will be.
    pub path: Vec<String>,
    /// What others changed since the last push.
    pub drift: Vec<TableDrift>,
    /// Tables of the last push that nobody else changed, as far as that could be seen.
    pub unchanged: BTreeSet<String>,
    /// Tables that others changed and that are left as they are.
    pub kept: BTreeSet<String>,
    /// The tables that the application made, if pushes only change their rows.
    pub in_place: Option<InPlace>,
    /// What this push changes about the tables that are in use.
    pub changes: Vec<StructureChange>,
    /// In a dry run, tables whose rows can be compared only after they are altered.
    pub altered: BTreeSet<String>,
    /// Size of the database in bytes.
    pub database_bytes: u64,
    /// The project's limit in bytes, if it has one.
    pub limit_bytes: Option<u64>,
}

impl TargetState {
    /// Looks, without writing.
    ///
    /// # Errors
    /// `Target*`; reasons against the push are collected, not raised, except a server that is too old to ask.
    pub(crate) async fn look(control: &Session, manifest: &Manifest, request: &PushRequest) -> Result<Self> {
        let schema = request.schema.as_str();
        if control.version() < OLDEST {
            let text = format!("the target is PostgreSQL {}; 14 or newer is needed", control.version() / 10_000);
            return Err(Error::new(Kind::TargetRejected, text).with_hint("push into a project with a newer PostgreSQL"));
        }
        // Here and below: on one connection questions follow each other without waiting for answers.
        let home = previous_schema(schema);
        let (facts, mut record, ()) = tokio::try_join!(
            ServerFacts::read(control, schema),
            Box::pin(TargetRecord::read(control, schema, &home)),
            lifecycle::refuse_if_finished(control, schema)
        )?;
        if facts.connections.is_some_and(|most| most < 2) {
            let text = "the role may have one connection at a time in this database, and a push needs two";
            let hint = "raise the connection limit of the role and of the database to 2 or more; --jobs 1 uses two";
            return Err(Error::new(Kind::TargetRejected, text).with_hint(hint));
        }
        let forced = named(manifest, &record, request)?;
        let in_place = InPlace::look(control, manifest, &record, request).await?;
        // What a rollback brought back belongs to whom it belonged before.
        let may_replace = |name: &str| in_place.is_none() && forced.iter().any(|one| one == name);
        record.live.retain(|table| table.is_pushed() || may_replace(&table.name));
        if in_place.is_none() {
            record.adopt(control, schema, &forced).await?;
        }
        let of_branch = request.neon.as_ref().and_then(|branch| branch.limit_bytes);
        let of_server = facts.limit.as_deref().and_then(megabytes);
        let mut target_state = Self {
            record,
            problems: Vec::new(),
            creates_schema: !facts.schema_exists,
            creates_extensions: Vec::new(),
            // An existing schema's defaults call its types by their names alone.
            path: manifest
                .plan
                .existing_schema
                .as_ref()
                .map(|existing| existing.catalog.search_path.clone())
                .unwrap_or_default(),
            drift: Vec::new(),
            unchanged: BTreeSet::new(),
            kept: BTreeSet::new(),
            altered: BTreeSet::new(),
            in_place,
            changes: Vec::new(),
            database_bytes: facts.database_bytes,
            limit_bytes: of_branch.into_iter().chain(of_server).min(),
        };
        target_state.check_server(&facts, schema);
        target_state.check_extensions(control, manifest, &facts, schema).await?;
        if target_state.in_place.is_some() {
            target_state.check_in_place();
            return Ok(target_state);
        }
        target_state.check_removed_tables(control, manifest, request).await?;
        target_state.check_names(control, manifest, schema).await?;
        target_state.check_owned(control, schema, request.on_drift).await?;
        Ok(target_state)
    }

    /// Raises everything that speaks against this action as one error.
    ///
    /// # Errors
    /// `TargetOccupied` if the names of tables are taken, else the first problem's kind.
    pub(crate) fn require_clear(&self, action: Action) -> Result<()> {
        let is_counted = |problem: &Problem| match action {
            Action::Load => problem.kind == Kind::TargetFull,
            _ => action.loads_tables(),
        };
        let counts = |problem: &&Problem| !problem.of_replacing || is_counted(problem);
        let problems: Vec<&Problem> = self.problems.iter().filter(counts).collect();
        let Some(first) = problems.first() else { return Ok(()) };
        let occupied = problems.iter().any(|problem| problem.kind == Kind::TargetOccupied);
        let kind = if occupied { Kind::TargetOccupied } else { first.kind };
        let texts: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
        let error = Error::new(kind, texts.join("; "));
        Err(match kind {
            Kind::TargetOccupied => error
                .with_hint(match &self.in_place {
                    Some(_) => "nothing was changed; connect as the role that owns the tables, or push into another database",
                    None => "nothing was changed; move these away, allow to replace tables with --force-table NAME, or push into \
                             another --schema or an empty database",
                }),
            _ => match problems.iter().find_map(|problem| problem.hint) {
                Some(hint) => error.with_hint(format!("{hint}; nothing was changed")),
                None => error,
            },
        })
    }

    /// A table whose structure others changed and that does not stay as it is.
    pub(crate) fn altered_table(&self) -> Option<&str> {
        let altered = self.drift.iter().find(|table| !table.structure.is_empty() && !self.kept.contains(&table.name));
        altered.map(|table| table.name.as_str())
    }

    /// Adds the complaint that the data won't fit. `local_bytes` is what the tables take on the local PostgreSQL,
    /// with indexes.
    pub(crate) fn check_room(&mut self, local_bytes: u64) {
        let Some(limit) = self.limit_bytes else { return };
        let needed = self.database_bytes.saturating_add(local_bytes);
        if needed > limit {
            self.add_replacing_problem(
                Kind::TargetFull,
                format!(
                    "the project may hold {} MB; the database has {} MB and the push adds about {} MB before it can \
                     remove anything",
                    limit >> 20,
                    self.database_bytes >> 20,
                    (local_bytes >> 20) + 1
                ),
            );
        }
    }

    fn add_problem(&mut self, kind: Kind, text: impl Into<String>) {
        self.problems.push(Problem { kind, text: text.into(), of_replacing: false, hint: None });
    }

    fn add_problem_with_hint(&mut self, kind: Kind, text: impl Into<String>, hint: &'static str) {
        self.problems.push(Problem { kind, text: text.into(), of_replacing: false, hint: Some(hint) });
    }

    fn add_replacing_problem(&mut self, kind: Kind, text: impl Into<String>) {
        self.problems.push(Problem { kind, text: text.into(), of_replacing: true, hint: None });
    }

    /// What was complained of since there were this many complaints is only about replacing tables.
    fn mark_replacing_only(&mut self, since: usize) {
        self.problems.iter_mut().skip(since).for_each(|problem| problem.of_replacing = true);
    }

    pub(super) fn add_problem_with_names(&mut self, kind: Kind, text: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let mut list = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > NAMED {
            list.push_str(&format!(" and {} more", names.len() - NAMED));
        }
        self.add_problem(kind, format!("{text}: {list}"));
    }

    /// Names of tables that the target has from the last push and that will not be there after this one.
    pub(crate) fn removed_tables(&self, manifest: &Manifest) -> Vec<&str> {
        let stays = |name: &str| manifest.tables.iter().any(|to_push| to_push.table.name == name);
        let goes = |table: &&record::PushedTableRecord| !table.is_adopted && !stays(&table.name);
        self.record.live.iter().filter(goes).map(|table| table.name.as_str()).collect()
    }

    /// Tables that would be gone although it is not the source they came from that lost them, or that would leave
    /// nothing behind: far more often the wrong database than one to be followed.
    async fn check_removed_tables(
        &mut self,
        control: &Session,
        manifest: &Manifest,
        request: &PushRequest,
    ) -> Result<()> {
        let leaving: Vec<String> = self
            .removed_tables(manifest)
            .into_iter()
            .filter(|name| !request.is_forced(name))
            .map(str::to_owned)
            .collect();
        if leaving.is_empty() {
            return Ok(());
        }
        let known = source_identity::read(control, &request.schema).await?;
        let other = known.as_ref().zip(manifest.source.as_ref()).filter(|(known, now)| known != now);
        let why = if let Some((known, _)) = other {
            format!("these tables came from another source, {known}, and would be gone")
        } else if leaving.len() == self.record.live.len() {
            "none of the tables of the last push is in the plan, and these would be gone".to_owned()
        } else {
            return Ok(());
        };
        let text = format!("{why} (a database of its own needs a --schema of its own; --force-table NAME lets one go)");
        self.add_problem_with_names(Kind::TargetOccupied, &text, &leaving);
        Ok(())
    }

    fn check_server(&mut self, facts: &ServerFacts, schema: &str) {
        if facts.encoding != "UTF8" {
            let text = format!("the database's encoding is {}, not UTF8", facts.encoding);
            let hint = "push into a database that is created with ENCODING 'UTF8' TEMPLATE template0";
            self.add_problem_with_hint(Kind::TargetRejected, text, hint);
        }
        if facts.read_only {
            let text = "the target takes no writes (a replica, or read-only by setting)";
            let hint =
                "connect to the primary, or set default_transaction_read_only = off for the role and the database";
            self.add_problem_with_hint(Kind::TargetRejected, text, hint);
        }
        // Staging and record are schemas of their own.
        if !facts.may_create_schemas {
            let text = "the role may not create schemas in this database (CREATE on the database)";
            let hint = "GRANT CREATE ON DATABASE to the role, or use the database's owner";
            self.add_problem_with_hint(Kind::TargetDenied, text, hint);
        }
        if facts.schema_exists && !facts.may_create_in_schema && self.in_place.is_none() {
            let text = format!("the role may not create tables in schema {schema}");
            let hint = "GRANT CREATE ON SCHEMA to the role, or name another --schema";
            self.add_problem_with_hint(Kind::TargetDenied, text, hint);
        }
    }

    async fn check_extensions(
        &mut self,
        control: &Session,
        manifest: &Manifest,
        facts: &ServerFacts,
        schema: &str,
    ) -> Result<()> {
        if manifest.plan.extensions.is_empty() {
            return Ok(());
        }
        let sql = "SELECT a.name::text, n.nspname::text FROM pg_available_extensions a \
                   LEFT JOIN pg_extension e ON e.extname = a.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace \
                   WHERE a.name = ANY($1)";
        let rows = control.query_rows("looking for extensions", sql, &[&manifest.plan.extensions]).await?;
        let mut found = std::collections::BTreeMap::new();
        for row in &rows {
            found.insert(row.get::<String>(0)?, row.get::<Option<String>>(1)?);
        }
        let home = if facts.may_create_in_public { "public" } else { schema };
        for extension in &manifest.plan.extensions {
            match found.get(extension) {
                Some(Some(home)) => self.path.push(home.clone()),
                Some(None) => {
                    self.path.push(home.to_owned());
                    self.creates_extensions.push(format!(
                        "CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}",
                        quote_ident(extension),
                        quote_ident(home)
                    ));
                }
                None => self.add_problem(Kind::TargetRejected, format!("extension {extension} is not available")),
            }
        }
        self.path.sort_unstable();
        self.path.dedup();
        Ok(())
    }

    /// Names that the tables, their indexes, keys and sequences will need, and that something else has.
    async fn check_names(&mut self, control: &Session, manifest: &Manifest, schema: &str) -> Result<()> {
        let sql = "SELECT name FROM (SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' \
             WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' \
             WHEN 'f' THEN 'foreign table' ELSE 'type' END || ' ' || c.relname \
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2) \
             AND c.oid <> ALL($4) AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = c.oid AND x.indrelid = ANY($4)) \
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY($4) AND d.deptype IN ('a', 'i')) \
           UNION ALL SELECT 'type ' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
             WHERE n.nspname = $1 AND t.typname = ANY($3) AND t.typrelid = 0 AND t.typelem = 0) AS taken(name) \
           ORDER BY name NOT LIKE 'table %', name";
        let views = manifest.plan.views.iter().map(|view| view.name.as_str());
        let tables = manifest.tables.iter().map(|to_push| to_push.table.name.as_str());
        let tables: Vec<&str> = tables.chain(views).collect();
        let names = all_names(manifest);
        let live = self.record.live_relations();
        let doing = "looking for names that are taken";
        let home = previous_schema(schema);
        let previous = self.record.previous_relations();
        let kept = self.record.live_objects.iter().filter(|object| object.kind == "view");
        let kept = kept.map(|view| view.name.as_str());
        let replaced: Vec<&str> = self.record.live.iter().map(|table| table.name.as_str()).chain(kept).collect();
        let here: [&dyn Parameter; 4] = [&schema, &names, &tables, &live];
        let there: [&dyn Parameter; 4] = [&home, &replaced, &replaced, &previous];
        let (taken, taken_there, in_the_way) = tokio::try_join!(
            names_of(control, doing, sql, &here),
            names_of(control, doing, sql, &there),
            Box::pin(objects::conflicts(control, &manifest.plan, schema, &self.record)),
        )?;
        let text = format!("schema {schema} already contains objects of the same name that turso2neon did not create");
        self.add_problem_with_names(Kind::TargetOccupied, &text, &taken);
        let before = self.problems.len();
        let text = format!("schema {home}, where replaced tables are kept, holds something of the same name");
        self.add_problem_with_names(Kind::TargetOccupied, &text, &taken_there);
        let text = "these objects block the creation of triggers and their functions";
        self.add_problem_with_names(Kind::TargetOccupied, text, &in_the_way);
        self.mark_replacing_only(before);
        Ok(())
    }

    /// What hangs on the tables that will be replaced and would be lost or left behind.
    async fn check_owned(&mut self, control: &Session, schema: &str, on_drift: DriftPolicy) -> Result<()> {
        let before = self.problems.len();
        let live = self.record.live_relations();
        let previous = self.record.previous_relations();
        let (hanging, hanging_there, foreign_publications) = tokio::try_join!(
            dependents::of(control, &live),
            dependents::of(control, &previous),
            table_properties::foreign_publications(control, &live),
        )?;
        let text = "the tables to be replaced are used by objects that this version can't carry over";
        self.add_problem_with_names(Kind::TargetOccupied, text, &hanging);
        let text = format!("the tables in schema {} can't be dropped because of", previous_schema(schema));
        self.add_problem_with_names(Kind::TargetOccupied, &text, &hanging_there);
        let part = |table: &record::PushedTableRecord| {
            let name = table.name.clone();
            table
                .added
                .iter()
                // A column that was added is drift, for which the user chose.
                .filter(|part| !(part.starts_with("column ") && on_drift == DriftPolicy::Overwrite))
                .filter(|part| !table_properties::is_carried(part))
                .map(move |part| format!("{part} on {name}"))
                .collect::<Vec<_>>()
        };
        let added: Vec<String> = self.record.live.iter().flat_map(part).collect();
        let text = "these were added to the tables since the last push and can't be carried over by this version";
        self.add_problem_with_names(Kind::TargetOccupied, text, &added);
        let text = "these name the tables and belong to another role";
        self.add_problem_with_names(Kind::TargetOccupied, text, &foreign_publications);
        self.mark_replacing_only(before);
        let rule = |part: &&String| part.starts_with("rule ");
        let rules = self.record.live.iter().filter(|table| table.added.iter().any(|part| rule(&part)));
        let rules: Vec<String> = rules.map(|table| table.name.clone()).collect();
        self.add_problem_with_names(
            Kind::TargetOccupied,
            "these tables have rewrite rules, which would redirect rows",
            &rules,
        );
        let foreign =
            |table: &record::PushedTableRecord| Some(format!("{} ({})", table.name, table.foreign_owner.as_ref()?));
        let foreign: Vec<String> = self.record.live.iter().filter_map(foreign).collect();
        self.add_problem_with_names(
            Kind::TargetOccupied,
            "tables of the last push belong to another role now",
            &foreign,
        );
        Ok(())
    }

    /// Whether the target holds exactly this already, as far as the record says.
    pub(crate) fn holds(&self, manifest: &Manifest, schema: &str) -> bool {
        let wanted: BTreeSet<&str> = manifest.tables.iter().map(|to_push| to_push.table.name.as_str()).collect();
        let live: BTreeSet<&str> = self.record.live.iter().map(|table| table.name.as_str()).collect();
        wanted == live
            && self.record.live.iter().all(|table| table.run_key == manifest.run_key)
            && objects::are_there(&manifest.plan, schema, &self.record.live_objects)
    }
}

/// The tables of the plan and of the last push that the user allows to replace by name.
fn named(manifest: &Manifest, record: &TargetRecord, request: &PushRequest) -> Result<Vec<String>> {
    let planned = manifest.tables.iter().map(|to_push| to_push.table.name.as_str());
    let mut tables: Vec<&str> = planned.chain(record.live.iter().map(|table| table.name.as_str())).collect();
    if request.force_tables.iter().any(|one| !tables.iter().any(|name| forces(one, name))) {
        let text = "--force-table names a table that is neither pushed nor of the last push";
        return Err(Error::new(Kind::Usage, text)
            .with_hint("give the table's name on the target without its schema, or a pattern such as `*`"));
    }
    tables.retain(|name| request.is_forced(name));
    tables.sort_unstable();
    tables.dedup();
    Ok(tables.into_iter().map(str::to_owned).collect())
}

/// Every relation name that the push will need in the target schema.
fn all_names(manifest: &Manifest) -> Vec<&str> {
    let mut names = Vec::new();
    for table in manifest.tables.iter().map(|to_push| &to_push.table) {
        names.push(table.name.as_str());
        names.extend(table.primary_key.iter().chain(&table.uniques).map(|key| key.name.as_str()));
        names.extend(table.indexes.iter().map(|index| index.name.as_str()));
        names.extend(table.identity.iter().map(|identity| identity.sequence.as_str()));
    }
    if manifest.plan.has_offtype_cells() {
        names.push(OFFTYPE_TABLE);
    }
    names.extend(manifest.plan.views.iter().map(|view| view.name.as_str()));
    names
}
