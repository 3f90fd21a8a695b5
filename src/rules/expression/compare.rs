//! Translates comparisons: affinity first, then class against class, then collation (SQLite "Datatypes", sections 4 and
//! 7).

use sqlite3_parser::ast::Operator;

use super::{
    Untranslatable, datetime_functions,
    literal::{Value, numeric_text, stored},
    name_resolution::NameScope,
    refuse,
    typed_expr::{Collation, ExprType, TypedExpr, numeric},
};
use crate::{
    model::{identifier::quote_literal, source_schema::Affinity},
    rules::datetime,
};

words! {
    /// A comparison operator.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::rules) enum Comparison: word {
        Equals = "=",
        NotEquals = "<>",
        Less = "<",
        LessEquals = "<=",
        Greater = ">",
        GreaterEquals = ">=",
        Is = "IS NOT DISTINCT FROM",
        IsNot = "IS DISTINCT FROM",
    }
}

impl Comparison {
    pub(in crate::rules) fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Equals => Some(Self::Equals),
            Operator::NotEquals => Some(Self::NotEquals),
            Operator::Less => Some(Self::Less),
            Operator::LessEquals => Some(Self::LessEquals),
            Operator::Greater => Some(Self::Greater),
            Operator::GreaterEquals => Some(Self::GreaterEquals),
            Operator::Is => Some(Self::Is),
            Operator::IsNot => Some(Self::IsNot),
            _ => None,
        }
    }

    const fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessEquals | Self::Greater | Self::GreaterEquals)
    }

    /// The same with the sides exchanged.
    const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEquals => Self::GreaterEquals,
            Self::Greater => Self::Less,
            Self::GreaterEquals => Self::LessEquals,
            same => same,
        }
    }

    /// The answer where the left side is always less, or always greater, than the right.
    const fn of_classes(self, left_less: bool) -> bool {
        match self {
            Self::Equals | Self::Is => false,
            Self::NotEquals | Self::IsNot => true,
            Self::Less | Self::LessEquals => left_less,
            Self::Greater | Self::GreaterEquals => !left_less,
        }
    }
}

/// Two sides that PostgreSQL compares as SQLite does, or an answer that needs no comparison.
enum Pair {
    Sides(String, String),
    Answer(Box<TypedExpr>),
}

impl Pair {
    fn answer(answer: TypedExpr) -> Self {
        Self::Answer(Box::new(answer))
    }
}

/// `left comparison right`.
pub(in crate::rules) fn compare(
    scope: &NameScope<'_>,
    comparison: Comparison,
    left: &TypedExpr,
    right: &TypedExpr,
) -> Result<TypedExpr, Untranslatable> {
    Ok(match pair(scope, comparison, left, right)? {
        Pair::Sides(left, right) => {
            TypedExpr::compound(format!("{left} {} {right}", comparison.word()), ExprType::Bool)
        }
        Pair::Answer(operand) => *operand,
    })
}

/// Both sides of `value IN (SELECT item)`.
pub(in crate::rules) fn member(
    scope: &NameScope<'_>,
    value: &TypedExpr,
    item: &TypedExpr,
) -> Result<(String, String), Untranslatable> {
    match pair(scope, Comparison::Equals, value, item)? {
        Pair::Sides(left, right) => Ok((left, right)),
        Pair::Answer(_) => Err(refuse("values of different classes meet in IN")),
    }
}

