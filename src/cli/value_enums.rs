//! Defines the values that flags accept: choices that only the command line has, and numbers in a range.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use clap::ValueEnum;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--format` of `plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// The findings, for a terminal
    Text,
    /// The whole plan (plan/plan.json)
    Json,
    /// The assessment in Markdown (plan/assessment.md)
    Md,
    /// The PostgreSQL schema (plan/schema.sql)
    Sql,
}

/// `--format` of `report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One page without scripts
    Html,
    /// Markdown
    Md,
    /// JSON
    Json,
}

/// What `schema` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaAction {
    /// Report the differences
    Diff,
    /// Write the SQL that makes the second schema like the first, and try it
    Sync,
}

/// `--format` of `schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// One line for each difference
    Text,
    /// The sides and the differences, as one object
    Json,
    /// The statements of sync
    Sql,
}

/// `--allow` of `schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allowance {
    /// Objects, columns and constraints are removed
    Drop,
    /// Columns and types accept less, or tables are built again
    Narrow,
}

/// What a flag takes, where the value is something else. Never contains the value.
#[derive(Debug, Clone)]
pub struct Expected(String);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Expected {}

/// A parser for whole numbers in this range.
pub fn whole_number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, Expected> + Clone
where
    N: FromStr + PartialOrd + fmt::Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| Expected(format!("a whole number from {} to {}", range.start(), range.end())))
    }
}
