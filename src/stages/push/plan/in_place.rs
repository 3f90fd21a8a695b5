//! Tables that the application made on the target: which of the plan's are there, whether they have the plan's columns,
//! and what is done with them. They are loaded and changed in place. No push replaces, moves or drops them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    error::{Error, Kind, Result},
    model::{
        Plan,
        catalog::Catalog,
        existing_schema::WeakerForm,
        human_format::counted,
        offtype::OFFTYPE_TABLE,
        push_plan::{Action, PushPlan, RequestedMode},
    },
    postgres::Session,
    rules::migration_history,
    stages::push::{
        plan::{
            live_alteration,
            manifest::{Manifest, TableToPush},
            missing_objects,
            mode_selection::Choice,
            preflight::TargetState,
            request::{PushPart, PushRequest},
            structure,
        },
        target::{
            live_tables::{self, LiveTable},
            record::{PushedTableRecord, TargetRecord},
        },
    },
};

/// A difference between a table of the plan and the one on the target.
struct TableDifference {
    table: String,
    column: Option<String>,
    what: Mismatch,
}

/// What is different.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mismatch {
    /// The target has no such table.
    NoTable,
    /// The table on the target has no such column.
    NoColumn,
    /// The column has another type.
    OtherType,
    /// Only the target has the column.
    NotInPlan,
}

impl fmt::Display for TableDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.table)?;
        if let Some(column) = &self.column {
            write!(f, "column {column} ")?;
        }
        f.write_str(match self.what {
            Mismatch::NoTable => "there is no such table",
            Mismatch::NoColumn => "is in the plan, not on the target",
            Mismatch::OtherType => "has another type",
            Mismatch::NotInPlan => "is on the target, not in the plan",
        })
    }
}

/// How many names one complaint lists.
const NAMED: usize = 20;

/// Statements that make what the target lacks. They run in the transaction that loads the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveStatements {
    /// Before the rows: types, tables, sequences.
    pub before: Vec<String>,
    /// After the rows: keys, indexes, foreign keys, triggers, views.
    pub after: Vec<String>,
    /// The tables of the plan that `before` makes, without rows.
    pub made: BTreeSet<String>,
    /// The objects of the existing schema that are created, in words.
    pub created: Vec<String>,
    /// Those that are on the target and are dropped or weakened, because rows of the source break them.
    pub weakened: Vec<String>,
    /// Those that can't be created, and why.
    pub not_created: Vec<String>,
    /// The catalog of the target, if the plan has an existing schema.
    pub present: Catalog,
}

/// The tables that the application made, as a push finds them.
pub(crate) struct InPlace {
    /// The plan's tables that are on the target.
    pub tables: Vec<LiveTable>,
    /// Those of them that no push has brought into the record.
    unrecorded: BTreeSet<String>,
    /// How many rows these have, if any.
    rows: BTreeMap<String, u64>,
    /// Tables of the plan that are not there and that no statement makes.
    missing: Vec<String>,
    /// What makes the tables that are not there.
    pub statements: LiveStatements,
}