/// `value [NOT] IN (items)`.
pub(in crate::rules) fn one_of(
    scope: &NameScope<'_>,
    value: &TypedExpr,
    not: bool,
    items: &[TypedExpr],
) -> Result<TypedExpr, Untranslatable> {
    if items.is_empty() {
        return Ok(TypedExpr::atom(not.to_string(), ExprType::Bool));
    }
    let mut sides = Vec::new();
    let mut answers = Vec::new();
    let mut subject = String::new();
    for item in items {
        match pair(scope, Comparison::Equals, value, item)? {
            Pair::Sides(left, right) if sides.is_empty() || subject == left => {
                subject = left;
                sides.push(right);
            }
            Pair::Sides(left, right) => answers.push(format!("({left} = {right})")),
            Pair::Answer(operand) => answers.push(operand.condition()?),
        }
    }
    if !sides.is_empty() {
        answers.insert(0, format!("({subject} IN ({}))", sides.join(", ")));
    }
    let mut found = match answers.as_slice() {
        [one] => TypedExpr::atom(one.clone(), ExprType::Bool),
        _ => TypedExpr::compound(answers.join(" OR "), ExprType::Bool),
    };
    found.never_false = exhausts(value, items);
    Ok(if not { TypedExpr::compound(format!("NOT {}", found.arg()), ExprType::Bool) } else { found })
}

/// Whether every value that the type admits is among the items.
fn exhausts(value: &TypedExpr, items: &[TypedExpr]) -> bool {
    let has = |wanted: &Value| items.iter().any(|item| item.constant.as_ref() == Some(wanted));
    match value.kind {
        ExprType::Bool => has(&Value::Integer(0)) && has(&Value::Integer(1)),
        ExprType::ClassOf(class) => has(&Value::Text("null".to_owned())) && has(&Value::Text(class.to_owned())),
        _ => false,
    }
}

/// `operand IS NULL` and its opposite.
pub(in crate::rules) fn null_test(operand: &TypedExpr, test: &str) -> TypedExpr {
    match operand.kind {
        // The name of a class is never NULL.
        ExprType::ClassOf(_) => TypedExpr::atom((test == "IS NOT NULL").to_string(), ExprType::Bool),
        _ => TypedExpr::compound(format!("{} {test}", operand.arg()), ExprType::Bool),
    }
}

fn pair(
    scope: &NameScope<'_>,
    comparison: Comparison,
    left: &TypedExpr,
    right: &TypedExpr,
) -> Result<Pair, Untranslatable> {
    if left.is_null() || right.is_null() {
        return Ok(Pair::answer(null_side(comparison, left, right)));
    }
    if left.vague || right.vague {
        vague_sides(left, right)?;
    }
    let affinity = comparison_affinity(left, right);
    let (left, right) = (converted(left, affinity)?, converted(right, affinity)?);
    if left.kind == ExprType::Bool
        && let Some(answer) = truth(comparison, &left, &right)
    {
        return Ok(Pair::answer(answer));
    }
    if right.kind == ExprType::Bool
        && let Some(answer) = truth(comparison, &right, &left)
    {
        return Ok(Pair::answer(answer));
    }
    match (left.kind, right.kind) {
        (ExprType::Opaque(_), _) => Err(left.refusal("is compared")),
        (_, ExprType::Opaque(_)) => Err(right.refusal("is compared")),
        (ExprType::ClassOf(class), _) => class_name(comparison, &left, class, &right).map(Pair::answer),
        (_, ExprType::ClassOf(class)) => class_name(comparison, &right, class, &left).map(Pair::answer),
        (ExprType::Bool, ExprType::Bool)
        | (ExprType::Blob, ExprType::Blob)
        | (ExprType::Date, ExprType::Date)
        | (ExprType::Stamp, ExprType::Stamp)
        | (ExprType::Uuid, ExprType::Uuid) => Ok(Pair::Sides(left.arg(), right.arg())),
        (ExprType::Uuid, ExprType::Text) => Ok(Pair::Sides(left.arg(), uuid_literal(comparison, &right)?)),
        (ExprType::Text, ExprType::Uuid) => Ok(Pair::Sides(uuid_literal(comparison, &left)?, right.arg())),
        (ExprType::Stamp, ExprType::Text) => stamp_against(comparison, &left, &right),
        (ExprType::Text, ExprType::Stamp) => stamp_against(comparison.mirrored(), &right, &left),
        (ExprType::Epoch(one), ExprType::Epoch(other)) if one == other => Ok(Pair::Sides(left.arg(), right.arg())),
        (ExprType::Epoch(unit), ExprType::Int(_) | ExprType::Real(_)) => {
            Ok(Pair::Sides(left.arg(), datetime_functions::epoch_literal(&right, unit)?))
        }
        (ExprType::Int(_) | ExprType::Real(_), ExprType::Epoch(unit)) => {
            Ok(Pair::Sides(datetime_functions::epoch_literal(&left, unit)?, right.arg()))
        }
        (ExprType::Epoch(_), kind) | (kind, ExprType::Epoch(_)) if class_rank(kind) == Some(0) => {
            Err(refuse("a time that was a number is compared with another number"))
        }
        (ExprType::Date, ExprType::Text) => Ok(Pair::Sides(left.arg(), date_literal(&right)?)),
        (ExprType::Text, ExprType::Date) => Ok(Pair::Sides(date_literal(&left)?, right.arg())),
        (ExprType::Text, ExprType::Text) => texts(scope, comparison, &left, &right),
        (ExprType::Written, _) => written(comparison, &left, &right),
        (_, ExprType::Written) => written(comparison, &right, &left).map(|pair| match pair {
            Pair::Sides(one, other) => Pair::Sides(other, one),
            answer @ Pair::Answer(_) => answer,
        }),
        (one, other) => by_class(comparison, &left, class_rank(one), &right, class_rank(other)),
    }
}

