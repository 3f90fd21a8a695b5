//! What a push does, chosen by the requested mode and by what the target holds.

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        TableDigest,
        push_plan::{Action, RequestedMode},
    },
    postgres::Session,
    stages::push::plan::{
        alteration::{self, Alteration},
        in_place,
        manifest::Manifest,
        preflight::TargetState,
        request::{PushPart, PushRequest},
        structure,
    },
};

/// What a push does, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What.
    pub action: Action,
    /// Why, as half a sentence.
    pub reason: String,
    /// What is altered first instead; the action is what happens where that turns out to be impossible.
    pub alteration: Option<Alteration>,
}

impl Choice {
    pub(crate) fn new(action: Action, reason: impl Into<String>) -> Self {
        Self { action, reason: reason.into(), alteration: None }
    }
}

/// Why an action was taken that the user asked for.
const fn requested(part: PushPart) -> &'static str {
    match part {
        PushPart::All => "--mode asks for it",
        PushPart::Schema => "--schema-only asks for the tables alone",
        PushPart::Rows => "--data-only asks for the rows alone",
    }
}

/// Chooses for a target that does not hold the tables already.
///
/// # Errors
/// `Usage`, `TargetOccupied` if the target does not allow what was asked for; `Local*`, `Target*`.
pub(crate) async fn choose(
    ctx: &Context,
    (control, reader): (&Session, &Session),
    manifest: &Manifest,
    target_state: &TargetState,
    request: &PushRequest,
) -> Result<Choice> {
    let (mode, part) = (request.mode, request.part);
    if let Some(tables) = &target_state.in_place {
        return in_place::choose((control, reader), manifest, tables, request).await;
    }
    let pushed = !target_state.record.live.is_empty();
    match part {
        PushPart::Schema if pushed => return Err(schema_exists()),
        PushPart::Rows if !pushed => return Err(no_schema()),
        PushPart::All | PushPart::Schema | PushPart::Rows => {}
    }
    if !pushed {
        return match mode {
            RequestedMode::Diff => {
                Err(Error::new(Kind::Usage, "--mode diff requires tables that an earlier push created")
                    .with_hint("use --mode auto, which creates them"))
            }
            RequestedMode::Auto if part == PushPart::All => {
                Ok(Choice::new(Action::Create, "the target has none of these tables"))
            }
            _ => Ok(Choice::new(Action::Create, requested(part))),
        };
    }
    match mode {
        RequestedMode::Create => {
            let text = "the target holds tables of an earlier push, and --mode is create";
            return Err(
                Error::new(Kind::TargetOccupied, text).with_hint("use --mode auto, which changes or replaces them")
            );
        }
        RequestedMode::Auto if only_awaits_rows(manifest, target_state) => {
            return Ok(Choice::new(Action::Swap, "the tables of the last push have no rows yet"));
        }
        RequestedMode::Auto if request.fresh => return Ok(Choice::new(Action::Swap, "--fresh begins anew")),
        RequestedMode::Swap => return Ok(Choice::new(Action::Swap, requested(part))),
        RequestedMode::Auto | RequestedMode::Diff | RequestedMode::Replace => {}
    }
    let replaces = mode == RequestedMode::Replace;
    let difference = match target_state.altered_table() {
        Some(name) => Some(format!("others changed the structure of table {name}")),
        None => structure::difference(control, reader, manifest, target_state, &request.schema, replaces).await?,
    };
    match (difference, mode) {
        (None, RequestedMode::Auto) => Ok(Choice::new(Action::Diff, "the tables of the last push have this structure")),
        (None, RequestedMode::Replace) => Ok(Choice::new(Action::ReplaceRows, requested(part))),
        (None, _) => Ok(Choice::new(Action::Diff, requested(part))),
        (Some(difference), _) if part == PushPart::Rows => Err(Error::new(
            Kind::TargetOccupied,
            format!("--data-only requires tables of this structure: {difference}"),
        )
        .with_hint("leave --data-only out: the tables are replaced then")),
        (Some(difference), RequestedMode::Diff) => {
            Err(Error::new(Kind::Usage, format!("--mode diff can't change these tables in place: {difference}"))
                .with_hint("use --mode auto or swap, which replace the tables"))
        }
        (Some(_), RequestedMode::Replace) => Ok(Choice::new(Action::DropAndCreate, requested(part))),
        (Some(difference), RequestedMode::Auto) if target_state.altered_table().is_none() => {
            let alteration = alteration::find(ctx, (control, reader), manifest, target_state, request).await?;
            if alteration.is_none() {
                ctx.out.info(format!("the tables are replaced, because {difference}"));
            }
            Ok(Choice { alteration, ..Choice::new(Action::Swap, difference) })
        }
        (Some(difference), _) => {
            ctx.out.info(format!("the tables are replaced, because {difference}"));
            Ok(Choice::new(Action::Swap, difference))
        }
    }
}

/// Refuses to replace whole tables where some have to stay as they are.
///
/// # Errors
/// `TargetDrifted`.
pub(crate) fn require_kept_in_place(target_state: &TargetState, choice: &Choice) -> Result<()> {
    if target_state.kept.is_empty() || choice.action.changes_rows() {
        return Ok(());
    }
    let kept: Vec<&str> = target_state.kept.iter().map(String::as_str).collect();
    let text = format!(
        "--on-drift keep leaves tables as they are only where rows are changed in place, and whole tables have to \
         be replaced ({}); others changed: {}",
        choice.reason,
        kept.join(", ")
    );
    Err(Error::new(Kind::TargetDrifted, text)
        .with_hint("nothing was changed; use --on-drift overwrite, or push into another --schema"))
}

/// The choice where rows could not be changed in place because of a constraint.
pub(crate) fn without_diff() -> Choice {
    Choice::new(Action::Swap, "the rows can't be changed in place")
}

/// Whether the target has what `--schema-only` left: then loading whole tables is quicker than changing them.
fn only_awaits_rows(manifest: &Manifest, target_state: &TargetState) -> bool {
    manifest.rows() > 0
        && target_state.record.live.iter().all(|table| table.digest == Some(TableDigest::EMPTY))
        && target_state.require_clear(Action::Swap).is_ok()
}

fn schema_exists() -> Error {
    Error::new(Kind::TargetOccupied, "--schema-only creates tables, and the target holds those of an earlier push")
        .with_hint("use `turso2neon push`, which changes or replaces them, or --data-only, which changes their rows")
}

fn no_schema() -> Error {
    Error::new(Kind::TargetOccupied, "--data-only requires tables that an earlier push created, and there are none")
        .with_hint("run `turso2neon push --schema-only` first, or `turso2neon push` for all of it")
}
