//! Comparisons: affinity first, then class against class, then collation (SQLite "Datatypes", sections 4 and 7).

use sqlite3_parser::ast::Operator;

use super::{
    Untranslatable, datetime_functions,
    literal::{Value, numeric_text, stored},
    name_resolution::Scope,
    refuse,
    typed_expr::{Collation, Kind, Operand, numeric},
};
use crate::{
    model::{identifier::quote_literal, source_schema::Affinity},
    rules::datetime,
};

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Comparison {
    Equals,
    NotEquals,
    Less,
    LessEquals,
    Greater,
    GreaterEquals,
    Is,
    IsNot,
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

    const fn word(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::NotEquals => "<>",
            Self::Less => "<",
            Self::LessEquals => "<=",
            Self::Greater => ">",
            Self::GreaterEquals => ">=",
            Self::Is => "IS NOT DISTINCT FROM",
            Self::IsNot => "IS DISTINCT FROM",
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
    Answer(Operand),
}

/// `left comparison right`.
pub(in crate::rules) fn compare(
    scope: &Scope<'_>,
    comparison: Comparison,
    left: &Operand,
    right: &Operand,
) -> Result<Operand, Untranslatable> {
    Ok(match pair(scope, comparison, left, right)? {
        Pair::Sides(left, right) => Operand::compound(format!("{left} {} {right}", comparison.word()), Kind::Bool),
        Pair::Answer(operand) => operand,
    })
}

/// Both sides of `value IN (SELECT item)`.
pub(in crate::rules) fn member(
    scope: &Scope<'_>,
    value: &Operand,
    item: &Operand,
) -> Result<(String, String), Untranslatable> {
    match pair(scope, Comparison::Equals, value, item)? {
        Pair::Sides(left, right) => Ok((left, right)),
        Pair::Answer(_) => Err(refuse("values of different classes meet in IN")),
    }
}

/// `value [NOT] IN (items)`.
pub(in crate::rules) fn one_of(
    scope: &Scope<'_>,
    value: &Operand,
    not: bool,
    items: &[Operand],
) -> Result<Operand, Untranslatable> {
    if items.is_empty() {
        return Ok(Operand::atom(not.to_string(), Kind::Bool));
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
        [one] => Operand::atom(one.clone(), Kind::Bool),
        _ => Operand::compound(answers.join(" OR "), Kind::Bool),
    };
    found.never_false = exhausts(value, items);
    Ok(if not { Operand::compound(format!("NOT {}", found.arg()), Kind::Bool) } else { found })
}

/// Whether every value that the type admits is among the items.
fn exhausts(value: &Operand, items: &[Operand]) -> bool {
    let has = |wanted: &Value| items.iter().any(|item| item.constant.as_ref() == Some(wanted));
    match value.kind {
        Kind::Bool => has(&Value::Integer(0)) && has(&Value::Integer(1)),
        Kind::ClassOf(class) => has(&Value::Text("null".to_owned())) && has(&Value::Text(class.to_owned())),
        _ => false,
    }
}

/// `operand IS NULL` and its opposite.
pub(in crate::rules) fn null_test(operand: &Operand, test: &str) -> Operand {
    match operand.kind {
        // The name of a class is never NULL.
        Kind::ClassOf(_) => Operand::atom((test == "IS NOT NULL").to_string(), Kind::Bool),
        _ => Operand::compound(format!("{} {test}", operand.arg()), Kind::Bool),
    }
}

fn pair(scope: &Scope<'_>, comparison: Comparison, left: &Operand, right: &Operand) -> Result<Pair, Untranslatable> {
    if left.is_null() || right.is_null() {
        return Ok(Pair::Answer(null_side(comparison, left, right)));
    }
    if left.vague || right.vague {
        vague_sides(left, right)?;
    }
    let affinity = comparison_affinity(left, right);
    let (left, right) = (converted(left, affinity)?, converted(right, affinity)?);
    if left.kind == Kind::Bool
        && let Some(answer) = truth(comparison, &left, &right)
    {
        return Ok(Pair::Answer(answer));
    }
    if right.kind == Kind::Bool
        && let Some(answer) = truth(comparison, &right, &left)
    {
        return Ok(Pair::Answer(answer));
    }
    match (left.kind, right.kind) {
        (Kind::Opaque(_), _) => Err(left.refusal("is compared")),
        (_, Kind::Opaque(_)) => Err(right.refusal("is compared")),
        (Kind::ClassOf(class), _) => class_name(comparison, &left, class, &right).map(Pair::Answer),
        (_, Kind::ClassOf(class)) => class_name(comparison, &right, class, &left).map(Pair::Answer),
        (Kind::Bool, Kind::Bool)
        | (Kind::Blob, Kind::Blob)
        | (Kind::Date, Kind::Date)
        | (Kind::Stamp, Kind::Stamp)
        | (Kind::Uuid, Kind::Uuid) => Ok(Pair::Sides(left.arg(), right.arg())),
        (Kind::Uuid, Kind::Text) => Ok(Pair::Sides(left.arg(), uuid_literal(comparison, &right)?)),
        (Kind::Text, Kind::Uuid) => Ok(Pair::Sides(uuid_literal(comparison, &left)?, right.arg())),
        (Kind::Stamp, Kind::Text) => stamp_against(comparison, &left, &right),
        (Kind::Text, Kind::Stamp) => stamp_against(comparison.mirrored(), &right, &left),
        (Kind::Epoch(one), Kind::Epoch(other)) if one == other => Ok(Pair::Sides(left.arg(), right.arg())),
        (Kind::Epoch(unit), Kind::Int(_) | Kind::Real(_)) => {
            Ok(Pair::Sides(left.arg(), datetime_functions::epoch_literal(&right, unit)?))
        }
        (Kind::Int(_) | Kind::Real(_), Kind::Epoch(unit)) => {
            Ok(Pair::Sides(datetime_functions::epoch_literal(&left, unit)?, right.arg()))
        }
        (Kind::Epoch(_), kind) | (kind, Kind::Epoch(_)) if class_rank(kind) == Some(0) => {
            Err(refuse("a time that was a number is compared with another number"))
        }
        (Kind::Date, Kind::Text) => Ok(Pair::Sides(left.arg(), date_literal(&right)?)),
        (Kind::Text, Kind::Date) => Ok(Pair::Sides(date_literal(&left)?, right.arg())),
        (Kind::Text, Kind::Text) => texts(scope, comparison, &left, &right),
        (Kind::Written, _) => written(comparison, &left, &right),
        (_, Kind::Written) => written(comparison, &right, &left).map(|pair| match pair {
            Pair::Sides(one, other) => Pair::Sides(other, one),
            answer @ Pair::Answer(_) => answer,
        }),
        (one, other) => by_class(comparison, &left, class_rank(one), &right, class_rank(other)),
    }
}

/// Numbers, or values of classes that never meet.
fn by_class(
    comparison: Comparison,
    left: &Operand,
    left_rank: Option<u8>,
    right: &Operand,
    right_rank: Option<u8>,
) -> Result<Pair, Untranslatable> {
    match (left_rank, right_rank) {
        (Some(0), Some(0)) => numbers(left, right).map(|(left, right)| Pair::Sides(left, right)),
        (Some(one), Some(other)) if one != other => {
            Ok(Pair::Answer(never_equal(left, right, comparison, comparison.of_classes(one < other))))
        }
        (Some(_), _) => Err(right.refusal("is compared")),
        (None, _) => Err(left.refusal("is compared")),
    }
}

/// Numbers before text before blobs (SQLite "Datatypes", section 4.1).
const fn class_rank(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Bool | Kind::Int(_) | Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_) | Kind::Epoch(_) => Some(0),
        Kind::Text | Kind::Date | Kind::Stamp | Kind::Uuid => Some(1),
        Kind::Blob => Some(2),
        Kind::Null | Kind::Written | Kind::Json | Kind::ClassOf(_) | Kind::Opaque(_) => None,
    }
}

