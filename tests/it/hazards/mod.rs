//! Every trap that docs/conversion-rules.md describes, and what PostgreSQL holds after it.

mod fixture;

mod types;

mod keys;

mod objects;

mod values;

mod habits;

/// The SQL of all traps that a plain connection takes.
pub(crate) fn scripts() -> Vec<&'static str> {
    [types::traps(), keys::traps(), objects::traps(), values::traps(), habits::traps()].concat()
}
