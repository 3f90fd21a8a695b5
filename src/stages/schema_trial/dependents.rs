//! What becomes of objects that need others: of foreign keys whose parent has no key, of objects of tables that the
//! source does not fill, and of views.

use tokio_postgres::error::SqlState;

use super::{Trial, objects::unusable};
use crate::{
    error::{Error, Result},
    model::{
        Finding, FindingCode, Severity,
        catalog::{CatalogObject, ForeignKeyDefinition, ObjectFacts, ObjectKind, ObjectName},
        existing_schema::{WeakenedObject, WeakerForm},
    },
};

/// SQLSTATE classes of what rows are to blame for: data, integrity constraints, limits, exceptions of functions.
const OF_ROWS: [&str; 5] = ["21", "22", "23", "54", "P0"];

impl Trial<'_> {
    /// An object of a table that the source has no rows for.
    pub(super) fn of_other_table(
        &mut self,
        object: &CatalogObject,
        foreign_key: Option<&ForeignKeyDefinition>,
        error: &Error,
    ) -> Result<()> {
        let Some(key) = foreign_key else { return self.of_filled_relation(object, error) };
        if matches!(&object.facts, ObjectFacts::Constraint(constraint) if !constraint.validated) {
            return Ok(());
        }
        let words = object.name.words(&self.existing.catalog.schema);
        let message = format!(
            "rows of the existing table {} refer to rows of {} that the source does not have: the {words} is created NOT \
             VALID",
            object.name.table, key.table
        );
        let place = self
            .tables
            .iter()
            .find(|table| table.name.name == key.table)
            .map_or(&key.table, |table| &table.plan.source);
        let accept = format!("--accept orphan-rows@{place}");
        self.findings.push(
            Finding::new(FindingCode::OrphanRows, Severity::NeedsDecision, message).at_table(place).choice(accept),
        );
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotValid });
        Ok(())
    }

    /// Whether the key that a foreign key refers to is not created.
    pub(super) fn parent_key_is_missing(&self, object: &CatalogObject, key: &ForeignKeyDefinition) -> bool {
        let catalog = &self.existing.catalog;
        let needs = object.needs.iter().filter_map(|place| catalog.objects.get(*place));
        let mut keys = needs.filter(|need| need.name.table == key.table && need.name.schema == key.schema);
        keys.any(|need| {
            let weakened = self.weakened.iter().filter(|weakened| weakened.name == need.name);
            weakened.into_iter().any(|weakened| weakened.form == WeakerForm::NotCreated)
        })
    }

    pub(super) fn report_parent(&mut self, object: &CatalogObject) {
        let source = self.table_of(&object.name).map_or(object.name.table.clone(), |table| table.plan.source.clone());
        let message =
            format!("the foreign key {} is not created: the key that it refers to is not created", object.name.name);
        let accept = format!("--accept foreign-key-not-carried@{source}");
        let finding = Finding::new(FindingCode::ForeignKeyNotCarried, Severity::NeedsDecision, message);
        self.findings.push(finding.at_table(source).choice(accept));
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotCreated });
    }

    /// An index of a materialized view, or an object of another table, that its rows break.
    fn of_filled_relation(&mut self, object: &CatalogObject, error: &Error) -> Result<()> {
        let table = ObjectName::new(ObjectKind::Table, &object.name.schema, &object.name.table);
        let is_of_view = self.existing.catalog.object(&table).is_none();
        // A view that can't be created here, although no row is to blame.
        if is_of_view && error.sqlstate() == Some(&SqlState::UNDEFINED_TABLE) {
            return Ok(());
        }
        if !is_of_view || !error.is_of_sqlstate_class(&OF_ROWS) {
            return Err(unusable(object, &self.existing.catalog.schema, error));
        }
        self.report_not_created(object, &format!("rows of {} break it", object.name.table));
        Ok(())
    }

    /// Whether something that an object needs is not created.
    pub(super) fn lacks_need(&self, object: &CatalogObject) -> bool {
        self.missing_need(object).is_some()
    }

    fn missing_need(&self, object: &CatalogObject) -> Option<&ObjectName> {
        let catalog = &self.existing.catalog;
        let needs = object.needs.iter().filter_map(|place| catalog.objects.get(*place));
        let is_missing = |name: &ObjectName| {
            self.weakened.iter().any(|weakened| weakened.name == *name && weakened.form == WeakerForm::NotCreated)
        };
        needs.map(|need| &need.name).find(|name| is_missing(name))
    }

    /// An object that is no constraint and no index of a table. Only materialized views read rows when they are created.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) async fn try_dependent(&mut self, object: &CatalogObject) -> Result<()> {
        let home = &self.existing.catalog.schema;
        if let Some(need) = self.missing_need(object) {
            let why = format!("{} is not created", need.words(home));
            self.report_not_created(object, &why);
            return Ok(());
        }
        let is_read = self.tables.iter().any(|table| table.is_whole);
        let kinds = [ObjectKind::Function, ObjectKind::View, ObjectKind::MaterializedView];
        if !is_read || !kinds.contains(&object.name.kind) {
            return Ok(());
        }
        if let Some(error) = self.attempt(&object.create).await?
            && object.name.kind == ObjectKind::MaterializedView
            && error.is_of_sqlstate_class(&OF_ROWS)
        {
            self.report_not_created(object, &format!("its query fails: {}", error.message()));
        }
        Ok(())
    }

    /// A constraint that is NOT VALID in the existing schema holds for the rows that a push changes, too: it is taken away
    /// for them and put back.
    pub(super) fn report_not_valid(&mut self, object: &CatalogObject, table: &str, count: u64) {
        let message = format!(
            "{} the {}, which is NOT VALID in the existing schema and stays so",
            if count == 1 { "1 row breaks".to_owned() } else { format!("{count} rows break") },
            object.name.words(&self.existing.catalog.schema)
        );
        let finding = Finding::new(FindingCode::Advice, Severity::Info, message);
        self.findings.push(finding.at_table(table).counting(count));
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotValid });
    }

    /// An object is left out, if the user agrees.
    fn report_not_created(&mut self, object: &CatalogObject, why: &str) {
        let code = match object.name.kind {
            ObjectKind::View | ObjectKind::MaterializedView => FindingCode::ViewNotCarried,
            ObjectKind::Trigger => FindingCode::TriggerNotCarried,
            ObjectKind::Index => FindingCode::IndexNotCarried,
            ObjectKind::Constraint => FindingCode::UniqueNotCarried,
            _ => FindingCode::ClauseNotCarried,
        };
        let table = self.table_of(&object.name).map(|table| table.plan.source.clone());
        let name = if object.name.table.is_empty() { &object.name.name } else { &object.name.table };
        let table = table.unwrap_or_else(|| name.clone());
        let message = format!("the {} is not created: {why}", object.name.words(&self.existing.catalog.schema));
        let accept = format!("--accept {}@{table}", code.word());
        let finding = Finding::new(code, Severity::NeedsDecision, message);
        self.findings.push(finding.at_table(table).choice(accept));
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotCreated });
    }
}
