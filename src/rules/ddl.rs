//! Writes the plan as PostgreSQL DDL; no other module writes DDL. Used for the local PostgreSQL, the staging schema of
//! a push, and `plan/schema.sql`.
//!
//! Decisions: every statement names its schema, because an unqualified name could resolve to the catalog. Names of
//! keys, indexes and sequences are given explicitly, because PostgreSQL's own choice may collide with a user's table.
//! Order: tables, data, keys, indexes, checks, foreign keys, defaults, sequences, views, triggers
//! (docs/conversion-rules.md, section 0.2).

use crate::model::{
    ColumnPlan, Conversion, PgType, Plan, TablePlan,
    catalog::Phase,
    conversion_plan::{ForeignKeyPlan, IdentityKind, IdentityPlan, IndexPlan, KeyPlan},
    existing_schema::EnumType,
    identifier::{qualified, quote_ident, quote_list, quote_literal},
    offtype,
    view_trigger_plan::{TriggerPlan, ViewPlan},
    weakened_objects,
};

words! {
    /// What a statement makes or does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[allow(missing_docs, reason = "the names are the documentation")]
    pub enum StatementKind: word {
        Table = "table",
        PrimaryKey = "primary key",
        Unique = "unique",
        Index = "index",
        Check = "check",
        ForeignKey = "foreign key",
        Validate = "validate",
        Default = "default",
        Sequence = "sequence",
        View = "view",
        Function = "function",
        Trigger = "trigger",
        Analyze = "analyze",
    }
}

/// One statement and what it is about, for progress and error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it makes or does.
    pub kind: StatementKind,
    /// The source table.
    pub table: String,
    /// The object's PostgreSQL name.
    pub object: String,
    /// The SQL without semicolon.
    pub sql: String,
}

impl Statement {
    fn new(kind: StatementKind, table: &TablePlan, object: &str, sql: String) -> Self {
        Self { kind, table: table.source.clone(), object: object.to_owned(), sql }
    }
}

/// `CREATE EXTENSION` for what the types need.
#[must_use]
pub fn extensions(plan: &Plan) -> Vec<String> {
    plan.extensions.iter().map(|name| format!("CREATE EXTENSION IF NOT EXISTS {}", quote_ident(name))).collect()
}

/// The enumerated types that the plan creates.
pub fn enums(plan: &Plan) -> impl Iterator<Item = &EnumType> {
    plan.existing_schema.iter().flat_map(|existing| &existing.enums)
}

/// `CREATE TYPE` of an enumerated type.
#[must_use]
pub fn create_enum(schema: &str, made: &EnumType) -> String {
    let labels: Vec<String> = made.labels.iter().map(|label| quote_literal(label)).collect();
    format!("CREATE TYPE {} AS ENUM ({})", qualified(schema, &made.name), labels.join(", "))
}

/// CREATE TABLE with NOT NULL, identity and generated columns, and defaults where the rows will need them, nothing
/// else. A sequence that a column owns is created with it.
#[must_use]
pub fn create_table(schema: &str, table: &TablePlan) -> Statement {
    let columns: Vec<String> = table.columns.iter().map(|column| column_definition(schema, table, column)).collect();
    let mut sql = format!("CREATE TABLE {} (\n  {}\n)", qualified(schema, &table.name), columns.join(",\n  "));
    if let Some(owned) = table.identity.as_ref().filter(|identity| identity.kind == IdentityKind::Serial) {
        let word = match table.column(&owned.column).map(|column| &column.pg_type) {
            Some(PgType::SmallInt) => "smallint",
            Some(PgType::Integer) => "integer",
            _ => "bigint",
        };
        sql.push_str(&format!(
            ";\nCREATE SEQUENCE {} AS {word} OWNED BY {}.{}",
            qualified(schema, &owned.sequence),
            qualified(schema, &table.name),
            quote_ident(&owned.column)
        ));
    }
    Statement::new(StatementKind::Table, table, &table.name, sql)
}

/// CREATE TABLE of the off-type table, if the plan needs it.
#[must_use]
pub fn create_offtype_table(schema: &str, plan: &Plan) -> Option<String> {
    plan.has_offtype_cells().then(|| create_table(schema, &offtype::plan()).sql)
}

