//! Reads what only the text of CREATE TABLE and CREATE INDEX says: collations, checks, constraint names, deferred keys,
//! generating expressions, predicates, index expressions, conflict clauses.

use sqlite3_parser::ast::{
    ColumnConstraint, CreateTableBody, DeferSubclause, Expr, ForeignKeyClause, IndexedColumn, InitDeferredPred,
    Literal, Name, NamedColumnConstraint, NamedTableConstraint, RefArg, ResolveType, SortedColumn, Stmt,
    TableConstraint,
};

use crate::{
    model::source_schema::{IndexOrigin, SourceCheck, SourceForeignKey, SourceIndex},
    rules::expression::{tokens, unquote, with_statement},
};

/// The text of a table.
#[derive(Debug, Default)]
pub(super) struct DeclaredTable {
    columns: Vec<DeclaredColumn>,
    pub checks: Vec<SourceCheck>,
    pub primary_key_name: Option<String>,
    pub autoincrement: bool,
    uniques: Vec<(Vec<String>, String)>,
    foreign_keys: Vec<DeclaredKey>,
    /// Clauses without equivalent.
    pub clauses: Vec<String>,
}

/// The text of a column.
#[derive(Debug)]
pub(super) struct DeclaredColumn {
    name: String,
    /// Upper case.
    pub collation: Option<String>,
    pub generated: Option<String>,
}

#[derive(Debug)]
struct DeclaredKey {
    columns: Vec<String>,
    name: Option<String>,
    deferred: bool,
    match_ignored: bool,
}

/// The text of an index.
#[derive(Debug, Default)]
pub(super) struct DeclaredIndex {
    /// Each key as SQL, without its collation.
    pub keys: Vec<String>,
    pub predicate: Option<String>,
}

/// The SQL without libSQL's `RANDOM ROWID`, which the parser doesn't know, and whether it was there.
pub(super) fn without_random_rowid(sql: &str) -> (String, bool) {
    let Some(tokens) = tokens(sql) else { return (sql.to_owned(), false) };
    let word = |index: usize| tokens.get(index).and_then(|(_, start, end)| sql.get(*start..*end)).unwrap_or_default();
    let is = |index: usize, wanted: &str| word(index).eq_ignore_ascii_case(wanted);
    let body_end = (0..tokens.len()).rev().find(|index| word(*index) == ")").unwrap_or(tokens.len());
    let Some(at) = (body_end + 1..tokens.len()).find(|index| is(*index, "RANDOM") && is(index + 1, "ROWID")) else {
        return (sql.to_owned(), false);
    };
    let (first, last) = if word(at + 2) == "," {
        (at, at + 2)
    } else if word(at - 1) == "," {
        (at - 1, at + 1)
    } else {
        (at, at + 1)
    };
    let start = tokens.get(first).map_or(0, |token| token.1);
    let end = tokens.get(last).map_or(sql.len(), |token| token.2);
    let text = format!("{} {}", sql.get(..start).unwrap_or_default(), sql.get(end..).unwrap_or_default());
    (text, true)
}

