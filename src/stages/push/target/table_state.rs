//! The states of tables, views and functions in the record on the target, and how a push or a rollback changes them.

use crate::model::identifier::quote_literal;

words! {
    /// Where a recorded table, view or function is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum RecordState: word {
        /// Loaded into the staging schema; readers don't see it yet. Tables only.
        Staged = "staged",
        /// Readers see it.
        Live = "live",
        /// The last push replaced it; it is kept for a rollback.
        Previous = "previous",
        /// Replaced by the push before the last one; to be dropped. Views and functions only.
        Old = "old",
    }
}

words! {
    /// A table of the record on the target.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Recorded: word {
        /// `turso2neon.tables`.
        Tables = "tables",
        /// `turso2neon.objects`: views and trigger functions.
        Objects = "objects",
    }
}

/// What happens to everything that is recorded of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The staged tables take the places of the live ones, which become the previous ones.
    CutOver,
    /// The live and the previous ones change places.
    RollBack,
    /// The previous ones are dropped.
    DropPrevious,
    /// The live ones are dropped.
    DropLive,
}

/// One change of state. What is in `from` and is not known to be there any more was dropped, renamed or moved by
/// somebody: it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Move {
    from: RecordState,
    /// None: forgotten.
    to: Option<RecordState>,
    /// Those that were last seen in this state; everything in `from` if none.
    seen: Option<RecordState>,
}

const fn forget(from: RecordState) -> Move {
    Move { from, to: None, seen: None }
}

const fn all(from: RecordState, to: RecordState) -> Move {
    Move { from, to: Some(to), seen: None }
}

const fn those_seen(seen: RecordState, from: RecordState, to: RecordState) -> Move {
    Move { from, to: Some(to), seen: Some(seen) }
}

impl Transition {
    /// The changes of state in their order. No two tables of one name may have one state, so tables that change places
    /// are `staged` in between.
    fn moves(self, recorded: Recorded) -> Vec<Move> {
        use RecordState::{Live, Old, Previous, Staged};
        match (self, recorded) {
            (Self::CutOver, Recorded::Tables) => {
                vec![forget(Previous), those_seen(Live, Live, Previous), forget(Live), all(Staged, Live)]
            }
            (Self::CutOver, Recorded::Objects) => {
                vec![
                    those_seen(Previous, Previous, Old),
                    forget(Previous),
                    those_seen(Live, Live, Previous),
                    forget(Live),
                ]
            }
            (Self::RollBack, Recorded::Tables) => vec![
                forget(Staged),
                those_seen(Previous, Previous, Staged),
                forget(Previous),
                those_seen(Live, Live, Previous),
                forget(Live),
                all(Staged, Live),
            ],
            (Self::RollBack, Recorded::Objects) => vec![
                those_seen(Previous, Previous, Old),
                forget(Previous),
                those_seen(Live, Live, Previous),
                forget(Live),
                those_seen(Previous, Old, Live),
                forget(Old),
            ],
            (Self::DropPrevious, _) => vec![forget(Previous)],
            (Self::DropLive, _) => vec![forget(Live)],
        }
    }

    /// The statements that record it. `live` and `previous` are the OIDs that were seen in these states.
    pub(crate) fn statements(self, recorded: Recorded, schema: &str, live: &[u32], previous: &[u32]) -> Vec<String> {
        let table = recorded.word();
        let statement = |step: &Move| {
            let of = format!("target_schema = {} AND state = '{}'", quote_literal(schema), step.from.word());
            let Some(to) = step.to else { return format!("DELETE FROM turso2neon.{table} WHERE {of}") };
            let which = match step.seen {
                Some(RecordState::Live) => format!(" AND oid = ANY ({})", oids(live)),
                Some(_) => format!(" AND oid = ANY ({})", oids(previous)),
                None => String::new(),
            };
            format!("UPDATE turso2neon.{table} SET state = '{}' WHERE {of}{which}", to.word())
        };
        self.moves(recorded).iter().map(statement).collect()
    }
}

fn oids(list: &[u32]) -> String {
    let list: Vec<String> = list.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::oid[]", list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    use RecordState::{Live, Old, Previous, Staged};

    /// What becomes of something in a state. `known` if the look at the target found it there.
    fn expected(recorded: Recorded, transition: Transition, state: RecordState, known: bool) -> Option<RecordState> {
        match (recorded, transition, state) {
            (Recorded::Tables, Transition::CutOver, Staged) => Some(Live),
            (_, Transition::CutOver | Transition::RollBack, Live) => known.then_some(Previous),
            (Recorded::Tables, Transition::CutOver, Previous) => None,
            (Recorded::Objects, Transition::CutOver, Previous) => known.then_some(Old),
            (_, Transition::RollBack, Previous) => known.then_some(Live),
            (Recorded::Tables, Transition::RollBack, Staged) => None,
            (Recorded::Objects, Transition::RollBack, Old) => None,
            (_, Transition::DropPrevious, Previous) | (_, Transition::DropLive, Live) => None,
            (_, _, state) => Some(state),
        }
    }

    /// Runs the moves as the statements do.
    fn moved(recorded: Recorded, transition: Transition, state: RecordState, known: bool) -> Option<RecordState> {
        transition.moves(recorded).into_iter().try_fold(state, |now, step| {
            let meant = step.from == now && step.seen.is_none_or(|seen| known && seen == state);
            if meant { step.to } else { Some(now) }
        })
    }

    #[test]
    fn every_transition_ends_in_the_expected_state() {
        for recorded in [Recorded::Tables, Recorded::Objects] {
            let none = if recorded == Recorded::Tables { Old } else { Staged };
            for transition in
                [Transition::CutOver, Transition::RollBack, Transition::DropPrevious, Transition::DropLive]
            {
                for state in [Staged, Live, Previous, Old].into_iter().filter(|state| *state != none) {
                    for known in [true, false] {
                        let found = moved(recorded, transition, state, known);
                        let wanted = expected(recorded, transition, state, known);
                        assert_eq!(found, wanted, "{recorded:?} {transition:?} {state:?} known {known}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_move_meets_a_table_of_the_same_name_in_its_new_state() {
        for transition in [Transition::CutOver, Transition::RollBack] {
            // A table of one name in every state that tables have.
            let mut taken = vec![Staged, Live, Previous];
            for step in transition.moves(Recorded::Tables) {
                taken.retain(|state| *state != step.from);
                if let Some(to) = step.to {
                    assert!(!taken.contains(&to), "{transition:?}: {step:?}");
                    taken.push(to);
                }
            }
        }
    }

    #[test]
    fn a_rollback_is_two_statements_per_state() {
        let sql = Transition::RollBack.statements(Recorded::Tables, "app", &[7], &[8, 9]);
        assert_eq!(
            sql[1],
            "UPDATE turso2neon.tables SET state = 'staged' WHERE target_schema = 'app' AND state = 'previous' AND oid = ANY ('{8,9}'::oid[])"
        );
        assert_eq!(sql[4], "DELETE FROM turso2neon.tables WHERE target_schema = 'app' AND state = 'live'");
    }
}
