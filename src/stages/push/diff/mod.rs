//! A push that changes only what differs, in place: find, send, apply.
//!
//! Readers see the old rows, then in one commit the new ones; views, foreign keys, grants, policies and triggers of
//! others stay as they are, because the tables do.

mod apply;

mod find;

mod parking;

mod shape;

pub(super) use apply::{Item, Work};
pub(super) use find::{Change, Ends, Found, find_all};
pub(super) use parking::{Rows, facts};
pub(super) use shape::Shape;
