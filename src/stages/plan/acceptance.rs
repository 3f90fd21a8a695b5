//! Marks accepted findings, and decides whether the others block the load.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind, Result},
    model::{DroppedObject, Finding, FindingCode, Plan, Severity, Stage, human_format::counted, overrides::Overrides},
};

/// The most places that one message names.
const PLACES_NAMED_MOST: usize = 20;

/// The code that accepts every finding that needs a decision.
const ALL: &str = "all";

/// Marks accepted findings; what the configuration asks for by a column's name is marked already. What PostgreSQL can't
/// hold can't be accepted.
pub(super) fn accept(findings: &mut [Finding], accepted: &BTreeMap<String, Vec<String>>) {
    let covers = |code: &str, finding: &Finding| {
        let places = accepted.get(code)?;
        places.iter().any(|place| is_at(finding, place)).then_some(())
    };
    for finding in findings.iter_mut().filter(|finding| finding.severity < Severity::Refused) {
        let by_code = covers(finding.code.word(), finding).is_some();
        let by_all = finding.severity == Severity::NeedsDecision && covers(ALL, finding).is_some();
        finding.accepted |= by_code || by_all;
    }
}

/// Makes the loss of views, triggers and indexes a finding that needs a decision.
pub(super) fn be_strict(findings: &mut [Finding]) {
    let lost = [FindingCode::ViewNotCarried, FindingCode::TriggerNotCarried, FindingCode::IndexNotCarried];
    let needs_none = |finding: &&mut Finding| finding.severity < Severity::NeedsDecision;
    for finding in findings.iter_mut().filter(|finding| lost.contains(&finding.code)).filter(needs_none) {
        finding.severity = Severity::NeedsDecision;
        finding.choices.push(format!("--accept {}@{}", finding.code.word(), finding.place()));
    }
    order(findings);
}

/// The order in which a plan has its findings.
pub(super) fn order(findings: &mut [Finding]) {
    findings.sort_by_cached_key(|finding| {
        (std::cmp::Reverse(finding.severity), finding.code, finding.place(), finding.message.clone())
    });
}

/// Whether a place of the configuration names the finding's place: all, its table, or its table and column.
fn is_at(finding: &Finding, place: &str) -> bool {
    place == "*"
        || finding.table.as_deref().is_some_and(|table| table.eq_ignore_ascii_case(place))
        || finding.place().eq_ignore_ascii_case(place)
}

/// The verdict on a plan before anything is loaded: `DataRefused` (exit 5) if PostgreSQL can't hold a value as
/// planned, `PlanBlocked` (exit 1) if a finding needs a decision.
///
/// # Errors
/// As said, with the number of findings and the first place.
pub fn refuse_if_blocked(plan: &Plan) -> Result<()> {
    let of = |severity: Severity| plan.blocking().filter(move |finding| finding.severity == severity);
    let (kind, severity) = if of(Severity::Refused).next().is_some() {
        (Kind::DataRefused, Severity::Refused)
    } else {
        (Kind::PlanBlocked, Severity::NeedsDecision)
    };
    let Some(first) = of(severity).next() else { return Ok(()) };
    let mut places: Vec<String> = of(severity).map(Finding::place).filter(|place| *place != first.place()).collect();
    places.dedup();
    let others = u64::try_from(of(severity).count() - 1).unwrap_or(u64::MAX);
    let mut more = match others {
        0 => String::new(),
        others => format!("; {} like it", counted(others, "more finding", "more findings")),
    };
    if !places.is_empty() {
        let named = places.iter().take(PLACES_NAMED_MOST).cloned().collect::<Vec<_>>().join(", ");
        more.push_str(&format!(" at {named}"));
    }
    if let Some(unnamed) = places.len().checked_sub(PLACES_NAMED_MOST).filter(|unnamed| *unnamed > 0) {
        more.push_str(&format!(" and {unnamed} more"));
    }
    let mut error = Error::new(kind, format!("{}{more}", first.message)).in_stage(Stage::Plan);
    if let Some(table) = &first.table {
        error = error.at_table(table);
    }
    if let Some(column) = &first.column {
        error = error.at_column(column);
    }
    Err(match first.choices.first() {
        Some(choice) if kind == Kind::DataRefused => error.with_hint(format!("{choice}; {}", kind.hint())),
        Some(choice) => error.with_hint(format!("{choice}; plan/assessment.md lists all findings and choices")),
        None => error,
    })
}

