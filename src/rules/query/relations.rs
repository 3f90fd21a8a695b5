//! Lists what a query may select from: planned tables, views that are translated already, and the names of what is not
//! there, with the reason.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    model::{
        TablePlan,
        conversion_plan::KeyPlan,
        identifier::quote_ident,
        source_schema::{SourceSchema, SourceTable, TableKind},
    },
    rules::expression::{ExprType, NumberBounds, TypedExpr, Untranslatable, column_operand, refuse},
};

/// Where a relation stands in the SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rules) enum RelationName {
    /// A table or view of the plan, by its PostgreSQL name.
    Plan(String),
    /// A WITH of the same statement, by its quoted name.
    Statement(String),
}

/// Something to select from.
#[derive(Debug, Clone)]
pub(in crate::rules) struct Relation {
    pub home: RelationName,
    pub columns: Vec<RelationColumn>,
    /// Column positions that no two rows have in common, without NULLs.
    pub keys: Vec<Vec<usize>>,
    /// At most so many rows.
    pub rows: u64,
    /// The column that is the rowid.
    pub rowid: Option<usize>,
}

/// One column.
#[derive(Debug, Clone)]
pub(in crate::rules) struct RelationColumn {
    /// SQLite's name.
    pub source: String,
    /// The column by its PostgreSQL name alone, quoted.
    pub operand: TypedExpr,
}

impl Relation {
    /// The column of this name, if it has exactly one.
    pub(in crate::rules) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.source.eq_ignore_ascii_case(name))
    }
}

/// All that has a name in the schema.
#[derive(Debug)]
pub(in crate::rules) struct Relations {
    relations: BTreeMap<String, Result<Rc<Relation>, String>>,
    pub(in crate::rules) utf8: bool,
}

impl Relations {
    /// The planned tables.
    pub(in crate::rules) fn new(schema: &SourceSchema, tables: &[TablePlan]) -> Self {
        let utf8 = schema.encoding.eq_ignore_ascii_case("UTF-8");
        let mut catalogue = Self { relations: BTreeMap::new(), utf8 };
        for source in &schema.tables {
            let found = match tables.iter().find(|plan| plan.source == source.name) {
                Some(plan) => Ok(Rc::new(relation(plan, source))),
                None => Err("which the configuration leaves out".to_owned()),
            };
            catalogue.relations.insert(source.name.to_ascii_lowercase(), found);
        }
        for object in schema.skipped.iter().filter(|object| object.kind == "table") {
            let reason = format!("which is not carried ({})", object.reason);
            catalogue.relations.entry(object.name.to_ascii_lowercase()).or_insert(Err(reason));
        }
        for view in &schema.views {
            let reason = "a view that is not carried".to_owned();
            catalogue.relations.entry(view.name.to_ascii_lowercase()).or_insert(Err(reason));
        }
        catalogue
    }

    /// Makes a translated view known.
    pub(in crate::rules) fn add(&mut self, name: &str, relation: Relation) {
        self.relations.insert(name.to_ascii_lowercase(), Ok(Rc::new(relation)));
    }

    /// The table or view of this name.
    pub(in crate::rules) fn relation(&self, name: &str) -> Result<Rc<Relation>, Untranslatable> {
        match self.relations.get(&name.to_ascii_lowercase()) {
            Some(Ok(relation)) => Ok(Rc::clone(relation)),
            Some(Err(reason)) => Err(refuse(format!("it uses {name}, {reason}"))),
            None if name.to_ascii_lowercase().starts_with("sqlite_") => {
                Err(refuse("it reads SQLite's own tables, which PostgreSQL doesn't have"))
            }
            None => Err(refuse(format!("it uses {name}, which the source doesn't have"))),
        }
    }
}

fn relation(plan: &TablePlan, source: &SourceTable) -> Relation {
    let column = |column: &crate::model::ColumnPlan| {
        let declared = source.columns.iter().find(|found| found.name.eq_ignore_ascii_case(&column.source));
        let operand = column_operand(column, declared);
        let kind = match operand.kind {
            ExprType::Real(span) => ExprType::Real(counted(span)),
            ExprType::Double(span) => ExprType::Double(counted(span)),
            kind => kind,
        };
        RelationColumn { source: column.source.clone(), operand: TypedExpr { kind, ..operand } }
    };
    let position = |name: &String| plan.columns.iter().position(|column| column.name == *name);
    let key = |key: &KeyPlan| key.columns.iter().map(position).collect::<Option<Vec<_>>>();
    let alias = source.rowid_alias.as_deref();
    let rowid =
        alias.and_then(|alias| plan.columns.iter().position(|column| column.source.eq_ignore_ascii_case(alias)));
    // A virtual table's rows may change without a transaction; its key is the module's affair.
    let keys = match source.kind {
        TableKind::Virtual { .. } => Vec::new(),
        TableKind::Rowid | TableKind::WithoutRowid => {
            plan.primary_key.iter().filter_map(key).chain(rowid.map(|rowid| vec![rowid])).collect()
        }
    };
    Relation {
        home: RelationName::Plan(plan.name.clone()),
        columns: plan.columns.iter().map(column).collect(),
        keys,
        rows: plan.rows,
        rowid,
    }
}

/// Digits were counted for declared decimals only. A view's rows are computed and compared anyway, which shows whether
/// they leave the range of doubles.
fn counted(span: NumberBounds) -> NumberBounds {
    const DIGITS: u16 = 80;
    NumberBounds { whole: span.whole.min(DIGITS), fraction: span.fraction.min(DIGITS), ..span }
}

/// A column of a relation under an alias.
pub(in crate::rules) fn under(alias: &str, operand: &TypedExpr) -> TypedExpr {
    let sql = format!("{alias}.{}", operand.sql);
    TypedExpr { sql, atomic: true, ..operand.clone() }
}

/// Marks the place of a plan's relation in SQL that is being made. No SQL that is read or made has a NUL.
pub(in crate::rules) fn placed(home: &RelationName) -> String {
    match home {
        RelationName::Plan(name) => format!("\0{name}\0"),
        RelationName::Statement(name) => name.clone(),
    }
}

/// A name for PostgreSQL that is not taken yet, quoted: the wanted one if it is possible.
pub(in crate::rules) fn free_name(wanted: &str, taken: &mut std::collections::BTreeSet<String>) -> String {
    let base = if wanted.is_empty() || wanted.len() > 50 { "t" } else { wanted };
    let mut name = base.to_owned();
    let mut number = 1_u32;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{base}_{number}");
    }
    quote_ident(&name)
}