impl InPlace {
    /// Looks whether the application made the tables: those of an existing schema are there and no push brought them,
    /// or an earlier push has loaded them. None where pushes create the tables.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn look(
        control: &Session,
        manifest: &Manifest,
        record: &TargetRecord,
        request: &PushRequest,
    ) -> Result<Option<Self>> {
        let is_own = |table: &&PushedTableRecord| table.is_pushed() && !table.is_adopted && table.name != OFFTYPE_TABLE;
        let has_own = record.live.iter().any(|table| is_own(&table));
        let existing = manifest.plan.existing_schema.as_deref();
        if has_own && existing.is_some() {
            let text = "the target has tables that an earlier push created by the tool's own rules";
            return Err(Error::new(Kind::TargetOccupied, text).with_hint(
                "nothing was changed; drop these tables, or push into another database: the tables of an existing schema \
                 are created as the schema has them",
            ));
        }
        if !record.has_adopted() && existing.is_none() {
            return Ok(None);
        }
        let schema = request.schema.as_str();
        let names: Vec<&str> = manifest.tables.iter().map(|to_push| to_push.table.name.as_str()).collect();
        let tables = live_tables::read(control, schema, &names).await?;
        let is_recorded = |name: &str| record.live.iter().any(|table| table.is_pushed() && table.name == name);
        let unrecorded: BTreeSet<String> =
            tables.iter().map(|table| table.name.clone()).filter(|name| !is_recorded(name)).collect();
        let countable: Vec<&str> = unrecorded.iter().map(String::as_str).collect();
        let rows = live_tables::row_counts(control, schema, &countable).await?;
        let is_there = |name: &str| tables.iter().any(|table| table.name == name);
        let mut missing: Vec<String> = names.into_iter().filter(|name| !is_there(name)).map(str::to_owned).collect();
        let mut statements = match existing {
            Some(existing) => {
                missing_objects::statements(control, &manifest.plan, existing, schema, !record.has_adopted()).await?
            }
            None => LiveStatements::default(),
        };
        missing_objects::add_offtype_table(&mut statements, &missing, schema);
        missing.retain(|name| !statements.made.contains(name));
        Ok(Some(Self { tables, unrecorded, rows, missing, statements }))
    }

    /// The rows of a table that no push has brought; none if it is another one or empty.
    pub(crate) fn rows_there(&self, name: &str) -> Option<u64> {
        self.rows.get(name).copied()
    }

    /// Whether the table has no rows and gets all of them from the local PostgreSQL.
    pub(crate) fn is_filled(&self, name: &str) -> bool {
        self.statements.made.contains(name) || (self.unrecorded.contains(name) && !self.rows.contains_key(name))
    }

    /// Names of tables that the push brings into the record, and whether they are the application's.
    pub(crate) fn entering(&self) -> impl Iterator<Item = (&str, bool)> {
        let made = self.statements.made.iter();
        let names = made.chain(&self.unrecorded).map(String::as_str);
        names.map(|name| (name, name != OFFTYPE_TABLE))
    }

    /// The table of this name, as it is on the target.
    pub(crate) fn table(&self, name: &str) -> Option<&LiveTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// What differs between the plan's tables and those on the target.
    async fn differences(
        &self,
        (control, reader): (&Session, &Session),
        manifest: &Manifest,
        schema: &str,
    ) -> Result<Vec<TableDifference>> {
        let missing = |name: &String| TableDifference { table: name.clone(), column: None, what: Mismatch::NoTable };
        let mut found: Vec<TableDifference> = self.missing.iter().map(missing).collect();
        let (here, there) =
            tokio::try_join!(structure::columns(reader, &manifest.plan.schema), structure::columns(control, schema))?;
        for to_push in manifest.tables.iter().filter(|to_push| self.table(&to_push.table.name).is_some()) {
            let weakened = |column: &str| is_weakened(&manifest.plan, &to_push.table.name, column);
            let (here, there) = (columns_of(&here, to_push), columns_of(&there, to_push));
            found.extend(differences_of(to_push, &here, &there, weakened));
        }
        Ok(found)
    }
}

/// Columns of one table with their types.
type ColumnTypes<'a> = BTreeMap<&'a str, &'a str>;

fn columns_of<'a>(all: &'a BTreeSet<(String, String, String)>, to_push: &TableToPush) -> ColumnTypes<'a> {
    let own = all.iter().filter(|(table, ..)| *table == to_push.table.name);
    own.map(|(_, column, pg_type)| (column.as_str(), pg_type.as_str())).collect()
}

/// Whether the push gives a column the type that its domain is made of.
fn is_weakened(plan: &Plan, table: &str, column: &str) -> bool {
    plan.weakened.iter().any(|weakened| {
        let is_column = matches!(&weakened.form, WeakerForm::BaseType { column: name, .. } if name == column);
        is_column && weakened.name.name == table
    })
}

fn differences_of(
    to_push: &TableToPush,
    here: &ColumnTypes<'_>,
    there: &ColumnTypes<'_>,
    is_weakened: impl Fn(&str) -> bool,
) -> Vec<TableDifference> {
    let table = &to_push.table;
    let difference =
        |column: &str, what| TableDifference { table: table.name.clone(), column: Some(column.to_owned()), what };
    let is_loaded = |name: &str| !is_weakened(name) && table.pushed_columns().any(|one| one.name == name);
    let mut found = Vec::new();
    for column in &table.columns {
        let name = column.name.as_str();
        match (here.get(name), there.get(name)) {
            (_, None) => found.push(difference(name, Mismatch::NoColumn)),
            // What the target makes is its own, and a domain that rows break is replaced.
            (Some(local), Some(remote)) if local != remote && is_loaded(name) => {
                found.push(difference(name, Mismatch::OtherType));
            }
            _ => {}
        }
    }
    let is_new = |name: &&&str| table.column(name).is_none();
    found.extend(there.keys().filter(is_new).map(|name| difference(name, Mismatch::NotInPlan)));
    found
}

