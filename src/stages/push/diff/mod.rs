//! A push that changes only what differs, in place: find, send, apply.
//!
//! Readers see the old rows, then in one commit the new ones; views, foreign keys, grants, policies and triggers of
//! others stay as they are, because the tables do.

mod adoption;

mod apply;

pub(super) mod diff_push;

mod in_place_load;

mod load_order;

mod numbering;

mod row_diff;

pub(super) mod row_undo;

mod unique_swaps;

mod row_identity;

pub(crate) use apply::{ChangeSet, EmptiedTable, TableChange, UnchangedTable};
pub(crate) use in_place_load::{FilledTable, InPlaceLoad};
pub(crate) use row_diff::{DiffSessions, TableDiff, find_all};
pub(crate) use row_identity::RowIdentity;
pub(crate) use unique_swaps::{ChangedRows, facts};
