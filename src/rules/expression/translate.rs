//! Walks the syntax tree of an expression and translates each node.

use sqlite3_parser::ast::{Expr, FunctionTail, Literal, Operator, UnaryOperator};

use super::{
    Untranslatable, arithmetic, builtins, compare,
    compare::Comparison,
    datetime_functions, like_glob,
    literal::{self, Value},
    name_resolution::NameScope,
    parse::{Quoting, unquote},
    query_context::QueryContext,
    refuse,
    typed_expr::{Collation, ExprType, TypedExpr, unify},
};

/// Deepest tree that is followed; chains of AND, OR and `||` count as one level.
const DEPTH_MAX: usize = 60;

/// Translates a tree.
pub(in crate::rules) fn translate(scope: &NameScope<'_>, expression: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
    let depth = scope.query().map_or(0, QueryContext::depth);
    Translator { scope, depth }.operand(expression)
}

#[derive(Clone, Copy)]
struct Translator<'a> {
    scope: &'a NameScope<'a>,
    depth: usize,
}

impl Translator<'_> {
    fn operand(self, expression: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
        if self.depth > DEPTH_MAX {
            return Err(refuse("it is nested too deeply"));
        }
        if let Some(found) = self.scope.query().and_then(|query| query.part(expression, self.depth)) {
            return found;
        }
        let inner = Translator { depth: self.depth + 1, ..self };
        match expression {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Id(id) => self.identifier(id.0),
            Expr::Name(name) => self.identifier(name.0),
            Expr::Qualified(table, column) => self.scope.qualified(&unquote(table.0).0, &unquote(column.0).0),
            Expr::Parenthesized(expressions) => match expressions.as_slice() {
                [one] => inner.operand(one),
                _ => Err(refuse("row values have no exact equivalent here")),
            },
            Expr::Binary(..) => inner.binary(expression),
            Expr::Unary(operator, operand) => inner.unary(*operator, operand),
            Expr::Between { lhs, not, start, end } => inner.between(lhs, *not, start, end),
            Expr::InList { lhs, not, rhs } => inner.in_list(lhs, *not, rhs.unwrap_or_default()),
            Expr::IsNull(operand) => inner.null_test(operand, "IS NULL"),
            Expr::NotNull(operand) => inner.null_test(operand, "IS NOT NULL"),
            Expr::Like { lhs, not, op, rhs, escape } => {
                let escape = escape.map(|escape| inner.operand(escape)).transpose()?;
                like_glob::matches(*op, &inner.operand(lhs)?, *not, &inner.operand(rhs)?, escape.as_ref())
            }
            Expr::Case { base, when_then_pairs, else_expr } => inner.case(*base, when_then_pairs, *else_expr),
            Expr::Cast { expr, type_name } => {
                let name = type_name.as_ref().map_or("", |found| found.name);
                arithmetic::cast(inner.operand(expr)?, &unquote(name).0)
            }
            Expr::Collate(operand, name) => {
                let mut operand = inner.operand(operand)?;
                operand.collation = Some((Collation::named(&unquote(name).0), true));
                Ok(operand)
            }
            Expr::FunctionCall { name, distinctness: None, args, order_by: None, filter_over: None } => {
                let arguments = args.unwrap_or_default().iter().map(|argument| inner.operand(argument));
                builtins::call(self.scope, &unquote(name.0).0, &arguments.collect::<Result<Vec<_>, _>>()?)
            }
            Expr::FunctionCall { .. } => Err(refuse("an aggregate or window function is used")),
            Expr::FunctionCallStar { filter_over, .. } => Err(star(filter_over.as_ref())),
            Expr::Exists(_) | Expr::Subquery(_) | Expr::InSelect { .. } | Expr::InTable { .. } => {
                Err(refuse("PostgreSQL allows no subquery here"))
            }
            Expr::DoublyQualified(..) => Err(refuse("it names another schema")),
            Expr::Raise(..) => Err(refuse("RAISE stands outside a trigger")),
            Expr::Variable(_) => Err(refuse("it has a parameter")),
        }
    }

    fn literal(self, literal: &Literal<'_>) -> Result<TypedExpr, Untranslatable> {
        let unreadable = || refuse("a literal can't be read");
        let value = match literal {
            Literal::Numeric(token) => literal::number(token).ok_or_else(unreadable)?,
            Literal::String(token) => Value::Text(literal::string(token).ok_or_else(unreadable)?),
            Literal::Blob(digits) => Value::Blob(literal::blob(digits).ok_or_else(unreadable)?),
            Literal::Null => Value::Null,
            Literal::CurrentDate => return datetime_functions::call(self.scope, "date", &[]),
            Literal::CurrentTime => return datetime_functions::call(self.scope, "time", &[]),
            Literal::CurrentTimestamp => return datetime_functions::call(self.scope, "datetime", &[]),
            Literal::Keyword(_) => return Err(refuse("a keyword stands where a value is expected")),
        };
        Ok(TypedExpr::constant(value))
    }

    fn identifier(self, raw: &str) -> Result<TypedExpr, Untranslatable> {
        let (name, quoting) = unquote(raw);
        self.scope.identifier(&name, quoting)
    }

    fn binary(self, expression: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
        let Expr::Binary(left, operator, right) = expression else { return Err(refuse("it can't be read")) };
        match operator {
            Operator::And | Operator::Or | Operator::Concat => {
                let operands = self.chain(expression, *operator)?;
                if *operator == Operator::Concat {
                    arithmetic::concatenate(&operands)
                } else {
                    logical(*operator, &operands)
                }
            }
            Operator::Is | Operator::IsNot => self.is(left, *operator == Operator::IsNot, right),
            Operator::ArrowRight | Operator::ArrowRightShift => {
                Err(refuse("the JSON operators -> and ->> have no exact equivalent"))
            }
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulus
            | Operator::BitwiseAnd
            | Operator::BitwiseOr
            | Operator::LeftShift
            | Operator::RightShift => arithmetic::binary(*operator, &self.operand(left)?, &self.operand(right)?),
            Operator::Equals
            | Operator::NotEquals
            | Operator::Less
            | Operator::LessEquals
            | Operator::Greater
            | Operator::GreaterEquals => {
                let comparison = Comparison::of(*operator).ok_or_else(|| refuse("it can't be read"))?;
                compare::compare(self.scope, comparison, &self.operand(left)?, &self.operand(right)?)
            }
        }
    }

    /// The operands of a left-deep chain of one operator, without recursion: enumerations are written so.
    fn chain(self, expression: &Expr<'_>, operator: Operator) -> Result<Vec<TypedExpr>, Untranslatable> {
        let mut operands = Vec::new();
        let mut rest = expression;
        while let Expr::Binary(left, found, right) = rest {
            if *found != operator {
                break;
            }
            operands.push(self.operand(right)?);
            rest = left;
        }
        operands.push(self.operand(rest)?);
        operands.reverse();
        Ok(operands)
    }

    fn is(self, left: &Expr<'_>, not: bool, right: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
        let comparison = if not { Comparison::IsNot } else { Comparison::Is };
        if let Some(word) = self.truth_word(right) {
            let not = if not { "NOT " } else { "" };
            let condition = self.operand(left)?.condition()?;
            return Ok(TypedExpr::compound(format!("{condition} IS {not}{word}"), ExprType::Bool));
        }
        compare::compare(self.scope, comparison, &self.operand(left)?, &self.operand(right)?)
    }

    /// TRUE or FALSE on the right of IS, which tests for truth (SQLite "Expressions", section 13).
    fn truth_word(self, expression: &Expr<'_>) -> Option<&'static str> {
        let raw = match expression {
            Expr::Id(id) => id.0,
            Expr::Name(name) => name.0,
            _ => return None,
        };
        let word = ["TRUE", "FALSE"].into_iter().find(|word| word.eq_ignore_ascii_case(raw))?;
        let found = self.scope.identifier(raw, Quoting::Bare).ok()?;
        found.constant.is_some().then_some(word)
    }

    fn unary(self, operator: UnaryOperator, operand: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
        // SQLite reads -9223372036854775808 as one INTEGER although its digits alone are REAL.
        if let (UnaryOperator::Negative, Expr::Literal(Literal::Numeric("9223372036854775808"))) = (operator, operand) {
            return Ok(TypedExpr::constant(Value::Integer(i64::MIN)));
        }
        let operand = self.operand(operand)?;
        match operator {
            UnaryOperator::Not => {
                operand.uncollated()?;
                Ok(TypedExpr::compound(format!("NOT {}", operand.condition()?), ExprType::Bool))
            }
            UnaryOperator::Positive => Ok(operand.plain()),
            UnaryOperator::Negative => arithmetic::negate(&operand),
            UnaryOperator::BitwiseNot => arithmetic::invert(&operand),
        }
    }

    fn between(
        self,
        value: &Expr<'_>,
        not: bool,
        start: &Expr<'_>,
        end: &Expr<'_>,
    ) -> Result<TypedExpr, Untranslatable> {
        let value = self.operand(value)?;
        let least = compare::compare(self.scope, Comparison::GreaterEquals, &value, &self.operand(start)?)?;
        let most = compare::compare(self.scope, Comparison::LessEquals, &value, &self.operand(end)?)?;
        let both = logical(Operator::And, &[least, most])?;
        Ok(if not { TypedExpr::compound(format!("NOT {}", both.arg()), ExprType::Bool) } else { both })
    }

    fn in_list(self, value: &Expr<'_>, not: bool, list: &[Expr<'_>]) -> Result<TypedExpr, Untranslatable> {
        let value = self.operand(value)?;
        let items = list.iter().map(|item| Ok(self.operand(item)?.listed())).collect::<Result<Vec<_>, _>>()?;
        compare::one_of(self.scope, &value, not, &items)
    }

    fn null_test(self, operand: &Expr<'_>, test: &str) -> Result<TypedExpr, Untranslatable> {
        Ok(compare::null_test(&self.operand(operand)?, test))
    }

    fn case(
        self,
        base: Option<&Expr<'_>>,
        pairs: &[(Expr<'_>, Expr<'_>)],
        otherwise: Option<&Expr<'_>>,
    ) -> Result<TypedExpr, Untranslatable> {
        let base = base.map(|base| self.operand(base)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for (when, then) in pairs {
            let when = self.operand(when)?;
            let condition = match &base {
                Some(base) => compare::compare(self.scope, Comparison::Equals, base, &when)?.condition()?,
                None => when.condition()?,
            };
            conditions.push(condition);
            results.push(self.operand(then)?);
        }
        results.extend(otherwise.map(|otherwise| self.operand(otherwise)).transpose()?);
        let (mut branches, kind, narrow) = unify(&results)?;
        let last = if otherwise.is_some() { branches.pop() } else { None };
        let mut sql = "CASE".to_owned();
        for (condition, branch) in conditions.iter().zip(&branches) {
            sql.push_str(&format!(" WHEN {condition} THEN {branch}"));
        }
        if let Some(last) = last {
            sql.push_str(&format!(" ELSE {last}"));
        }
        sql.push_str(" END");
        Ok(TypedExpr { narrow, ..TypedExpr::compound(sql, kind) })
    }
}

fn star(tail: Option<&FunctionTail<'_>>) -> Untranslatable {
    refuse(if tail.is_some() { "a window function is used" } else { "an aggregate function is used" })
}

/// AND and OR of any number of conditions.
pub(in crate::rules) fn logical(operator: Operator, operands: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let word = if operator == Operator::Or { " OR " } else { " AND " };
    let mut conditions = Vec::new();
    for operand in operands {
        operand.uncollated()?;
        conditions.push(operand.condition()?);
    }
    let mut found = TypedExpr::compound(conditions.join(word), ExprType::Bool);
    found.never_false = if operator == Operator::Or {
        operands.iter().any(|operand| operand.never_false)
    } else {
        operands.iter().all(|operand| operand.never_false)
    };
    Ok(found)
}