/// The verdict on what a load dropped: `PlanBlocked` (exit 1) if something of it guards data, or the user wants to decide
/// on each object, and isn't accepted.
///
/// # Errors
/// As said, with the first object.
pub fn refuse_if_unguarded(dropped: &[DroppedObject], overrides: &Overrides) -> Result<()> {
    let mut findings: Vec<Finding> = dropped.iter().map(DroppedObject::finding).collect();
    if overrides.strict {
        be_strict(&mut findings);
    }
    accept(&mut findings, &overrides.accepted());
    let Some(first) = findings.iter().find(|finding| finding.blocks()) else { return Ok(()) };
    let place = first.place();
    let error = Error::new(Kind::PlanBlocked, format!("{place} can't be created as it is: {}", first.message));
    Err(error
        .with_hint(format!("--accept {}@{place} goes on without it; its SQL is then in the report", first.code.word())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::conversion_plan::PLAN_FORMAT;

    fn finding(severity: Severity, table: &str, column: &str) -> Finding {
        Finding::new(FindingCode::KeysMerged, severity, "words").at_table(table).at_column(column)
    }

    fn accepted(code: &str, place: &str, severity: Severity) -> bool {
        let mut findings = [finding(severity, "Users", "name")];
        accept(&mut findings, &BTreeMap::from([(code.to_owned(), vec![place.to_owned()])]));
        findings[0].accepted
    }

    #[test]
    fn acceptance_is_by_code_and_place() {
        for (code, place, expected) in [
            ("keys-merged", "*", true),
            ("keys-merged", "users", true),
            ("keys-merged", "users.NAME", true),
            ("keys-merged", "users.id", false),
            ("keys-merged", "name", false),
            ("orphan-rows", "*", false),
            ("all", "*", true),
        ] {
            assert_eq!(accepted(code, place, Severity::NeedsDecision), expected, "{code}@{place}");
            assert!(!accepted(code, place, Severity::Refused), "{code}@{place}");
        }
        assert!(!accepted("all", "*", Severity::Warning));
    }

    #[test]
    fn what_can_not_be_held_comes_before_what_needs_a_decision() {
        let mut plan = Plan {
            format: PLAN_FORMAT,
            tool: String::new(),
            dump_sha256: String::new(),
            overrides_sha256: String::new(),
            consents: std::collections::BTreeMap::new(),
            existing_schema: None,
            weakened: Vec::new(),
            sequences: Vec::new(),
            hooks: crate::model::overrides::UserSql::default(),
            schema: "public".to_owned(),
            extensions: Vec::new(),
            tables: Vec::new(),
            views: Vec::new(),
            triggers: Vec::new(),
            objects: Vec::new(),
            findings: vec![finding(Severity::Warning, "a", "b")],
        };
        assert!(refuse_if_blocked(&plan).is_ok());
        plan.findings.push(finding(Severity::NeedsDecision, "t", "c"));
        plan.findings.push(finding(Severity::NeedsDecision, "t", "d"));
        let error = refuse_if_blocked(&plan).unwrap_err();
        assert_eq!((error.kind(), error.table(), error.column()), (Kind::PlanBlocked, Some("t"), Some("c")));
        assert!(error.message().ends_with("1 more finding like it at t.d"), "{error}");
        plan.findings.push(finding(Severity::Refused, "x", "y"));
        let error = refuse_if_blocked(&plan).unwrap_err();
        assert_eq!((error.kind(), error.table()), (Kind::DataRefused, Some("x")));
    }
}
