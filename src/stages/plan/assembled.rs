//! Collects the parts of a plan that are assembled so far.

use crate::model::{
    Finding, TablePlan,
    conversion_plan::ObjectPlan,
    existing_schema::{SequenceStart, WeakenedObject},
    view_trigger_plan::{TriggerPlan, ViewPlan},
};

/// Tables, objects and findings of a plan.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    pub(super) tables: Vec<TablePlan>,
    pub(super) views: Vec<ViewPlan>,
    pub(super) triggers: Vec<TriggerPlan>,
    pub(super) objects: Vec<ObjectPlan>,
    pub(super) findings: Vec<Finding>,
    pub(super) weakened: Vec<WeakenedObject>,
    pub(super) sequences: Vec<SequenceStart>,
}