fn column_definition(schema: &str, table: &TablePlan, column: &ColumnPlan) -> String {
    let written = match &column.pg_type {
        PgType::Enum(name) => qualified(schema, name),
        known => known.to_string(),
    };
    let mut text = format!("{} {written}", quote_ident(&column.name));
    if let Some(expression) = &column.generated {
        text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
    }
    if let Some(words) = identity_words(table, column) {
        text.push_str(&format!(" {words} (SEQUENCE NAME {})", sequence_name(schema, table)));
    }
    // Its rows get the default when they are loaded.
    if let Some(default) = column.default.as_ref().filter(|_| column.conversion == Conversion::Absent) {
        text.push_str(&format!(" DEFAULT {default}"));
    }
    if column.not_null {
        text.push_str(" NOT NULL");
    }
    text
}

fn identity_words(table: &TablePlan, column: &ColumnPlan) -> Option<&'static str> {
    match table.identity.as_ref().filter(|identity| identity.column == column.name)?.kind {
        IdentityKind::ByDefault => Some("GENERATED BY DEFAULT AS IDENTITY"),
        IdentityKind::Always => Some("GENERATED ALWAYS AS IDENTITY"),
        IdentityKind::Serial => None,
    }
}

fn sequence_name(schema: &str, table: &TablePlan) -> String {
    table.identity.as_ref().map_or_else(String::new, |identity| qualified(schema, &identity.sequence))
}

/// The default of a column that owns its sequence.
#[must_use]
pub fn next_number(schema: &str, identity: &IdentityPlan) -> String {
    format!("nextval({}::regclass)", quote_literal(&qualified(schema, &identity.sequence)))
}

/// The primary key and UNIQUE constraints of a table, each a statement that can run beside others of other tables.
#[must_use]
pub fn keys(schema: &str, table: &TablePlan) -> Vec<Statement> {
    let primary =
        table.primary_key.iter().map(|key| key_statement(schema, table, key, StatementKind::PrimaryKey, "PRIMARY KEY"));
    let unique = table.uniques.iter().map(|key| key_statement(schema, table, key, StatementKind::Unique, "UNIQUE"));
    primary.chain(unique).collect()
}

fn key_statement(schema: &str, table: &TablePlan, key: &KeyPlan, kind: StatementKind, words: &str) -> Statement {
    let sql = format!(
        "ALTER TABLE {} ADD CONSTRAINT {} {words} ({})",
        qualified(schema, &table.name),
        quote_ident(&key.name),
        quote_list(key.columns.iter().map(String::as_str))
    );
    Statement::new(kind, table, &key.name, sql)
}

/// The same keys in two steps each: the unique index, which can be built beside other indexes of the same table, and
/// the constraint that takes the index over in no time.
#[must_use]
pub fn keys_by_index(schema: &str, table: &TablePlan) -> Vec<[Statement; 2]> {
    let primary =
        table.primary_key.iter().map(|key| key_by_index(schema, table, key, StatementKind::PrimaryKey, "PRIMARY KEY"));
    let unique = table.uniques.iter().map(|key| key_by_index(schema, table, key, StatementKind::Unique, "UNIQUE"));
    primary.chain(unique).collect()
}

fn key_by_index(schema: &str, table: &TablePlan, key: &KeyPlan, kind: StatementKind, words: &str) -> [Statement; 2] {
    let (whole, name) = (qualified(schema, &table.name), quote_ident(&key.name));
    let columns = quote_list(key.columns.iter().map(String::as_str));
    let index = format!("CREATE UNIQUE INDEX {name} ON {whole} ({columns})");
    let constraint = format!("ALTER TABLE {whole} ADD CONSTRAINT {name} {words} USING INDEX {name}");
    [Statement::new(StatementKind::Index, table, &key.name, index), Statement::new(kind, table, &key.name, constraint)]
}

/// The other indexes of a table.
#[must_use]
pub fn indexes(schema: &str, table: &TablePlan) -> Vec<Statement> {
    table.indexes.iter().map(|index| index_statement(schema, table, index)).collect()
}

fn index_statement(schema: &str, table: &TablePlan, index: &IndexPlan) -> Statement {
    if index.is_exclusion() {
        let predicate = index.predicate.as_ref().map(|condition| format!(" WHERE ({condition})")).unwrap_or_default();
        let keys: Vec<String> = index.keys.iter().map(|key| format!("{key} WITH =")).collect();
        let sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT {} EXCLUDE USING {} ({}){predicate}",
            qualified(schema, &table.name),
            quote_ident(&index.name),
            index.method,
            keys.join(", ")
        );
        return Statement::new(StatementKind::Index, table, &index.name, sql);
    }
    let unique = if index.unique { "UNIQUE " } else { "" };
    let predicate = index.predicate.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    let sql = format!(
        "CREATE {unique}INDEX {} ON {} USING {} ({}){predicate}",
        quote_ident(&index.name),
        qualified(schema, &table.name),
        index.method,
        index.keys.join(", ")
    );
    Statement::new(StatementKind::Index, table, &index.name, sql)
}

