//! Plans views and triggers: what is translated, and what is listed with its SQL instead.

use std::collections::BTreeMap;

use super::assembled::Assembled;
use crate::{
    model::{
        Finding, FindingCode, Severity,
        conversion_plan::{ObjectPlan, Outcome},
        overrides::Identifiers,
        source_schema::{SourceObject, SourceSchema},
    },
    rules::{query, trigger},
};

/// Translates views and triggers. `names` are the PostgreSQL names of views, by SQLite's.
pub(super) fn translate(
    schema: &SourceSchema,
    names: &BTreeMap<String, String>,
    identifiers: Identifiers,
    all: &mut Assembled,
) {
    let views = query::views(schema, &all.tables, names, identifiers);
    for view in &schema.views {
        match views.lost.iter().find(|lost| lost.name == view.name) {
            Some(lost) => not_carried(all, "view", view, &lost.reason),
            None => translated(all, "view", view),
        }
    }
    let triggers = trigger::triggers(schema, &all.tables, &views, identifiers);
    for source in &schema.triggers {
        match triggers.lost.iter().find(|lost| lost.name == source.name) {
            Some(lost) => not_carried(all, "trigger", source, &lost.reason),
            None => {
                translated(all, "trigger", source);
                let message = "the trigger is translated to PL/pgSQL; what it does is tried on PostgreSQL, but not \
                               compared with SQLite's doing";
                let finding = Finding::new(FindingCode::Advice, Severity::Info, message);
                all.findings.push(finding.at_table(&source.table).at_column(&source.name));
            }
        }
    }
    all.triggers = triggers.made;
    all.views = views.made;
}

fn object(all: &mut Assembled, kind: &str, source: &SourceObject, outcome: Outcome, reason: &str) {
    all.objects.push(ObjectPlan {
        kind: kind.to_owned(),
        source: source.name.clone(),
        table: source.table.clone(),
        outcome,
        reason: reason.to_owned(),
    });
}

fn translated(all: &mut Assembled, kind: &str, source: &SourceObject) {
    object(all, kind, source, Outcome::Translated, "translated to PostgreSQL's SQL");
}

fn not_carried(all: &mut Assembled, kind: &str, source: &SourceObject, reason: &str) {
    let reason = format!("it is not carried, because {reason}");
    object(all, kind, source, Outcome::NotCarried, &reason);
    let finding = if kind == "view" {
        Finding::new(FindingCode::ViewNotCarried, Severity::Warning, reason).at_table(&source.name)
    } else {
        Finding::new(FindingCode::TriggerNotCarried, Severity::Warning, reason)
            .at_table(&source.table)
            .at_column(&source.name)
    };
    all.findings.push(finding.with_sql(&source.sql));
}
