//! Describes the scope that one SELECT gives to its expressions: which tables it reads, which names they have, what its
//! aggregates make of bare columns.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use sqlite3_parser::ast::{Expr, Window};

use super::{
    aggregate,
    relations::{Relation, Relations, under},
    subquery, window,
};
use crate::rules::expression::{NameScope, QueryContext, TypedExpr, Untranslatable, refuse, translate, unquote};

/// Expressions that one statement may have. Each is looked at a few times at most.
const FUEL: u32 = 100_000;

/// Queries within queries.
const DEPTH_MAX: usize = 50;

/// What all SELECTs of one statement share.
#[derive(Debug)]
pub(in crate::rules) struct StatementContext<'a> {
    /// What there is to select from.
    pub catalogue: &'a Relations,
    /// Names of tables in the SQL that is made: an inner one must not hide an outer one.
    pub taken: RefCell<BTreeSet<String>>,
    /// `LIMIT a, b` means `LIMIT b OFFSET a`, which the tree doesn't show.
    pub comma_limits: bool,
    fuel: Cell<u32>,
}

impl<'a> StatementContext<'a> {
    pub(in crate::rules) fn new(catalogue: &'a Relations, comma_limits: bool) -> Self {
        Self { catalogue, taken: RefCell::default(), comma_limits, fuel: Cell::new(FUEL) }
    }

    /// Counts an expression.
    fn burn(&self) -> Result<(), Untranslatable> {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(1));
        if left == 0 { Err(refuse("it is too large")) } else { Ok(()) }
    }
}

/// Queries of WITH clauses that can be seen, the innermost last.
pub(in crate::rules) type CteList = Rc<Vec<(String, Rc<Relation>)>>;

/// Where a SELECT stands.
#[derive(Debug, Clone)]
pub(in crate::rules) struct ScopeContext<'a> {
    pub statement: &'a StatementContext<'a>,
    pub parent: Option<&'a dyn QueryContext>,
    pub withs: CteList,
    pub depth: usize,
}

/// One table of FROM.
#[derive(Debug, Clone)]
pub(in crate::rules) struct FromItem {
    /// The name that SQLite knows it by.
    pub name: String,
    /// The name in the SQL that is made, quoted.
    pub alias: String,
    pub relation: Rc<Relation>,
    /// Columns that USING has merged into one of a table before.
    pub hidden: BTreeSet<usize>,
    /// What columns are in a join that fills up with NULLs on both sides.
    pub merged: BTreeMap<usize, TypedExpr>,
    /// NEW and OLD of a trigger.
    pub only_qualified: bool,
}

impl FromItem {
    pub(in crate::rules) fn new(name: String, alias: String, relation: Rc<Relation>) -> Self {
        let (hidden, merged) = (BTreeSet::new(), BTreeMap::new());
        Self { name, alias, relation, hidden, merged, only_qualified: false }
    }
}

/// What is allowed where an expression stands.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent permissions")]
pub(in crate::rules) struct AllowedConstructs {
    /// Names of results.
    pub aliases: bool,
    pub aggregates: bool,
    pub windows: bool,
    /// Columns are noted, because they must be grouped.
    pub notes: bool,
}

/// A column outside of aggregates.
#[derive(Debug, Clone)]
pub(in crate::rules) struct BareColumn {
    pub source: usize,
    pub operand: TypedExpr,
}

/// One SELECT.
#[derive(Debug)]
pub(in crate::rules) struct SelectScope<'a, 'b> {
    pub place: ScopeContext<'a>,
    pub sources: RefCell<Vec<FromItem>>,
    /// Results with their names.
    pub results: RefCell<Vec<(String, &'b Expr<'b>)>>,
    /// What is grouped by, where it is no plain column.
    pub groups: RefCell<Vec<&'b Expr<'b>>>,
    pub windows: RefCell<Vec<(String, &'b Window<'b>)>>,
    pub state: Cell<AllowedConstructs>,
    pub uses: RefCell<Vec<BareColumn>>,
    /// Whether an aggregate was seen.
    pub aggregated: Cell<bool>,
}

