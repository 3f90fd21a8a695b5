//! Defines a translated expression with its static type: which storage classes SQLite's value can have, and which
//! PostgreSQL type stands for them.

use super::{
    Untranslatable,
    datetime_functions::CurrentTimeText,
    literal::{Value, hexadecimal, real_as_text},
    refuse,
};
use crate::{
    model::{Conversion, PgType, conversion_plan::EpochUnit, identifier::quote_literal, source_schema::Affinity},
    rules::decimal,
};

/// More digits than any double has: they were not counted.
pub(in crate::rules) const DIGITS_UNKNOWN: u16 = 400;

/// The static type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::rules) enum ExprType {
    /// NULL and nothing else.
    Null,
    /// INTEGER 0 or 1; `boolean`.
    Bool,
    /// INTEGER; `bigint` or a shorter integer.
    Int(IntegerRange),
    /// REAL; `double precision`.
    Real(NumberBounds),
    /// INTEGER or REAL; `double precision`.
    Double(NumberBounds),
    /// INTEGER or REAL, the latter by its shortest decimal; `numeric`.
    Numeric(NumberBounds),
    /// TEXT; `text` or `varchar`.
    Text,
    /// TEXT that doesn't look like a number, or INTEGER as its decimal digits; `text`.
    Written,
    /// BLOB; `bytea`.
    Blob,
    /// TEXT `YYYY-MM-DD`; `date`.
    Date,
    /// TEXT `YYYY-MM-DD HH:MM:SS[.f]` as PostgreSQL prints it; `timestamp`.
    Stamp,
    /// TEXT of a UUID in lower case; `uuid`.
    Uuid,
    /// INTEGER since 1970; `timestamptz`.
    Epoch(EpochUnit),
    /// TEXT or a number that is JSON; `json` or `jsonb`.
    Json,
    /// `typeof(x)` of an x that has this class wherever it isn't NULL; the SQL is that of x.
    ClassOf(&'static str),
    /// A value whose PostgreSQL form allows no exact equivalent; why.
    Opaque(&'static str),
}

/// Least and greatest integer that occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) struct IntegerRange {
    pub least: i128,
    pub most: i128,
}

impl IntegerRange {
    pub(in crate::rules) const fn point(value: i64) -> Self {
        Self { least: value as i128, most: value as i128 }
    }

    pub(in crate::rules) const fn all() -> Self {
        Self { least: i64::MIN as i128, most: i64::MAX as i128 }
    }

    pub(in crate::rules) fn with(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Whether every integer is exact in a double.
    pub(in crate::rules) fn fits_double(self) -> bool {
        self.least >= -(1 << 53) && self.most <= 1 << 53
    }

    /// Decimal digits of the greatest magnitude.
    pub(in crate::rules) fn digits(self) -> u16 {
        let magnitude = self.least.unsigned_abs().max(self.most.unsigned_abs());
        u16::try_from(magnitude.checked_ilog10().unwrap_or(0)).unwrap_or(39) + 1
    }
}

/// How large and how fine the numbers are: at most so many digits before and after the point, whether infinities
/// occur, and which integers are among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) struct NumberBounds {
    pub whole: u16,
    pub fraction: u16,
    pub infinite: bool,
    pub integers: IntegerRange,
}

impl NumberBounds {
    pub(in crate::rules) fn of_range(range: IntegerRange) -> Self {
        Self { whole: range.digits(), fraction: 0, infinite: false, integers: range }
    }

    pub(in crate::rules) fn of_real(value: f64) -> Self {
        let found = decimal::Decimal::from_real(value);
        let digits = found.map_or((DIGITS_UNKNOWN, DIGITS_UNKNOWN), |found| (found.whole_digits(), found.scale()));
        Self { whole: digits.0, fraction: digits.1, infinite: found.is_none(), integers: IntegerRange::point(0) }
    }

    pub(in crate::rules) fn with(self, other: Self) -> Self {
        Self {
            whole: self.whole.max(other.whole),
            fraction: self.fraction.max(other.fraction),
            infinite: self.infinite || other.infinite,
            integers: self.integers.with(other.integers),
        }
    }
}

/// A collating sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Collation {
    /// BINARY.
    Binary,
    /// NOCASE: folds A to Z.
    NoCase,
    /// RTRIM: ignores trailing spaces.
    RTrim,
    /// An application's own.
    Unknown,
}

impl Collation {
    pub(in crate::rules) fn named(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "BINARY" => Self::Binary,
            "NOCASE" => Self::NoCase,
            "RTRIM" => Self::RTrim,
            _ => Self::Unknown,
        }
    }
}