/// Numbers, or values of classes that never meet.
fn by_class(
    comparison: Comparison,
    left: &TypedExpr,
    left_rank: Option<u8>,
    right: &TypedExpr,
    right_rank: Option<u8>,
) -> Result<Pair, Untranslatable> {
    match (left_rank, right_rank) {
        (Some(0), Some(0)) => numbers(left, right).map(|(left, right)| Pair::Sides(left, right)),
        (Some(one), Some(other)) if one != other => {
            Ok(Pair::answer(never_equal(left, right, comparison, comparison.of_classes(one < other))))
        }
        (Some(_), _) => Err(right.refusal("is compared")),
        (None, _) => Err(left.refusal("is compared")),
    }
}

/// Numbers before text before blobs (SQLite "Datatypes", section 4.1).
const fn class_rank(kind: ExprType) -> Option<u8> {
    match kind {
        ExprType::Bool
        | ExprType::Int(_)
        | ExprType::Real(_)
        | ExprType::Double(_)
        | ExprType::Numeric(_)
        | ExprType::Epoch(_) => Some(0),
        ExprType::Text | ExprType::Date | ExprType::Stamp | ExprType::Uuid => Some(1),
        ExprType::Blob => Some(2),
        ExprType::Null | ExprType::Written | ExprType::Json | ExprType::ClassOf(_) | ExprType::Opaque(_) => None,
    }
}

fn null_side(comparison: Comparison, left: &TypedExpr, right: &TypedExpr) -> TypedExpr {
    let other = if left.is_null() { right } else { left };
    match comparison {
        Comparison::Is => null_test(other, "IS NULL"),
        Comparison::IsNot => null_test(other, "IS NOT NULL"),
        _ => TypedExpr::atom("NULL::boolean", ExprType::Bool),
    }
}

