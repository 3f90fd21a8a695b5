//! SQLite's queries to PostgreSQL's, through the parsed tree: views, and the queries in triggers.
//!
//! Every result column is given a type that stands for SQLite's value, so that the rows of both sides can be compared.
//! What has no exact equivalent is refused with the reason. The SQL names tables and views by places, which are filled
//! in when the schema is known. Rule book: section 6.3.

mod aggregate;

pub(in crate::rules) mod catalogue;

mod core;

pub(in crate::rules) mod from;

pub(in crate::rules) mod level;

mod order;

mod output;

pub(in crate::rules) mod select;

mod subquery;

pub(in crate::rules) mod view;

mod window;

mod with;

pub use view::{LostObject, Views, views};