impl DeclaredTable {
    /// Reads CREATE TABLE.
    pub(super) fn parse(sql: &str) -> Result<Self, &'static str> {
        with_statement(sql, |statement| match statement {
            Stmt::CreateTable { body: CreateTableBody::ColumnsAndConstraints { columns, constraints, .. }, .. } => {
                let mut found = Self::default();
                for column in columns {
                    found.column_text(&column.col_name, column.constraints);
                }
                for constraint in constraints.unwrap_or_default() {
                    found.table_constraint(constraint);
                }
                Ok(found)
            }
            _ => Err("its SQL is no CREATE TABLE"),
        })?
    }

    /// The text of a column.
    pub(super) fn column(&self, name: &str) -> Option<&DeclaredColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Gives the constraints' names to their indexes.
    pub(super) fn name_constraints(&self, indexes: &mut [SourceIndex]) {
        for index in indexes.iter_mut().filter(|index| index.origin == IndexOrigin::PrimaryKey) {
            index.constraint_name.clone_from(&self.primary_key_name);
        }
        for (columns, name) in &self.uniques {
            let of_constraint = |index: &&mut SourceIndex| {
                index.origin == IndexOrigin::Unique && index.constraint_name.is_none() && has_columns(index, columns)
            };
            if let Some(index) = indexes.iter_mut().find(of_constraint) {
                index.constraint_name = Some(name.clone());
            }
        }
    }

    /// Adds names and deferral to what the pragma says.
    pub(super) fn complete_foreign_keys(&self, keys: &mut [SourceForeignKey]) {
        if keys.len() != self.foreign_keys.len() {
            return;
        }
        for (key, text) in keys.iter_mut().zip(&self.foreign_keys) {
            if same_names(&key.columns, &text.columns) {
                key.name.clone_from(&text.name);
                key.deferred = text.deferred;
                key.match_ignored = text.match_ignored;
            }
        }
    }

    fn column_text(&mut self, name: &Name<'_>, constraints: &[NamedColumnConstraint<'_>]) {
        let name = unquote(name.0).0;
        let mut column = DeclaredColumn { name: name.clone(), collation: None, generated: None };
        for NamedColumnConstraint { name: constraint_name, constraint } in constraints {
            let constraint_name = constraint_name.as_ref().map(|name| unquote(name.0).0);
            match constraint {
                ColumnConstraint::PrimaryKey { conflict_clause, auto_increment, .. } => {
                    self.primary_key_name = constraint_name;
                    self.autoincrement |= auto_increment;
                    self.conflict("PRIMARY KEY", &name, *conflict_clause);
                }
                ColumnConstraint::NotNull { conflict_clause, nullable: false } => {
                    self.conflict("NOT NULL", &name, *conflict_clause);
                }
                ColumnConstraint::NotNull { nullable: true, .. } | ColumnConstraint::Default(_) => {}
                ColumnConstraint::Unique(conflict_clause) => {
                    self.uniques.extend(constraint_name.map(|constraint| (vec![name.clone()], constraint)));
                    self.conflict("UNIQUE", &name, *conflict_clause);
                }
                ColumnConstraint::Check(expression) => {
                    self.checks.push(SourceCheck { name: constraint_name, expression: expression.to_string() });
                }
                ColumnConstraint::Defer(clause) => self.defer(clause),
                ColumnConstraint::Collate { collation_name } => {
                    column.collation = Some(unquote(collation_name.0).0.to_ascii_uppercase());
                }
                ColumnConstraint::ForeignKey { clause, defer_clause } => {
                    self.foreign_key(vec![name.clone()], constraint_name, clause, defer_clause.as_ref());
                }
                ColumnConstraint::Generated { expr, .. } => column.generated = Some(expr.to_string()),
            }
        }
        self.columns.push(column);
    }

    fn table_constraint(&mut self, named: &NamedTableConstraint<'_>) {
        let name = named.name.as_ref().map(|name| unquote(name.0).0);
        match &named.constraint {
            TableConstraint::PrimaryKey { columns, auto_increment, conflict_clause } => {
                self.primary_key_name = name;
                self.autoincrement |= auto_increment;
                self.conflict("PRIMARY KEY", &sorted_names(columns).join(", "), *conflict_clause);
            }
            TableConstraint::Unique { columns, conflict_clause } => {
                let columns = sorted_names(columns);
                self.conflict("UNIQUE", &columns.join(", "), *conflict_clause);
                self.uniques.extend(name.map(|name| (columns, name)));
            }
            TableConstraint::Check(expression, conflict_clause) => {
                self.conflict("CHECK", name.as_deref().unwrap_or_default(), *conflict_clause);
                self.checks.push(SourceCheck { name, expression: expression.to_string() });
            }
            TableConstraint::ForeignKey { columns, clause, defer_clause } => {
                let columns = columns.iter().map(|IndexedColumn { col_name, .. }| unquote(col_name.0).0).collect();
                self.foreign_key(columns, name, clause, defer_clause.as_ref());
            }
        }
    }

    fn foreign_key(
        &mut self,
        columns: Vec<String>,
        name: Option<String>,
        clause: &ForeignKeyClause<'_>,
        deferral: Option<&DeferSubclause>,
    ) {
        let other_match = |argument: &RefArg<'_>| match argument {
            RefArg::Match(word) => !unquote(word.0).0.eq_ignore_ascii_case("SIMPLE"),
            RefArg::OnDelete(_) | RefArg::OnInsert(_) | RefArg::OnUpdate(_) => false,
        };
        let match_ignored = clause.args.iter().any(other_match);
        self.foreign_keys.push(DeclaredKey { columns, name, deferred: false, match_ignored });
        if let Some(deferral) = deferral {
            self.defer(deferral);
        }
    }

    /// DEFERRABLE belongs to the foreign key that was declared last (SQLite `build.c`, `sqlite3DeferForeignKey`).
    fn defer(&mut self, clause: &DeferSubclause) {
        if let Some(key) = self.foreign_keys.last_mut() {
            key.deferred = clause.deferrable && clause.init_deferred == Some(InitDeferredPred::InitiallyDeferred);
        }
    }

    fn conflict(&mut self, constraint: &str, columns: &str, clause: Option<ResolveType>) {
        let word = match clause {
            // ABORT is what happens anyway, in PostgreSQL too.
            None | Some(ResolveType::Abort) => return,
            Some(ResolveType::Rollback) => "ROLLBACK",
            Some(ResolveType::Fail) => "FAIL",
            Some(ResolveType::Ignore) => "IGNORE",
            Some(ResolveType::Replace) => "REPLACE",
        };
        self.clauses.push(format!("ON CONFLICT {word} of {constraint} ({columns})"));
    }
}

fn sorted_names(columns: &[SortedColumn<'_>]) -> Vec<String> {
    columns.iter().map(|column| name_of(&column.expr)).collect()
}

fn name_of(expression: &Expr<'_>) -> String {
    match expression {
        Expr::Collate(inner, _) => name_of(inner),
        Expr::Id(id) => unquote(id.0).0,
        Expr::Name(name) => unquote(name.0).0,
        Expr::Literal(Literal::String(token)) => unquote(token).0,
        other => other.to_string(),
    }
}

fn has_columns(index: &SourceIndex, columns: &[String]) -> bool {
    let names: Vec<String> = index
        .columns
        .iter()
        .map(|column| match &column.key {
            crate::model::source_schema::IndexKey::Column(name) => name.clone(),
            crate::model::source_schema::IndexKey::Rowid | crate::model::source_schema::IndexKey::Expression(_) => {
                String::new()
            }
        })
        .collect();
    same_names(&names, columns)
}

fn same_names(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

impl DeclaredIndex {
    /// Reads CREATE INDEX.
    pub(super) fn parse(sql: &str) -> Option<Self> {
        let read = with_statement(sql, |statement| match statement {
            Stmt::CreateIndex { columns, where_clause, .. } => Some(Self {
                keys: columns.iter().map(|column| key_of(&column.expr)).collect(),
                predicate: where_clause.as_ref().map(ToString::to_string),
            }),
            _ => None,
        });
        read.ok().flatten()
    }
}

/// The key without its outermost COLLATE, which the pragma states.
fn key_of(expression: &Expr<'_>) -> String {
    match expression {
        Expr::Collate(inner, _) => inner.to_string(),
        other => other.to_string(),
    }
}