/// An answer that doesn't depend on the values, only on whether they are NULL.
fn never_equal(left: &TypedExpr, right: &TypedExpr, comparison: Comparison, answer: bool) -> TypedExpr {
    let nullable: Vec<String> =
        [left, right].iter().filter(|side| side.constant.is_none()).map(|side| side.arg()).collect();
    let test =
        |test: &str, word: &str| nullable.iter().map(|sql| format!("{sql} {test}")).collect::<Vec<_>>().join(word);
    if nullable.is_empty() {
        return TypedExpr::atom(answer.to_string(), ExprType::Bool);
    }
    let sql = match (comparison, answer) {
        // A constant is never NULL, so that two sides are both NULL only if neither is constant.
        (Comparison::Is, _) if nullable.len() == 2 => test("IS NULL", " AND "),
        (Comparison::IsNot, _) if nullable.len() == 2 => test("IS NOT NULL", " OR "),
        (Comparison::Is | Comparison::IsNot, answer) => return TypedExpr::atom(answer.to_string(), ExprType::Bool),
        (_, true) => format!("({}) OR NULL", test("IS NOT NULL", " AND ")),
        (_, false) => format!("({}) AND NULL", test("IS NULL", " OR ")),
    };
    TypedExpr { never_false: answer, ..TypedExpr::compound(sql, ExprType::Bool) }
}

/// `typeof(x)` against a constant.
fn class_name(
    comparison: Comparison,
    of: &TypedExpr,
    class: &str,
    other: &TypedExpr,
) -> Result<TypedExpr, Untranslatable> {
    let Some(Value::Text(word)) = &other.constant else {
        return Err(refuse("typeof() is compared with something that is no constant"));
    };
    let equal = match comparison {
        Comparison::Equals | Comparison::Is => true,
        Comparison::NotEquals | Comparison::IsNot => false,
        _ => return Err(refuse("typeof() is compared by order")),
    };
    let null_answer = (word == "null") == equal;
    let value_answer = (word == class) == equal;
    Ok(match (value_answer, null_answer) {
        (true, true) => TypedExpr { never_false: true, ..TypedExpr::atom("true", ExprType::Bool) },
        (false, false) => TypedExpr::atom("false", ExprType::Bool),
        (true, false) => TypedExpr::compound(format!("{} IS NOT NULL", of.arg()), ExprType::Bool),
        (false, true) => TypedExpr::compound(format!("{} IS NULL", of.arg()), ExprType::Bool),
    })
}

/// A boolean against 0 or 1.
fn truth(comparison: Comparison, flag: &TypedExpr, other: &TypedExpr) -> Option<TypedExpr> {
    let set = match other.constant {
        Some(Value::Integer(number @ (0 | 1))) => number == 1,
        Some(Value::Real(number)) if [0.0_f64.to_bits(), 1.0_f64.to_bits()].contains(&number.to_bits()) => number > 0.0,
        _ => return None,
    };
    let word = if set { "TRUE" } else { "FALSE" };
    let sql = flag.arg();
    match comparison {
        Comparison::Equals | Comparison::NotEquals => {
            let plain = (comparison == Comparison::Equals) == set;
            Some(if plain {
                TypedExpr::atom(sql, ExprType::Bool)
            } else {
                TypedExpr::compound(format!("NOT {sql}"), ExprType::Bool)
            })
        }
        Comparison::Is => Some(TypedExpr::compound(format!("{sql} IS {word}"), ExprType::Bool)),
        Comparison::IsNot => Some(TypedExpr::compound(format!("{sql} IS NOT {word}"), ExprType::Bool)),
        _ => None,
    }
}

/// The affinity that is applied to both sides (SQLite "Datatypes", section 4.2): NUMERIC, TEXT, or none.
fn comparison_affinity(left: &TypedExpr, right: &TypedExpr) -> Option<Affinity> {
    let numeric = |affinity| matches!(affinity, Affinity::Integer | Affinity::Real | Affinity::Numeric);
    match (left.affinity, right.affinity) {
        (Some(one), Some(other)) => (numeric(one) || numeric(other)).then_some(Affinity::Numeric),
        (Some(one), None) | (None, Some(one)) if numeric(one) => Some(Affinity::Numeric),
        (Some(Affinity::Text), None) | (None, Some(Affinity::Text)) => Some(Affinity::Text),
        _ => None,
    }
}