fn null_side(comparison: Comparison, left: &Operand, right: &Operand) -> Operand {
    let other = if left.is_null() { right } else { left };
    match comparison {
        Comparison::Is => null_test(other, "IS NULL"),
        Comparison::IsNot => null_test(other, "IS NOT NULL"),
        _ => Operand::atom("NULL::boolean", Kind::Bool),
    }
}

/// An answer that doesn't depend on the values, only on whether they are NULL.
fn never_equal(left: &Operand, right: &Operand, comparison: Comparison, answer: bool) -> Operand {
    let nullable: Vec<String> =
        [left, right].iter().filter(|side| side.constant.is_none()).map(|side| side.arg()).collect();
    let test =
        |test: &str, word: &str| nullable.iter().map(|sql| format!("{sql} {test}")).collect::<Vec<_>>().join(word);
    if nullable.is_empty() {
        return Operand::atom(answer.to_string(), Kind::Bool);
    }
    let sql = match (comparison, answer) {
        // A constant is never NULL, so that two sides are both NULL only if neither is constant.
        (Comparison::Is, _) if nullable.len() == 2 => test("IS NULL", " AND "),
        (Comparison::IsNot, _) if nullable.len() == 2 => test("IS NOT NULL", " OR "),
        (Comparison::Is | Comparison::IsNot, answer) => return Operand::atom(answer.to_string(), Kind::Bool),
        (_, true) => format!("({}) OR NULL", test("IS NOT NULL", " AND ")),
        (_, false) => format!("({}) AND NULL", test("IS NULL", " OR ")),
    };
    Operand { never_false: answer, ..Operand::compound(sql, Kind::Bool) }
}