impl<'a, 'b> SelectScope<'a, 'b> {
    pub(in crate::rules) fn new(place: ScopeContext<'a>) -> Result<Self, Untranslatable> {
        if place.depth > DEPTH_MAX {
            return Err(refuse("it is nested too deeply"));
        }
        Ok(Self {
            place,
            sources: RefCell::default(),
            results: RefCell::default(),
            groups: RefCell::default(),
            windows: RefCell::default(),
            state: Cell::default(),
            uses: RefCell::default(),
            aggregated: Cell::default(),
        })
    }

    /// Translates an expression that stands in this SELECT.
    pub(in crate::rules) fn operand(
        &self,
        expression: &Expr<'_>,
        state: AllowedConstructs,
    ) -> Result<TypedExpr, Untranslatable> {
        let before = self.state.replace(state);
        let found = translate(&NameScope::of_query(self), expression);
        self.state.set(before);
        found
    }

    /// Translates a condition.
    pub(in crate::rules) fn condition(
        &self,
        expression: &Expr<'_>,
        state: AllowedConstructs,
    ) -> Result<String, Untranslatable> {
        let operand = self.operand(expression, state)?;
        operand.uncollated()?;
        operand.condition()
    }

    /// Adds a table under a name that no other of the statement has.
    pub(in crate::rules) fn add(&self, name: &str, relation: Rc<Relation>) -> String {
        let alias = super::relations::free_name(name, &mut self.place.statement.taken.borrow_mut());
        self.sources.borrow_mut().push(FromItem::new(name.to_owned(), alias.clone(), relation));
        alias
    }

    /// A column that was named without its table, noted if it has to be grouped.
    pub(in crate::rules) fn merged(&self, source: usize, column: usize) -> Result<TypedExpr, Untranslatable> {
        let merged = self.sources.borrow().get(source).and_then(|source| source.merged.get(&column).cloned());
        match merged {
            Some(_) if self.state.get().notes && !self.groups.borrow().is_empty() => {
                Err(refuse("a column that a join filled up with NULLs on both sides is grouped"))
            }
            Some(operand) => Ok(operand),
            None => self.column(source, column),
        }
    }

    /// A column of a table, noted if it has to be grouped.
    pub(in crate::rules) fn column(&self, source: usize, column: usize) -> Result<TypedExpr, Untranslatable> {
        let sources = self.sources.borrow();
        let missing = || refuse("a column can't be found");
        let found = sources.get(source).ok_or_else(missing)?;
        let operand = under(&found.alias, &found.relation.columns.get(column).ok_or_else(missing)?.operand);
        if self.state.get().notes {
            self.uses.borrow_mut().push(BareColumn { source, operand: operand.clone() });
        }
        Ok(operand)
    }

    /// The columns of this name that can be seen without naming the table.
    pub(in crate::rules) fn visible(&self, name: &str) -> Vec<(usize, usize)> {
        let sources = self.sources.borrow();
        let of = |(at, source): (usize, &FromItem)| {
            let column = source.relation.position(name)?;
            (!source.only_qualified && !source.hidden.contains(&column)).then_some((at, column))
        };
        sources.iter().enumerate().filter_map(of).collect()
    }

    fn rowid(&self, name: &str) -> Option<Result<(usize, usize), Untranslatable>> {
        if !is_rowid(name) {
            return None;
        }
        let sources = self.sources.borrow();
        let seen: Vec<(usize, &FromItem)> = sources.iter().enumerate().filter(|(_, one)| !one.only_qualified).collect();
        match seen.as_slice() {
            [] => None,
            [(at, source)] => Some(match source.relation.rowid {
                Some(column) => Ok((*at, column)),
                None => Err(refuse("it uses the rowid, which is no column")),
            }),
            _ => Some(Err(refuse("it uses the rowid of one of several tables"))),
        }
    }

    /// The result of this name.
    pub(in crate::rules) fn result(&self, name: &str) -> Option<&'b Expr<'b>> {
        let results = self.results.borrow();
        results.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, expression)| *expression)
    }

    /// Whether the expression is one that is grouped by, as it stands there.
    fn is_group(&self, expression: &Expr<'_>) -> bool {
        self.groups.borrow().iter().any(|group| equal(group, expression))
    }
}

