//! Tests every hazard that docs/conversion-rules.md describes, and what PostgreSQL holds after it.

mod fixture;

mod types;

mod keys;

mod objects;

mod values;

mod habits;

/// The SQL of all hazards that a plain connection takes.
pub(crate) fn scripts() -> Vec<&'static str> {
    [types::hazards(), keys::hazards(), objects::hazards(), values::hazards(), habits::hazards()].concat()
}
