//! Translates SQLite's queries to PostgreSQL's, through the parsed tree: views, and the queries in triggers.
//!
//! Every result column is given a type that stands for SQLite's value, so that the rows of both sides can be compared.
//! What has no exact equivalent is refused with the reason. The SQL names tables and views by places, which are filled
//! in when the schema is known. See docs/conversion-rules.md, section 6.3.

mod aggregate;

pub(in crate::rules) mod relations;

mod select_core;

pub(in crate::rules) mod from;

pub(in crate::rules) mod select_scope;

mod order_by;

mod projection;

pub(in crate::rules) mod select;

mod subquery;

pub(in crate::rules) mod view;

mod window;

mod cte;

pub use view::{TranslatedViews, UntranslatedObject, views};