fn converted(operand: &TypedExpr, affinity: Option<Affinity>) -> Result<TypedExpr, Untranslatable> {
    match (affinity, &operand.kind) {
        (Some(Affinity::Numeric), ExprType::Text) => match (&operand.constant, operand.affinity) {
            (Some(Value::Text(text)), _) => {
                let value = numeric_text(text).unwrap_or_else(|| Value::Text(text.clone()));
                Ok(TypedExpr { collation: operand.collation, ..TypedExpr::constant(value) })
            }
            // Text that is stored under such an affinity never looks like a number.
            (None, Some(Affinity::Integer | Affinity::Real | Affinity::Numeric)) => Ok(operand.clone()),
            _ => Err(refuse("a text is compared with a number, for which SQLite reads it as a number")),
        },
        (
            Some(Affinity::Text),
            ExprType::Bool | ExprType::Int(_) | ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_),
        ) => match operand.constant.clone() {
            Some(value) => Ok(TypedExpr::constant(stored(value, Affinity::Text))),
            None => Ok(TypedExpr::compound(operand.text()?, ExprType::Text)),
        },
        (Some(Affinity::Text), ExprType::Epoch(_)) => Err(operand.refusal("is compared as text")),
        _ => Ok(operand.clone()),
    }
}

fn numbers(left: &TypedExpr, right: &TypedExpr) -> Result<(String, String), Untranslatable> {
    let real = |operand: &TypedExpr| matches!(operand.kind, ExprType::Real(_) | ExprType::Double(_));
    let whole = |operand: &TypedExpr| matches!(operand.kind, ExprType::Int(_) | ExprType::Bool);
    // A REAL constant is a decimal beside integers and decimals.
    let exact = |operand: &TypedExpr| !real(operand) || operand.constant.is_some();
    if whole(left) && whole(right) {
        Ok((left.integer()?, right.integer()?))
    } else if exact(left) && exact(right) {
        Ok((numeric(left)?, numeric(right)?))
    } else {
        Ok((left.double()?, right.double()?))
    }
}

fn texts(
    scope: &NameScope<'_>,
    comparison: Comparison,
    left: &TypedExpr,
    right: &TypedExpr,
) -> Result<Pair, Untranslatable> {
    let fold = |operand: &TypedExpr, collation: Collation| match collation {
        Collation::Binary if comparison.orders() => Ok(format!("{} COLLATE \"C\"", operand.arg())),
        Collation::Binary => Ok(operand.arg()),
        // Under "C" lower() folds A to Z and nothing else.
        Collation::NoCase => Ok(format!("lower({} COLLATE \"C\")", operand.arg())),
        Collation::RTrim if comparison.orders() => Ok(format!("rtrim({}, ' ') COLLATE \"C\"", operand.arg())),
        Collation::RTrim => Ok(format!("rtrim({}, ' ')", operand.arg())),
        Collation::Unknown => Err(refuse("it compares under a collation of the application's own")),
    };
    if comparison.orders() && !scope.utf8() {
        return Err(refuse("the database is UTF-16, in which text has another order"));
    }
    let collation = collation(left, right);
    let (left, right) = (fold(left, collation)?, fold(right, collation)?);
    // COLLATE binds tighter than any comparison.
    Ok(Pair::Sides(left, right))
}

/// Texts and integers, both written as text, for equality with a constant. The constant has been read as a number
/// already if it looks like one.
fn written(comparison: Comparison, side: &TypedExpr, constant: &TypedExpr) -> Result<Pair, Untranslatable> {
    let plain = side.collation.is_none_or(|(collation, _)| collation == Collation::Binary);
    match &constant.constant {
        _ if comparison.orders() || !plain => Err(side.refusal("is compared by order or under a collation")),
        // Without the column's affinity `'5'` is not the integer that is written so.
        Some(Value::Text(text)) if numeric_text(text).is_none() => Ok(Pair::Sides(side.arg(), quote_literal(text))),
        Some(Value::Integer(number)) => Ok(Pair::Sides(side.arg(), quote_literal(&number.to_string()))),
        _ => Err(side.refusal("is compared")),
    }
}

