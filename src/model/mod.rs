//! The nouns everybody speaks. No I/O, no async, no clock.

pub mod name;

pub mod cell;

pub mod source_schema;

pub mod column_profile;

pub mod pg_type;

pub mod given_type;

pub mod given_schema;

pub mod conversion;

pub mod conversion_plan;

pub mod ledger;

pub mod query_plan;

pub mod withheld;

pub mod finding;

pub mod review;

pub mod overrides;

pub mod table_digest;

pub mod checkpoint;

pub mod instant;

pub mod units;

pub use checkpoint::{DumpCheckpoint, LoadCheckpoint, PushCheckpoint};
pub use conversion_plan::{ColumnPlan, Conversion, Plan, TablePlan};
pub use finding::{Finding, FindingCode, Severity};
pub use name::Stage;
pub use pg_type::PgType;
pub use table_digest::TableDigest;
pub use withheld::Withheld;
