//! The stored plan: whether it is of the present dump and configuration, and what it was agreed to beside them.
//!
//! What is accepted on the command line belongs to the plan, not to the configuration: it stays with the plan until the
//! dump, the configuration or the version is another one, or `--fresh` forgets it. So a question that is asked without
//! the flags of the command before finds the same plan.

use super::{acceptance, left_out};
use crate::{
    context::Context,
    error::{Kind, Result},
    model::{DumpCheckpoint, Plan, overrides::Overrides},
};

/// A stored plan, and the overrides that it was made with.
pub(super) struct StoredPlan {
    pub plan: Plan,
    pub overrides: Overrides,
}

/// The overrides that the plan was made with: one of these forms, with what was accepted on the command line. None if
/// the plan was made with other ones. A form without an existing schema takes that of the plan.
#[must_use]
pub fn made_with(plan: &Plan, forms: &[Overrides]) -> Option<Overrides> {
    forms.iter().find_map(|form| {
        let existing_schema = form.existing_schema.clone().or_else(|| plan.existing_schema.clone());
        let then = Overrides { existing_schema, consents: plan.consents.clone(), ..form.clone() };
        (then.sha256() == plan.overrides_sha256).then_some(then)
    })
}

impl StoredPlan {
    /// The stored plan, if it is of this dump, one of these forms of the configuration and this version.
    ///
    /// # Errors
    /// `ArtifactDamaged`, `ArtifactNewer`.
    pub(super) fn load(ctx: &Context, dump: &DumpCheckpoint, forms: &[Overrides]) -> Result<Option<Self>> {
        let plan = match ctx.workdir.load_plan() {
            Ok(plan) => plan,
            Err(error) if error.kind() == Kind::ArtifactMissing => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_of_dump = plan.dump_sha256 == dump.sha256
            && dump.left_out.iter().map(left_out).all(|left| {
                plan.objects.iter().any(|object| object.source == left.name && object.reason == left.reason)
            });
        if !is_of_dump || plan.tool != env!("CARGO_PKG_VERSION") {
            return Ok(None);
        }
        Ok(made_with(&plan, forms).map(|overrides| Self { plan, overrides }))
    }

    /// Adds what is accepted now. Says whether that decides a finding which waits for a decision.
    pub(super) fn agree(&mut self, now: &Overrides) -> bool {
        let mut findings = self.plan.findings.clone();
        acceptance::accept(&mut findings, &now.accepted());
        let decides = self.plan.findings.iter().zip(&findings).any(|(then, now)| then.blocks() && !now.blocks());
        if decides {
            self.overrides = self.overrides.clone().agreeing(&now.consents);
        }
        decides
    }
}
