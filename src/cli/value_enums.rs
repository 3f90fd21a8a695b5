//! The words that flags with a choice of values take.

use clap::ValueEnum;

use crate::model::push_plan::RequestedMode;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum ColorWord {
    Auto,
    Always,
    Never,
}

/// `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum MethodWord {
    Auto,
    Pages,
    Export,
    Replica,
    Sql,
}

/// `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum ModeWord {
    Auto,
    Create,
    Diff,
    Swap,
    Replace,
}

impl From<ModeWord> for RequestedMode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Auto => Self::Auto,
            ModeWord::Create => Self::Create,
            ModeWord::Diff => Self::Diff,
            ModeWord::Swap => Self::Swap,
            ModeWord::Replace => Self::Replace,
        }
    }
}

/// `--vector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum VectorWord {
    Auto,
    On,
    Off,
}

/// `--format` of `plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum PlanFormatWord {
    Text,
    Json,
    Md,
    Sql,
}

/// `--format` of `report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum ReportFormatWord {
    Html,
    Md,
    Json,
}

/// `--against`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum AgainstWord {
    Local,
    Target,
    Both,
}

/// `--level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum LevelWord {
    Counts,
    Digest,
    Full,
}