impl TargetState {
    /// What speaks against changing the rows of the application's tables.
    pub(super) fn check_in_place(&mut self) {
        let Some(in_place) = &self.in_place else { return };
        let owned = |table: &LiveTable| Some(format!("{} ({})", table.name, table.foreign_owner.as_ref()?));
        let foreign: Vec<String> = in_place.tables.iter().filter_map(owned).collect();
        let with_rules = in_place.tables.iter().filter(|table| table.has_rules);
        let with_rules: Vec<String> = with_rules.map(|table| table.name.clone()).collect();
        let text = "the role may not change tables that belong to another role";
        self.add_problem_with_names(Kind::TargetOccupied, text, &foreign);
        let text = "these tables have rewrite rules, which would redirect rows";
        self.add_problem_with_names(Kind::TargetOccupied, text, &with_rules);
    }
}

/// Chooses for tables that the application made.
///
/// # Errors
/// `Usage` for a mode that replaces tables, `TargetOccupied` if the tables differ from the plan's; `Local*`, `Target*`.
pub(super) async fn choose(
    servers: (&Session, &Session),
    manifest: &Manifest,
    in_place: &InPlace,
    request: &PushRequest,
) -> Result<Choice> {
    if request.part == PushPart::Schema {
        let text = "--schema-only creates tables, and the target has those that the application created";
        return Err(Error::new(Kind::TargetOccupied, text)
            .with_hint("run the command without --schema-only; it loads the rows into these tables"));
    }
    if matches!(request.mode, RequestedMode::Create | RequestedMode::Swap | RequestedMode::Replace) {
        let text = format!("--mode {} would replace tables that the application created", request.mode);
        return Err(Error::new(Kind::Usage, text).with_hint(
            "run the command without --mode; it loads the rows into these tables, and later sends only changed rows",
        ));
    }
    let existing = manifest.plan.existing_schema.as_deref();
    let alteration = existing.and_then(|existing| {
        let found = &in_place.statements.present;
        live_alteration::find(&manifest.plan, existing, found, &in_place.tables, request.on_type_change)
    });
    let mut differences = in_place.differences(servers, manifest, &request.schema).await?;
    // Nothing that is on the target alone is removed.
    let is_altered = |table: &str| alteration.as_ref().is_some_and(|all| all.altered.contains(table));
    differences.retain(|found| found.what == Mismatch::NotInPlan || !is_altered(&found.table));
    if !differences.is_empty() {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        let text = format!("the tables on the target are not those of the plan: {}", listed(&differences));
        return Err(Error::new(Kind::TargetOccupied, text).with_hint(
            "nothing was changed; run `turso2neon plan --schema-from target` and `turso2neon convert`, then push again",
        ));
    }
    let (action, reason) = if in_place.entering().next().is_some() {
        (Action::Load, "the application created the tables")
    } else {
        (Action::Diff, "the tables of the application have rows of the last push")
    };
    Ok(Choice { alteration, ..Choice::new(action, reason) })
}

/// Refuses to change or remove rows that no push brought, unless the user allows it. Rows that stay as they are need no
/// permission. `plan` has the rows that differ.
///
/// # Errors
/// `TargetOccupied`.
pub(crate) fn require_consent(request: &PushRequest, manifest: &Manifest, plan: &PushPlan) -> Result<()> {
    let existing = manifest.plan.existing_schema.iter().flat_map(|existing| &existing.tables);
    let histories: Vec<_> = existing
        .filter_map(|table| {
            let columns = table.columns.iter().map(|column| column.name.as_str());
            migration_history::recognise(&table.name, columns)
        })
        .collect();
    let is_lossy = |changes: crate::model::row_changes::RowChanges| changes.updated + changes.deleted > 0;
    let refused: Vec<_> = plan
        .tables
        .iter()
        .filter(|table| table.changes.is_some_and(is_lossy))
        .filter(|table| {
            !request.is_forced(&table.name) && !migration_history::is_filled_by_migrations(&table.name, &histories)
        })
        .filter_map(|table| Some((table.name.as_str(), table.rows_there?)))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let tables: Vec<String> =
        refused.iter().map(|(name, rows)| format!("{name} ({})", counted(*rows, "row", "rows"))).collect();
    let flags = match refused.as_slice() {
        few if few.len() <= 5 => {
            few.iter().map(|(name, _)| format!("--force-table {name}")).collect::<Vec<_>>().join(" ")
        }
        _ => "--force-table '*'".to_owned(),
    };
    let text =
        format!("these tables on the target already contain rows that the source does not have: {}", listed(&tables));
    Err(Error::new(Kind::TargetOccupied, text).with_hint(format!(
        "no row was changed; remove the rows, or add {flags}: the rows are replaced, and `turso2neon rollback` restores them"
    )))
}

fn listed(items: &[String]) -> String {
    let mut list = items.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > NAMED {
        list.push_str(&format!(" and {} more", items.len() - NAMED));
    }
    list
}
