//! SQLite's queries to PostgreSQL's, through the parsed tree: views, and the queries in triggers.
//!
//! Every result column is given a type that stands for SQLite's value, so that the rows of both sides can be compared.
//! What has no exact equivalent is refused with the reason. The SQL names tables and views by places, which are filled
//! in when the schema is known. Rule book: section 6.3.

mod aggregate;

mod catalogue;

mod core;

mod from;

mod level;

mod order;

mod output;

mod select;

mod subquery;

mod view;

mod window;

mod with;

pub(in crate::rules) use catalogue::Catalogue;
pub use view::{LostObject, Views, views};