/// Whether two expressions are written alike.
pub(in crate::rules) fn equal<'t>(one: &Expr<'t>, other: &Expr<'t>) -> bool {
    one == other
}

/// One of the names that SQLite has for the rowid.
pub(in crate::rules) fn is_rowid(name: &str) -> bool {
    ["rowid", "_rowid_", "oid"].iter().any(|one| one.eq_ignore_ascii_case(name))
}

impl QueryContext for SelectScope<'_, '_> {
    fn identifier(&self, name: &str) -> Result<Option<TypedExpr>, Untranslatable> {
        match self.visible(name).as_slice() {
            [] => {}
            [(source, column)] => return self.merged(*source, *column).map(Some),
            _ => return Err(refuse("it names a column that several of its tables have")),
        }
        if self.state.get().aliases
            && let Some(expression) = self.result(name)
        {
            let state = AllowedConstructs { aliases: false, ..self.state.get() };
            return self.operand(expression, state).map(Some);
        }
        if let Some(found) = self.rowid(name) {
            let (source, column) = found?;
            return self.column(source, column).map(Some);
        }
        self.place.parent.map_or(Ok(None), |parent| parent.identifier(name))
    }

    fn qualified(&self, table: &str, column: &str) -> Result<TypedExpr, Untranslatable> {
        let named: Vec<(usize, Option<usize>)> = {
            let sources = self.sources.borrow();
            let of = |(at, source): (usize, &FromItem)| {
                let relation = &source.relation;
                let found = relation.position(column).or(relation.rowid.filter(|_| is_rowid(column)));
                source.name.eq_ignore_ascii_case(table).then_some((at, found))
            };
            sources.iter().enumerate().filter_map(of).collect()
        };
        if let Some((at, found)) = named.iter().find_map(|(at, found)| Some((*at, (*found)?))) {
            return self.column(at, found);
        }
        match (named.is_empty(), self.place.parent) {
            (true, Some(parent)) => parent.qualified(table, column),
            (false, _) if is_rowid(column) => Err(refuse("it uses the rowid, which is no column")),
            _ => Err(refuse("it names a column that none of its tables has")),
        }
    }

    fn part(&self, expression: &Expr<'_>, depth: usize) -> Option<Result<TypedExpr, Untranslatable>> {
        if let Err(spent) = self.place.statement.burn() {
            return Some(Err(spent));
        }
        let state = self.state.get();
        let simple = matches!(expression, Expr::Id(_) | Expr::Name(_) | Expr::Qualified(..) | Expr::Literal(_));
        if state.notes && !simple && self.is_group(expression) {
            return Some(self.operand(expression, AllowedConstructs { notes: false, ..state }));
        }
        match expression {
            Expr::Subquery(_) | Expr::Exists(_) | Expr::InSelect { .. } | Expr::InTable { .. } => {
                Some(subquery::part(self, expression, depth))
            }
            Expr::FunctionCall { filter_over: Some(tail), .. }
            | Expr::FunctionCallStar { filter_over: Some(tail), .. }
                if tail.over_clause.is_some() =>
            {
                Some(window::call(self, expression))
            }
            Expr::FunctionCall { name, args, .. } => {
                let count = args.map_or(0, <[_]>::len);
                let name = unquote(name.0).0.to_ascii_lowercase();
                aggregate::is_aggregate(&name, count).then(|| aggregate::call(self, expression))
            }
            Expr::FunctionCallStar { .. } => Some(aggregate::call(self, expression)),
            Expr::DoublyQualified(schema, table, column) if unquote(schema.0).0.eq_ignore_ascii_case("main") => {
                Some(self.qualified(&unquote(table.0).0, &unquote(column.0).0))
            }
            _ => None,
        }
    }

    fn depth(&self) -> usize {
        self.place.depth
    }

    fn utf8(&self) -> bool {
        self.place.statement.catalogue.utf8
    }
}