/// `typeof(x)` against a constant.
fn class_name(comparison: Comparison, of: &Operand, class: &str, other: &Operand) -> Result<Operand, Untranslatable> {
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
        (true, true) => Operand { never_false: true, ..Operand::atom("true", Kind::Bool) },
        (false, false) => Operand::atom("false", Kind::Bool),
        (true, false) => Operand::compound(format!("{} IS NOT NULL", of.arg()), Kind::Bool),
        (false, true) => Operand::compound(format!("{} IS NULL", of.arg()), Kind::Bool),
    })
}

/// A boolean against 0 or 1.
fn truth(comparison: Comparison, flag: &Operand, other: &Operand) -> Option<Operand> {
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
                Operand::atom(sql, Kind::Bool)
            } else {
                Operand::compound(format!("NOT {sql}"), Kind::Bool)
            })
        }
        Comparison::Is => Some(Operand::compound(format!("{sql} IS {word}"), Kind::Bool)),
        Comparison::IsNot => Some(Operand::compound(format!("{sql} IS NOT {word}"), Kind::Bool)),
        _ => None,
    }
}

/// The affinity that is applied to both sides (SQLite "Datatypes", section 4.2): NUMERIC, TEXT, or none.
fn comparison_affinity(left: &Operand, right: &Operand) -> Option<Affinity> {
    let numeric = |affinity| matches!(affinity, Affinity::Integer | Affinity::Real | Affinity::Numeric);
    match (left.affinity, right.affinity) {
        (Some(one), Some(other)) => (numeric(one) || numeric(other)).then_some(Affinity::Numeric),
        (Some(one), None) | (None, Some(one)) if numeric(one) => Some(Affinity::Numeric),
        (Some(Affinity::Text), None) | (None, Some(Affinity::Text)) => Some(Affinity::Text),
        _ => None,
    }
}

fn converted(operand: &Operand, affinity: Option<Affinity>) -> Result<Operand, Untranslatable> {
    match (affinity, &operand.kind) {
        (Some(Affinity::Numeric), Kind::Text) => match (&operand.constant, operand.affinity) {
            (Some(Value::Text(text)), _) => {
                let value = numeric_text(text).unwrap_or_else(|| Value::Text(text.clone()));
                Ok(Operand { collation: operand.collation, ..Operand::constant(value) })
            }
            // Text that is stored under such an affinity never looks like a number.
            (None, Some(Affinity::Integer | Affinity::Real | Affinity::Numeric)) => Ok(operand.clone()),
            _ => Err(refuse("a text is compared with a number, for which SQLite reads it as a number")),
        },
        (Some(Affinity::Text), Kind::Bool | Kind::Int(_) | Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_)) => {
            match operand.constant.clone() {
                Some(value) => Ok(Operand::constant(stored(value, Affinity::Text))),
                None => Ok(Operand::compound(operand.text()?, Kind::Text)),
            }
        }
        (Some(Affinity::Text), Kind::Epoch(_)) => Err(operand.refusal("is compared as text")),
        _ => Ok(operand.clone()),
    }
}