/// A translated expression.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and none excludes another")]
pub(in crate::rules) struct TypedExpr {
    pub sql: String,
    /// Whether the SQL can stand beside any operator.
    pub atomic: bool,
    pub kind: ExprType,
    /// The value, where it is known.
    pub constant: Option<Value>,
    /// The affinity of a column or CAST; expressions have none.
    pub affinity: Option<Affinity>,
    /// The collation of a column, or one given by COLLATE (then `true`).
    pub collation: Option<(Collation, bool)>,
    /// As a condition it is true or NULL for every row that the PostgreSQL types admit.
    pub never_false: bool,
    /// What `typeof` gives where it isn't NULL, if that is always the same.
    pub class: Option<&'static str>,
    /// The PostgreSQL type may be a shorter integer than `bigint`.
    pub narrow: bool,
    /// For text that shows the current time: how it is computed.
    pub current_time: Option<CurrentTimeText>,
    /// For a column as it is: its type, and what its values are made from.
    pub origin: Option<(PgType, Conversion)>,
    /// A column of a compound query, whose affinity is not known.
    pub vague: bool,
}

impl TypedExpr {
    fn new(sql: String, atomic: bool, kind: ExprType) -> Self {
        let class = match kind {
            ExprType::Bool | ExprType::Int(_) | ExprType::Epoch(_) => Some("integer"),
            ExprType::Real(_) => Some("real"),
            ExprType::Text | ExprType::Date | ExprType::Stamp | ExprType::Uuid | ExprType::ClassOf(_) => Some("text"),
            ExprType::Blob => Some("blob"),
            ExprType::Null => Some("null"),
            ExprType::Double(_) | ExprType::Numeric(_) | ExprType::Written | ExprType::Json | ExprType::Opaque(_) => {
                None
            }
        };
        Self {
            sql,
            atomic,
            kind,
            constant: None,
            affinity: None,
            collation: None,
            never_false: false,
            class,
            narrow: false,
            current_time: None,
            origin: None,
            vague: false,
        }
    }

    /// SQL that can stand beside any operator: a name, a call, a literal, a cast.
    pub(in crate::rules) fn atom(sql: impl Into<String>, kind: ExprType) -> Self {
        Self::new(sql.into(), true, kind)
    }

    /// SQL that needs parentheses beside an operator.
    pub(in crate::rules) fn compound(sql: impl Into<String>, kind: ExprType) -> Self {
        Self::new(sql.into(), false, kind)
    }

    /// A value known now.
    pub(in crate::rules) fn constant(value: Value) -> Self {
        let (sql, atomic) = match &value {
            Value::Null => ("NULL".to_owned(), true),
            Value::Integer(i64::MIN) => (format!("'{}'::bigint", i64::MIN), true),
            Value::Integer(number) => (number.to_string(), *number >= 0),
            Value::Real(number) => (real_literal(*number), true),
            Value::Text(text) => (quote_literal(text), true),
            Value::Blob(bytes) => (blob_literal(bytes), true),
        };
        let kind = match &value {
            Value::Null => ExprType::Null,
            Value::Integer(number) => ExprType::Int(IntegerRange::point(*number)),
            Value::Real(number) => ExprType::Real(NumberBounds::of_real(*number)),
            Value::Text(_) => ExprType::Text,
            Value::Blob(_) => ExprType::Blob,
        };
        let narrow = matches!(kind, ExprType::Int(_));
        Self { constant: Some(value), narrow, ..Self::new(sql, atomic, kind) }
    }

    /// The SQL as it stands alone.
    pub(in crate::rules) fn sql(&self) -> &str {
        &self.sql
    }

    /// The SQL as an operand of an operator.
    pub(in crate::rules) fn arg(&self) -> String {
        if self.atomic { self.sql.clone() } else { format!("({})", self.sql) }
    }

    /// The same without the affinity of a column: `+x`.
    pub(in crate::rules) fn plain(mut self) -> Self {
        self.affinity = None;
        self
    }

    /// An item of IN's list: neither its affinity nor its collation counts.
    pub(in crate::rules) fn listed(mut self) -> Self {
        self.affinity = None;
        self.collation = None;
        self
    }

    /// Refuses a COLLATE that would reach beyond the comparison it stands in.
    pub(in crate::rules) fn uncollated(&self) -> Result<(), Untranslatable> {
        match self.collation {
            Some((_, true)) => Err(refuse("COLLATE inside an expression has no exact equivalent")),
            Some((_, false)) | None => Ok(()),
        }
    }