/// The collation of a comparison: an explicit one, left first; else a column's, left first.
fn collation(left: &TypedExpr, right: &TypedExpr) -> Collation {
    let explicit = |operand: &TypedExpr| operand.collation.filter(|(_, explicit)| *explicit);
    let found = explicit(left).or_else(|| explicit(right)).or(left.collation).or(right.collation);
    found.map_or(Collation::Binary, |(collation, _)| collation)
}

/// Without its affinity, a side may only meet values of its own class.
fn vague_sides(left: &TypedExpr, right: &TypedExpr) -> Result<(), Untranslatable> {
    let same = match (class_rank(left.kind), class_rank(right.kind)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    };
    let number = |side: &TypedExpr| {
        let numeric = matches!(side.affinity, Some(Affinity::Integer | Affinity::Real | Affinity::Numeric));
        numeric && side.kind == ExprType::Text
    };
    if same && !number(left) && !number(right) {
        return Ok(());
    }
    Err(refuse("a column of a compound query is compared with a value of another class"))
}

/// A constant as a `uuid`, for equality: other texts are equal to none.
fn uuid_literal(comparison: Comparison, operand: &TypedExpr) -> Result<String, Untranslatable> {
    let canonical = |text: &str| {
        text.len() == 36
            && text.char_indices().all(|(place, one)| match place {
                8 | 13 | 18 | 23 => one == '-',
                _ => one.is_ascii_digit() || ('a'..='f').contains(&one),
            })
    };
    match &operand.constant {
        Some(Value::Text(text)) if canonical(text) && !comparison.orders() => {
            Ok(format!("{}::uuid", quote_literal(text)))
        }
        _ => Err(refuse("a UUID is compared with a text that is no UUID in lower case")),
    }
}

/// A timestamp against a constant: a whole timestamp as PostgreSQL prints it, or a date, which as a text stands before
/// all times of its day.
fn stamp_against(comparison: Comparison, stamp: &TypedExpr, constant: &TypedExpr) -> Result<Pair, Untranslatable> {
    let refused = || refuse("a timestamp is compared with a text that is no timestamp of the same spelling");
    let Some(Value::Text(text)) = &constant.constant else { return Err(refused()) };
    if datetime::parse_date(text.as_bytes()).is_some() {
        let word = match comparison {
            Comparison::Less | Comparison::LessEquals => "<",
            Comparison::Greater | Comparison::GreaterEquals => ">=",
            _ => return Ok(Pair::answer(never_equal(stamp, constant, comparison, comparison.of_classes(false)))),
        };
        let sql = format!("{} {word} {}::timestamp", stamp.arg(), quote_literal(text));
        return Ok(Pair::answer(TypedExpr::compound(sql, ExprType::Bool)));
    }
    let plain = text.len() >= 19 && text.as_bytes().get(10) == Some(&b' ') && !text.ends_with(['0', '.']);
    let plain = plain || (text.len() == 19 && text.as_bytes().get(10) == Some(&b' '));
    let stamped = datetime::parse_stamp(text.as_bytes()).filter(|found| found.offset_minutes.is_none());
    if !plain || stamped.is_none() {
        return Err(refused());
    }
    let sql = format!("{} {} {}::timestamp", stamp.arg(), comparison.word(), quote_literal(text));
    Ok(Pair::answer(TypedExpr::compound(sql, ExprType::Bool)))
}

fn date_literal(operand: &TypedExpr) -> Result<String, Untranslatable> {
    match &operand.constant {
        Some(Value::Text(text)) if datetime::parse_date(text.as_bytes()).is_some() => {
            Ok(format!("{}::date", quote_literal(text)))
        }
        _ => Err(refuse("a date is compared with a text that is no whole date")),
    }
}
