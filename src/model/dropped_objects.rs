//! Lists the objects that `convert` tried and did not create, because SQLite and PostgreSQL gave different answers over
//! the rows that were loaded. The plan is made without a PostgreSQL; this is where its promises meet one.

use serde::{Deserialize, Serialize};

use super::{
    conversion_plan::{Outcome, Plan, TablePlan},
    finding::{Finding, FindingCode, Severity},
};

words! {
    /// The kind of an object that can be dropped.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum DroppedObjectKind: word {
        /// A CHECK constraint.
        Check = "check",
        /// An index.
        Index = "index",
        /// The expression of a generated column: the column is there, filled with SQLite's values.
        Generated = "generated column",
        /// A view.
        View = "view",
        /// A trigger with its function.
        Trigger = "trigger",
    }
}

impl DroppedObjectKind {
    const fn code(self) -> FindingCode {
        match self {
            Self::Check => FindingCode::CheckNotCarried,
            Self::Index => FindingCode::IndexNotCarried,
            Self::Generated => FindingCode::GeneratedAsPlain,
            Self::View => FindingCode::ViewNotCarried,
            Self::Trigger => FindingCode::TriggerNotCarried,
        }
    }
}

/// One object that was not created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedObject {
    /// Its kind.
    pub kind: DroppedObjectKind,
    /// The source table.
    pub table: String,
    /// PostgreSQL's name of the constraint, index or column.
    pub object: String,
    /// SQLite's name, by which [`Plan::objects`] lists it.
    pub source: String,
    /// Why: a sentence without values.
    pub reason: String,
    /// The source's SQL, for finishing by hand.
    pub sql: String,
    /// It guards data (a check, a unique index): it is left out only with the user's consent.
    #[serde(default)]
    pub guards: bool,
}

impl DroppedObject {
    /// What the user should know.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let severity = if self.guards { Severity::NeedsDecision } else { Severity::Warning };
        Finding::new(self.kind.code(), severity, &self.reason)
            .at_table(&self.table)
            .at_column(&self.source)
            .with_sql(&self.sql)
    }
}

/// The plan as `convert` carried it out, in `convert/plan.json`. Later stages read it instead of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecutedPlan {
    /// Format of this document: that of the plan in it.
    pub format: u32,
    /// SHA-256 of the `plan/plan.json` that was carried out.
    pub plan_sha256: String,
    /// The plan without the objects that were not created.
    pub plan: Plan,
}

impl Plan {
    /// The plan as it was carried out: without what was dropped, which becomes findings and outcomes.
    #[must_use]
    pub fn without(mut self, dropped: &[DroppedObject]) -> Self {
        for one in dropped {
            match one.kind {
                DroppedObjectKind::View => self.views.retain(|view| view.name != one.object),
                DroppedObjectKind::Trigger => {
                    self.triggers.retain(|trigger| trigger.name != one.object || trigger.source != one.source);
                }
                DroppedObjectKind::Check | DroppedObjectKind::Index | DroppedObjectKind::Generated => {}
            }
            if let Some(table) = self.tables.iter_mut().find(|table| table.source == one.table) {
                remove(table, one);
            }
            let mentioned = self.objects.iter_mut().find(|object| {
                object.kind == one.kind.word() && object.table == one.table && object.source == one.source
            });
            if let Some(object) = mentioned {
                object.outcome = Outcome::NotCarried;
                object.reason.clone_from(&one.reason);
            }
            // A load that drops without consent doesn't end.
            self.findings.push(Finding { accepted: one.guards, ..one.finding() });
        }
        self
    }
}

fn remove(table: &mut TablePlan, one: &DroppedObject) {
    match one.kind {
        DroppedObjectKind::Check => table.checks.retain(|check| check.name != one.object),
        DroppedObjectKind::Index => table.indexes.retain(|index| index.name != one.object),
        DroppedObjectKind::Generated => {
            let columns = table.columns.iter_mut().filter(|column| column.name == one.object);
            columns.for_each(|column| column.generated = None);
        }
        DroppedObjectKind::View | DroppedObjectKind::Trigger => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_leaves_the_plan_and_enters_the_findings() {
        let plan: Plan = serde_json::from_value(serde_json::json!({
            "format": 1, "tool": "", "dump_sha256": "", "overrides_sha256": "", "schema": "public", "extensions": [],
            "tables": [{
                "source": "T", "name": "t", "rows": 0, "bytes": 0, "address": {"by": "ordinal"}, "columns": [],
                "checks": [{"name": "a", "expression": "true"}, {"name": "b", "expression": "true"}],
            }],
            "objects": [{"kind": "check", "source": "A", "table": "T", "outcome": "translated"}],
            "findings": [],
        }))
        .unwrap();
        let dropped = DroppedObject {
            kind: DroppedObjectKind::Check,
            table: "T".to_owned(),
            object: "a".to_owned(),
            source: "A".to_owned(),
            reason: "the two differ on 3 rows".to_owned(),
            sql: "CHECK (x > 0)".to_owned(),
            guards: true,
        };
        let left = plan.without(&[dropped]);
        let names: Vec<&str> = left.tables[0].checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["b"]);
        assert_eq!(left.objects[0].outcome, Outcome::NotCarried);
        assert_eq!(left.with_code(FindingCode::CheckNotCarried).count(), 1);
    }
}
