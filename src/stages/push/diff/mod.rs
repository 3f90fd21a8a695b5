//! A push that changes only what differs, in place: find, send, apply.
//!
//! Readers see the old rows, then in one commit the new ones; views, foreign keys, grants, policies and triggers of
//! others stay as they are, because the tables do.

mod apply;

mod row_diff;

mod unique_swaps;

mod row_identity;

pub(super) use apply::{Item, Work};
pub(super) use row_diff::{Change, Ends, Found, find_all};
pub(super) use row_identity::Shape;
pub(super) use unique_swaps::{Rows, facts};