/// CHECK constraints of a table, NOT VALID; [`validations`] makes the valid ones valid.
#[must_use]
pub fn checks(schema: &str, table: &TablePlan) -> Vec<Statement> {
    let statement = |check: &crate::model::conversion_plan::CheckPlan| {
        let sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT {} CHECK ({}) NOT VALID",
            qualified(schema, &table.name),
            quote_ident(&check.name),
            check.expression
        );
        Statement::new(StatementKind::Check, table, &check.name, sql)
    };
    table.checks.iter().map(statement).collect()
}

/// Foreign keys of a table, NOT VALID; [`validations`] makes the valid ones valid.
#[must_use]
pub fn foreign_keys(schema: &str, table: &TablePlan) -> Vec<Statement> {
    table.foreign_keys.iter().map(|key| foreign_key_statement(schema, table, key)).collect()
}

fn foreign_key_statement(schema: &str, table: &TablePlan, key: &ForeignKeyPlan) -> Statement {
    let action = |event: &str, action: &str| match action {
        "" | "NO ACTION" => String::new(),
        words => format!(" ON {event} {words}"),
    };
    let sql = format!(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}{}{} NOT VALID",
        qualified(schema, &table.name),
        quote_ident(&key.name),
        quote_list(key.columns.iter().map(String::as_str)),
        qualified(schema, &key.parent),
        quote_list(key.parent_columns.iter().map(String::as_str)),
        action("UPDATE", &key.on_update),
        action("DELETE", &key.on_delete),
        if key.deferred { " DEFERRABLE INITIALLY DEFERRED" } else { "" },
    );
    Statement::new(StatementKind::ForeignKey, table, &key.name, sql)
}

/// VALIDATE CONSTRAINT for each check and foreign key that the source's rows satisfy.
#[must_use]
pub fn validations(schema: &str, table: &TablePlan) -> Vec<Statement> {
    let checks = table.checks.iter().filter(|check| !check.not_valid).map(|check| &check.name);
    let keys = table.foreign_keys.iter().filter(|key| !key.not_valid).map(|key| &key.name);
    let statement = |name: &String| {
        let sql = format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", qualified(schema, &table.name), quote_ident(name));
        Statement::new(StatementKind::Validate, table, name, sql)
    };
    checks.chain(keys).map(statement).collect()
}

/// Defaults of a table's columns.
#[must_use]
pub fn defaults(schema: &str, table: &TablePlan) -> Vec<Statement> {
    let statement = |column: &ColumnPlan| {
        let owned = table
            .identity
            .as_ref()
            .filter(|identity| identity.kind == IdentityKind::Serial && identity.column == column.name);
        let expression = match owned {
            Some(identity) => next_number(schema, identity),
            None => column.default.clone().filter(|_| column.conversion != Conversion::Absent)?,
        };
        let sql = format!(
            "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {expression}",
            qualified(schema, &table.name),
            quote_ident(&column.name)
        );
        Some(Statement::new(StatementKind::Default, table, &column.name, sql))
    };
    table.columns.iter().filter_map(statement).collect()
}

/// Moves the identity column's sequence to its next value.
///
/// `ALTER SEQUENCE ... RESTART` rather than `setval`, because it is transactional. A next value that doesn't exist
/// (the highest key is 2^63-1) restarts at the maximum: the next insert fails on the key instead of reusing a number.
#[must_use]
pub fn sequence(schema: &str, table: &TablePlan) -> Option<Statement> {
    let identity = table.identity.as_ref()?;
    let most = match table.column(&identity.column).map(|column| &column.pg_type) {
        Some(PgType::SmallInt) => i64::from(i16::MAX),
        Some(PgType::Integer) => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let next = identity.next.unwrap_or(most).clamp(1, most);
    let sql = format!("ALTER SEQUENCE {} RESTART WITH {next}", qualified(schema, &identity.sequence));
    Some(Statement::new(StatementKind::Sequence, table, &identity.sequence, sql))
}

/// CREATE VIEW.
#[must_use]
pub fn create_view(schema: &str, view: &ViewPlan) -> Statement {
    let sql = format!(
        "CREATE VIEW {} ({}) AS {}",
        qualified(schema, &view.name),
        quote_list(view.columns.iter().map(|column| column.name.as_str())),
        view.query.render(schema)
    );
    Statement { kind: StatementKind::View, table: view.source.clone(), object: view.name.clone(), sql }
}

/// CREATE FUNCTION and CREATE TRIGGER.
#[must_use]
pub fn create_trigger(schema: &str, trigger: &TriggerPlan) -> [Statement; 2] {
    let (function, body) = (qualified(schema, &trigger.function), trigger.body.render(schema));
    let tag = free_tag(&body);
    let statement =
        |kind, object: &str, sql| Statement { kind, table: trigger.source.clone(), object: object.to_owned(), sql };
    let create = format!(
        "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS {tag}\n{body}\n{tag}"
    );
    let columns = match trigger.columns.as_slice() {
        [] => String::new(),
        columns => format!(" OF {}", quote_list(columns.iter().map(String::as_str))),
    };
    let condition = trigger.condition.as_ref().map(|condition| format!(" WHEN ({condition})")).unwrap_or_default();
    let fires = format!(
        "CREATE TRIGGER {} {} {}{columns} ON {} FOR EACH ROW{condition} EXECUTE FUNCTION {function}()",
        quote_ident(&trigger.name),
        trigger.timing.words(),
        trigger.event,
        qualified(schema, &trigger.relation)
    );
    [
        statement(StatementKind::Function, &trigger.function, create),
        statement(StatementKind::Trigger, &trigger.name, fires),
    ]
}

/// A dollar quote that the text doesn't hold.
fn free_tag(text: &str) -> String {
    let mut tag = "$function$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, '_');
    }
    tag
}

