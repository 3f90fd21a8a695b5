//! Formats the results of the commands, as text for people and JSON for programs.

mod checks;

mod explained_code;

mod moved;

mod planned;

mod removed;

mod schema;

mod verified;

pub use checks::{cleaned, doctor, status};
pub use explained_code::code_explained;
pub use moved::{converted, dumped, nothing_put_back, pushed, restored, rolled_back};
pub use planned::{explained, plan_document, plan_text, planned};
pub use removed::{OnTarget, finished, nothing_removed, removal_list, target_cleaned, to_remove};
pub use schema::{schema_difference_list, schema_difference_sql, schema_differences, schema_synchronised};
pub use verified::{ran, verified};

use serde::Serialize;
use serde_json::Value;

/// Any document as JSON; the types that come here always have a JSON form.
fn json<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).unwrap_or(Value::Null)
}
