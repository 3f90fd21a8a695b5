//! Defines the data types that all modules share. No I/O, no async, no clock.

pub mod identifier;

pub mod catalog;

pub mod cell;

pub mod source_schema;

pub mod column_profile;

pub mod pg_type;

pub mod pg_column_type;

pub mod existing_schema;

pub mod number_series;

pub mod weakened_objects;

pub mod conversion;

pub mod time_encoding;

pub mod existing_reading;

pub mod constraint;

pub mod table_plan;

pub mod conversion_plan;

pub mod offtype;

pub mod view_trigger_plan;

pub mod dropped_objects;

pub mod finding;

pub mod finding_docs;

pub mod plan_summary;

pub mod overrides;

pub mod push_plan;

pub mod row_changes;

pub mod drift;

pub mod structure_change;

pub mod table_digest;

pub mod checkpoint;

pub mod dump_method;

pub mod consistency_mark;

pub mod timestamp;

pub mod human_format;

pub mod similar_name;

pub use checkpoint::{DumpCheckpoint, LoadCheckpoint, PushCheckpoint};
pub use conversion_plan::{ColumnPlan, Conversion, Plan, TablePlan};
pub use dropped_objects::DroppedObject;
pub use dump_method::DumpMethod;
pub use finding::{Finding, FindingCode, Severity};
pub use identifier::Stage;
pub use pg_type::PgType;
pub use table_digest::TableDigest;

pub mod tool_objects;