fn numbers(left: &Operand, right: &Operand) -> Result<(String, String), Untranslatable> {
    let real = |operand: &Operand| matches!(operand.kind, Kind::Real(_) | Kind::Double(_));
    let whole = |operand: &Operand| matches!(operand.kind, Kind::Int(_) | Kind::Bool);
    // A REAL constant is a decimal beside integers and decimals.
    let exact = |operand: &Operand| !real(operand) || operand.constant.is_some();
    if whole(left) && whole(right) {
        Ok((left.integer()?, right.integer()?))
    } else if exact(left) && exact(right) {
        Ok((numeric(left)?, numeric(right)?))
    } else {
        Ok((left.double()?, right.double()?))
    }
}

fn texts(scope: &Scope<'_>, comparison: Comparison, left: &Operand, right: &Operand) -> Result<Pair, Untranslatable> {
    let fold = |operand: &Operand, collation: Collation| match collation {
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
fn written(comparison: Comparison, side: &Operand, constant: &Operand) -> Result<Pair, Untranslatable> {
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
fn collation(left: &Operand, right: &Operand) -> Collation {
    let explicit = |operand: &Operand| operand.collation.filter(|(_, explicit)| *explicit);
    let found = explicit(left).or_else(|| explicit(right)).or(left.collation).or(right.collation);
    found.map_or(Collation::Binary, |(collation, _)| collation)
}

/// Without its affinity, a side may only meet values of its own class.
fn vague_sides(left: &Operand, right: &Operand) -> Result<(), Untranslatable> {
    let same = match (class_rank(left.kind), class_rank(right.kind)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    };
    let number = |side: &Operand| {
        let numeric = matches!(side.affinity, Some(Affinity::Integer | Affinity::Real | Affinity::Numeric));
        numeric && side.kind == Kind::Text
    };
    if same && !number(left) && !number(right) {
        return Ok(());
    }
    Err(refuse("a column of a compound query is compared with a value of another class"))
}

/// A constant as a `uuid`, for equality: other texts are equal to none.
fn uuid_literal(comparison: Comparison, operand: &Operand) -> Result<String, Untranslatable> {
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
/// all moments of its day.
fn stamp_against(comparison: Comparison, stamp: &Operand, constant: &Operand) -> Result<Pair, Untranslatable> {
    let refused = || refuse("a timestamp is compared with a text that is no timestamp of the same spelling");
    let Some(Value::Text(text)) = &constant.constant else { return Err(refused()) };
    if datetime::parse_date(text.as_bytes()).is_some() {
        let word = match comparison {
            Comparison::Less | Comparison::LessEquals => "<",
            Comparison::Greater | Comparison::GreaterEquals => ">=",
            _ => return Ok(Pair::Answer(never_equal(stamp, constant, comparison, comparison.of_classes(false)))),
        };
        let sql = format!("{} {word} {}::timestamp", stamp.arg(), quote_literal(text));
        return Ok(Pair::Answer(Operand::compound(sql, Kind::Bool)));
    }
    let plain = text.len() >= 19 && text.as_bytes().get(10) == Some(&b' ') && !text.ends_with(['0', '.']);
    let plain = plain || (text.len() == 19 && text.as_bytes().get(10) == Some(&b' '));
    let stamped = datetime::parse_stamp(text.as_bytes()).filter(|found| found.offset_minutes.is_none());
    if !plain || stamped.is_none() {
        return Err(refused());
    }
    let sql = format!("{} {} {}::timestamp", stamp.arg(), comparison.word(), quote_literal(text));
    Ok(Pair::Answer(Operand::compound(sql, Kind::Bool)))
}

fn date_literal(operand: &Operand) -> Result<String, Untranslatable> {
    match &operand.constant {
        Some(Value::Text(text)) if datetime::parse_date(text.as_bytes()).is_some() => {
            Ok(format!("{}::date", quote_literal(text)))
        }
        _ => Err(refuse("a date is compared with a text that is no whole date")),
    }
}