    pub(in crate::rules) fn is_null(&self) -> bool {
        self.kind == ExprType::Null
    }

    /// `bigint` or a shorter integer.
    pub(in crate::rules) fn integer(&self) -> Result<String, Untranslatable> {
        match self.kind {
            ExprType::Int(_) => Ok(self.arg()),
            ExprType::Bool => Ok(format!("{}::integer", self.arg())),
            _ => Err(self.refusal("is used as an integer")),
        }
    }

    /// Whether `integer` gives less than 64 bits.
    pub(in crate::rules) fn is_narrow(&self) -> bool {
        self.narrow || self.kind == ExprType::Bool
    }

    /// The same in 64 bits: the least of a shorter integer has no counterpart in it.
    pub(in crate::rules) fn wide(&self) -> String {
        if self.narrow { format!("{}::bigint", self.arg()) } else { self.arg() }
    }

    /// The integers it can be.
    pub(in crate::rules) fn range(&self) -> Option<IntegerRange> {
        match self.kind {
            ExprType::Int(range) => Some(range),
            ExprType::Bool => Some(IntegerRange { least: 0, most: 1 }),
            _ => None,
        }
    }

    /// How large the numbers are.
    pub(in crate::rules) fn span(&self) -> Option<NumberBounds> {
        match self.kind {
            ExprType::Real(span) | ExprType::Double(span) | ExprType::Numeric(span) => Some(span),
            _ => self.range().map(NumberBounds::of_range),
        }
    }

    /// `double precision`, for numbers whose integers are exact in it.
    pub(in crate::rules) fn double(&self) -> Result<String, Untranslatable> {
        match self.kind {
            ExprType::Real(_) | ExprType::Double(_) => Ok(self.arg()),
            ExprType::Numeric(span) if span.integers.fits_double() => Ok(format!("{}::double precision", self.arg())),
            ExprType::Int(range) if range.fits_double() => match &self.constant {
                Some(Value::Integer(number)) => Ok(format!("'{number}'::double precision")),
                _ => Ok(format!("{}::double precision", self.arg())),
            },
            ExprType::Bool => Ok(format!("{}::integer::double precision", self.arg())),
            ExprType::Int(_) | ExprType::Numeric(_) => Err(refuse("integers beyond 2^53 meet floating point numbers")),
            _ => Err(self.refusal("is used as a number")),
        }
    }

    /// Text, as SQLite writes the value.
    pub(in crate::rules) fn text(&self) -> Result<String, Untranslatable> {
        match (&self.kind, &self.constant) {
            (ExprType::Text | ExprType::Written, _) => Ok(self.arg()),
            (ExprType::Null, _) => Ok("NULL::text".to_owned()),
            (ExprType::Int(_), Some(Value::Integer(number))) => Ok(quote_literal(&number.to_string())),
            (ExprType::Real(_), Some(Value::Real(number))) => Ok(quote_literal(&real_as_text(*number))),
            (ExprType::Int(_), _) => Ok(format!("{}::text", self.arg())),
            (ExprType::Bool, _) => Ok(format!("{}::integer::text", self.arg())),
            (ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_), _) => {
                Err(refuse("a number with a fraction is turned into text, which PostgreSQL spells otherwise"))
            }
            _ => Err(self.refusal("is used as text")),
        }
    }

    /// As a condition: what SQLite takes for true, false or NULL.
    pub(in crate::rules) fn condition(&self) -> Result<String, Untranslatable> {
        match (&self.kind, &self.constant) {
            (_, Some(Value::Integer(number))) => Ok((*number != 0).to_string()),
            (_, Some(Value::Real(number))) => Ok((*number != 0.0).to_string()),
            (ExprType::Null, _) => Ok("NULL::boolean".to_owned()),
            (ExprType::Bool, _) => Ok(self.arg()),
            (ExprType::Int(_) | ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_), _) => {
                Ok(format!("({} <> 0)", self.arg()))
            }
            (ExprType::Text | ExprType::Written | ExprType::Blob, _) => {
                Err(refuse("a text or blob is used as a condition"))
            }
            _ => Err(self.refusal("is used as a condition")),
        }
    }

    /// The refusal for a kind that can't be used so.
    pub(in crate::rules) fn refusal(&self, use_: &str) -> Untranslatable {
        let what = match self.kind {
            ExprType::Null => "NULL",
            ExprType::Bool => "a boolean",
            ExprType::Int(_) => "an integer",
            ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_) => "a number",
            ExprType::Text => "a text",
            ExprType::Written => "a column of texts and integers",
            ExprType::Blob => "a blob",
            ExprType::Date => "a date",
            ExprType::Stamp => "a timestamp",
            ExprType::Uuid => "a UUID",
            ExprType::Epoch(_) => "a time that was a number",
            ExprType::Json => "a JSON document",
            ExprType::ClassOf(_) => "the name of a storage class",
            ExprType::Opaque(what) => what,
        };
        refuse(format!("{what} {use_}"))
    }
}

