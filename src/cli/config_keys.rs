//! The words that `turso2neon.toml` knows.

/// Keys at the top of the file, in the order of the documentation.
pub const KEYS: [&str; 51] = [
    "dir",
    "json",
    "quiet",
    "verbose",
    "no-progress",
    "color",
    "source",
    "auth-token-file",
    "method",
    "ca-file",
    "namespace",
    "database",
    "org",
    "archive",
    "keep",
    "block-writes",
    "unblock-writes",
    "explain",
    "format",
    "include",
    "exclude",
    "vector",
    "schema-from",
    "local-url",
    "pg-bin",
    "keep-running",
    "jobs",
    "schema-only",
    "data-only",
    "target",
    "mode",
    "schema",
    "dry-run",
    "no-keep-previous",
    "lock-wait",
    "neon-project",
    "neon-branch",
    "neon-database",
    "neon-role",
    "neon-create-branch",
    "against",
    "level",
    "tables",
    "fresh",
    "yes",
    "identifiers",
    "fts",
    "sql",
    "types",
    "columns",
    "accept",
];

/// Keys of a column under `[columns]`.
pub(super) const COLUMN_KEYS: [&str; 8] =
    ["type", "from", "name", "off_type", "empty_as_null", "bool_words", "dates", "bad_text"];

/// Keys of the contract that this version lacks.
pub(super) const LATER_KEYS: [&str; 1] = ["sample"];