/// Everything of `plan/schema.sql`, in the order in which it is run, as a reader would write it.
#[must_use]
pub fn schema_sql(plan: &Plan) -> String {
    if plan.existing_schema.is_some() {
        return existing_schema_sql(plan);
    }
    let schema = &plan.schema;
    let mut text = format!("-- PostgreSQL schema made by turso2neon {}\n", plan.tool);
    let mut section = |title: &str, statements: Vec<String>| {
        if !statements.is_empty() {
            text.push_str(&format!("\n-- {title}\n"));
            for statement in statements {
                text.push_str(&statement);
                text.push_str(";\n");
            }
        }
    };
    let each = |make: &dyn Fn(&TablePlan) -> Vec<Statement>| -> Vec<String> {
        plan.tables.iter().flat_map(make).map(|statement| statement.sql).collect()
    };
    section("Extensions", extensions(plan));
    section("Types", enums(plan).map(|made| create_enum(schema, made)).collect());
    section("Tables", each(&|table| vec![create_table(schema, table)]));
    section("Storage classes that the values no longer show", create_offtype_table(schema, plan).into_iter().collect());
    section("Keys, after the data", each(&|table| keys(schema, table)));
    section("Indexes", each(&|table| indexes(schema, table)));
    section("Checks", each(&|table| checks(schema, table)));
    section("Foreign keys", each(&|table| foreign_keys(schema, table)));
    section("Validation of the rows that are there", each(&|table| validations(schema, table)));
    section("Defaults", each(&|table| defaults(schema, table)));
    section("Next numbers of identity columns", each(&|table| sequence(schema, table).into_iter().collect()));
    section("Views", plan.views.iter().map(|view| create_view(schema, view).sql).collect());
    let triggers = plan.triggers.iter().flat_map(|trigger| create_trigger(schema, trigger));
    section("Functions and triggers", triggers.map(|statement| statement.sql).collect());
    text
}

/// The same for the objects of an existing schema.
fn existing_schema_sql(plan: &Plan) -> String {
    let Some(existing) = &plan.existing_schema else { return String::new() };
    let mut text = format!(
        "-- PostgreSQL schema of {}, as turso2neon {} creates it\n\n{};\n",
        existing.origin,
        plan.tool,
        existing.catalog.set_search_path(false)
    );
    let sections = [("Before the rows", Phase::BeforeRows), ("After the rows", Phase::AfterRows)];
    for (title, phase) in sections {
        text.push_str(&format!("\n-- {title}\n"));
        for one in existing.catalog.in_phase(phase) {
            let made = weakened_objects::object(plan, one);
            let rest = one.comments.iter().chain(&one.grants).filter(|_| !made.is_empty());
            for statement in made.iter().chain(rest) {
                text.push_str(&format!("{statement};\n"));
            }
        }
        if phase == Phase::BeforeRows {
            for statement in weakened_objects::columns(plan, |_| false) {
                text.push_str(&format!("{statement};\n"));
            }
        }
    }
    text
}

/// `SET` of a comment on a schema, used to mark schemas of this tool.
#[must_use]
pub fn comment_on_schema(schema: &str, comment: &str) -> String {
    format!("COMMENT ON SCHEMA {} IS {}", quote_ident(schema), quote_literal(comment))
}