/// A double, exactly.
pub(in crate::rules) fn real_literal(value: f64) -> String {
    if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("'{sign}Infinity'::double precision");
    }
    format!("'{value:?}'::double precision")
}

/// A double as a `numeric`: exact for whole numbers that an INTEGER can equal, else the shortest decimal.
pub(in crate::rules) fn decimal_literal(value: f64) -> String {
    if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("'{sign}Infinity'::numeric");
    }
    let digits = if value.fract() == 0.0 && value.abs() < 9.3e18 { format!("{value:.0}") } else { value.to_string() };
    if value < 0.0 { format!("({digits})") } else { digits }
}

/// Bytes.
pub(in crate::rules) fn blob_literal(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", hexadecimal(bytes))
}

/// Several operands in one PostgreSQL type: the branches of CASE, the arguments of coalesce.
pub(in crate::rules) fn unify(operands: &[TypedExpr]) -> Result<(Vec<String>, ExprType, bool), Untranslatable> {
    for operand in operands {
        operand.uncollated()?;
    }
    let values: Vec<&TypedExpr> = operands.iter().filter(|operand| !operand.is_null()).collect();
    let Some(first) = values.first() else {
        return Ok((operands.iter().map(TypedExpr::arg).collect(), ExprType::Null, false));
    };
    let every = |test: fn(&TypedExpr) -> bool| values.iter().all(|operand| test(operand));
    let each = |make: &dyn Fn(&TypedExpr) -> Result<String, Untranslatable>| {
        let one = |operand: &TypedExpr| if operand.is_null() { Ok("NULL".to_owned()) } else { make(operand) };
        operands.iter().map(one).collect::<Result<Vec<_>, _>>()
    };
    let narrow = every(TypedExpr::is_narrow);
    if every(is_boolean) && values.iter().any(|operand| operand.kind == ExprType::Bool) {
        return Ok((each(&TypedExpr::condition)?, ExprType::Bool, false));
    }
    if let Some(range) = values.iter().map(|operand| operand.range()).reduce(|a, b| Some(a?.with(b?))).flatten() {
        return Ok((each(&TypedExpr::integer)?, ExprType::Int(range), narrow));
    }
    if let Some(span) = values.iter().map(|operand| operand.span()).reduce(|a, b| Some(a?.with(b?))).flatten() {
        if every(|operand| matches!(operand.kind, ExprType::Real(_))) {
            return Ok((each(&TypedExpr::double)?, ExprType::Real(span), false));
        }
        if every(|operand| {
            operand.constant.is_some() || !matches!(operand.kind, ExprType::Real(_) | ExprType::Double(_))
        }) {
            return Ok((each(&numeric)?, ExprType::Numeric(span), false));
        }
        return Ok((each(&TypedExpr::double)?, ExprType::Double(span), false));
    }
    match first.kind {
        kind @ (ExprType::Text
        | ExprType::Blob
        | ExprType::Date
        | ExprType::Stamp
        | ExprType::Uuid
        | ExprType::Epoch(_))
            if values.iter().all(|one| one.kind == kind) =>
        {
            Ok((each(&|operand| Ok(operand.arg()))?, kind, false))
        }
        _ => Err(refuse("values of different classes meet in one expression")),
    }
}

fn is_boolean(operand: &TypedExpr) -> bool {
    operand.kind == ExprType::Bool || matches!(operand.constant, Some(Value::Integer(0 | 1)))
}

/// `numeric`, for integers, numerics and constants.
pub(in crate::rules) fn numeric(operand: &TypedExpr) -> Result<String, Untranslatable> {
    match (&operand.kind, &operand.constant) {
        (_, Some(Value::Real(number))) => Ok(decimal_literal(*number)),
        (ExprType::Numeric(_) | ExprType::Int(_), _) => Ok(operand.arg()),
        (ExprType::Bool, _) => operand.integer(),
        _ => Err(operand.refusal("is used as a decimal number")),
    }
}
