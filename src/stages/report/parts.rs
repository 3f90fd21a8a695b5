//! Makes the parts of the report that describe decisions, objects and times.

use std::collections::BTreeMap;

use super::{DecisionPart, TimingPart, verify_record::VerifyRecord};
use crate::model::{
    DumpCheckpoint, LoadCheckpoint, Plan, PushCheckpoint,
    checkpoint::LocalServerRecord,
    conversion_plan::{ObjectPlan, Origin, Outcome},
    plan_summary::{self, Decision},
};

pub(super) fn decision_parts(plan: &Plan) -> Vec<DecisionPart> {
    let part = |decision: Decision| {
        let column = plan.table(&decision.table)?.columns.iter().find(|column| column.source == decision.column)?;
        Some(DecisionPart {
            line: decision.line(),
            rule: column.rule.clone(),
            configured: column.origin == Origin::Override,
            records_off_type: column.records_off_type,
            table: decision.table,
            column: decision.column,
            declared: decision.declared,
            pg_type: decision.pg_type,
            reason: decision.reason,
            counts: decision.counts,
            options: decision.options,
        })
    };
    plan_summary::decisions(plan).into_iter().filter_map(part).collect()
}

pub(super) fn changed_objects(plan: &Plan) -> Vec<ObjectPlan> {
    plan.objects.iter().filter(|object| object.outcome != Outcome::Carried).cloned().collect()
}

pub(super) fn carried_objects(plan: &Plan) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for object in plan.objects.iter().filter(|object| object.outcome == Outcome::Carried) {
        *counts.entry(object.kind.clone()).or_insert(0) += 1;
    }
    counts
}

pub(super) fn local_words(local: &LocalServerRecord) -> String {
    match local {
        LocalServerRecord::Managed { version, .. } => format!("PostgreSQL {version}, managed by this tool"),
        LocalServerRecord::External { address, version } => format!("PostgreSQL {version} at {address}"),
    }
}

pub(super) fn timing_parts(
    dump: &DumpCheckpoint,
    convert: Option<&LoadCheckpoint>,
    push: Option<&PushCheckpoint>,
    verification: Option<&VerifyRecord>,
) -> Vec<TimingPart> {
    let whole = |stage: &'static str, started: u64, finished: u64| TimingPart {
        stage,
        phase: String::new(),
        elapsed_ms: finished.saturating_sub(started) * 1000,
    };
    let phases = |stage: &'static str, phases: &BTreeMap<String, u64>| {
        let parts = phases.iter();
        parts.map(|(phase, ms)| TimingPart { stage, phase: phase.clone(), elapsed_ms: *ms }).collect::<Vec<_>>()
    };
    let mut parts = vec![whole("dump", dump.started_s, dump.finished_s)];
    if let Some(load) = convert {
        parts.push(whole("convert", load.started_s, load.finished_s));
        parts.extend(phases("convert", &load.phases_ms));
    }
    if let Some(push) = push {
        parts.push(whole("push", push.started_s, push.finished_s));
        parts.extend(phases("push", &push.phases_ms));
    }
    if let Some(record) = verification {
        parts.push(TimingPart { stage: "verify", phase: String::new(), elapsed_ms: record.elapsed_ms });
    }
    parts
}
