//! Tests translated expressions on a real PostgreSQL: either refused, or the same answer as SQLite's for every row.

pub(crate) mod fixture;

use fixture::{Answer, Fixture, same};

/// Operands of every shape.
const OPERANDS: &[&str] = &[
    "i",
    "j",
    "f",
    "r",
    "m",
    "n",
    "x",
    "y",
    "z",
    "q",
    "w",
    "b",
    "day",
    "ms",
    "doc",
    "at",
    "\"Odd \"\"Name\"",
    "id",
    "code",
    "+code",
    "0",
    "1",
    "-1",
    "2",
    "5",
    "1.0",
    "0.1",
    "-1.5",
    "9007199254740993",
    "9007199254740992.0",
    "1e300",
    "9223372036854775807",
    "9223372036854775808",
    "''",
    "'abc'",
    "'ABC'",
    "'12'",
    "' 12 '",
    "'12x'",
    "'1.0'",
    "x'616263'",
    "x''",
    "'2024-02-29'",
    "'2024'",
    "1700000000123",
    "NULL",
    "TRUE",
    "lower(x)",
    "length(x)",
    "i + 1",
    "i > 0",
    "+i",
    "+x",
    "CAST(i AS TEXT)",
    "CAST(r AS INTEGER)",
    "x || 'c'",
    "typeof(i)",
    "coalesce(i, 0)",
    "abs(j)",
    "-r",
    "x COLLATE NOCASE",
];

const COMPARISONS: &[&str] = &["=", "==", "<>", "<", "<=", ">", ">=", "IS", "IS NOT"];

struct Tally {
    translated: usize,
    refused: usize,
    wrong: Vec<String>,
}

/// Compares both sides for every expression that is translated.
fn judge(fixture: &Fixture, expressions: &[String], as_condition: bool) -> Tally {
    let mut found = Vec::new();
    let mut refused = 0;
    for sql in expressions {
        let translated = if as_condition { fixture.condition(sql) } else { fixture.value(sql) };
        let answers = if as_condition { fixture.sqlite_condition(sql) } else { fixture.sqlite(sql) };
        match (translated, answers) {
            (Ok(translated), Some(answers)) => found.push((sql, translated, answers)),
            (Ok(translated), None) => panic!("SQLite refuses {sql}, which became {translated}"),
            (Err(_), _) => refused += 1,
        }
    }
    let translations: Vec<&str> = found.iter().map(|(_, translated, _)| translated.as_str()).collect();
    let mut wrong = Vec::new();
    for ((sql, translated, expected), answers) in found.iter().zip(fixture.postgres(&translations)) {
        let differs = |(one, other): (&Answer, &Answer)| !same(one, other);
        if let Some(row) = expected.iter().zip(&answers).position(differs) {
            wrong.push(format!("{sql}\n   {translated}\n   row {row}: {:?} became {:?}", expected[row], answers[row]));
        }
    }
    Tally { translated: found.len(), refused, wrong }
}

#[track_caller]
fn all_right(tally: &Tally) {
    eprintln!("{} translated, {} refused", tally.translated, tally.refused);
    assert!(
        tally.wrong.is_empty(),
        "{} wrong:\n{}",
        tally.wrong.len(),
        tally.wrong[..tally.wrong.len().min(20)].join("\n")
    );
}

#[test]
fn every_comparison_is_right_or_refused() {
    let fixture = Fixture::new();
    let mut expressions = Vec::new();
    for left in OPERANDS {
        for right in OPERANDS {
            expressions.extend(COMPARISONS.iter().map(|comparison| format!("{left} {comparison} {right}")));
            expressions.push(format!("{left} IN ({right}, 1, 'abc')"));
            expressions.push(format!("{left} NOT IN ({right}, NULL)"));
            expressions.push(format!("{left} BETWEEN {right} AND 'b'"));
            expressions.push(format!("{left} NOT BETWEEN 0 AND {right}"));
        }
        expressions.extend([
            format!("{left} IN ()"),
            format!("{left} NOT IN ()"),
            format!("{left} ISNULL"),
            format!("{left} NOT NULL"),
            format!("NOT {left}"),
            format!("{left} IS TRUE"),
            format!("{left} IS NOT FALSE"),
        ]);
    }
    let tally = judge(&fixture, &expressions, true);
    all_right(&tally);
    assert!(tally.translated > 20_000, "{}", tally.translated);
}

#[test]
fn every_calculation_is_right_or_refused() {
    let fixture = Fixture::new();
    let operators = ["+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>"];
    let mut expressions = Vec::new();
    for left in OPERANDS {
        for right in OPERANDS {
            expressions.extend(operators.iter().map(|operator| format!("({left}) {operator} ({right})")));
            for function in ["coalesce", "nullif", "ifnull", "min", "max", "instr", "substr", "trim", "like", "glob"] {
                expressions.push(format!("{function}({left}, {right})"));
            }
            expressions.push(format!("CASE WHEN i > 0 THEN {left} ELSE {right} END"));
            expressions.push(format!("CASE {left} WHEN {right} THEN 'same' END"));
            expressions.push(format!("iif({left}, {right}, 3)"));
        }
        // The same value in PostgreSQL's spelling.
        let respelled = ["doc", "at", "code", "+code"].contains(left);
        expressions.extend((!respelled).then(|| format!("+({left})")));
        for function in [
            "abs",
            "typeof",
            "length",
            "lower",
            "upper",
            "trim",
            "ltrim",
            "rtrim",
            "hex",
            "json_valid",
            "round",
            "-",
            "~",
        ] {
            expressions.push(format!("{function}({left})"));
        }
        for target in ["INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB"] {
            expressions.push(format!("CAST({left} AS {target})"));
        }
        for tail in ["1", "2", "2, 1", "1, 0", "-1", "-3", "-3, 2", "0", "3, -1"] {
            expressions.push(format!("substr({left}, {tail})"));
        }
        expressions.push(format!("replace({left}, 'b', 'cc')"));
        expressions.push(format!("replace({left}, '', 'cc')"));
    }
    let tally = judge(&fixture, &expressions, false);
    all_right(&tally);
    assert!(tally.translated > 8_000, "{}", tally.translated);
}

#[test]
fn patterns_match_what_sqlites_match() {
    let fixture = Fixture::new();
    let mut expressions = Vec::new();
    for subject in ["x", "y", "z", "q", "w", "i", "lower(x)", "'a%b'", "b", "day"] {
        for pattern in [
            "", "%", "_", "a%", "A%", "%B", "a\\%", "a\\b", "é", "É", "a!%b", "%!", "!!", "日%", "__", " x%", "%a%b%",
            "1_",
        ] {
            expressions.push(format!("{subject} LIKE '{pattern}'"));
            expressions.push(format!("{subject} NOT LIKE '{pattern}'"));
            for escape in ["!", "\\", "a", "%", "", "xy"] {
                expressions.push(format!("{subject} LIKE '{pattern}' ESCAPE '{escape}'"));
            }
        }
        for pattern in [
            "", "*", "?", "a*", "A*", "[a-z]*", "[^a-z]*", "a[%]b", "a\\b", "[]a]*", "[^]a]*", "[a-]*", "[-a]*",
            "*[0-9]", "É", "[à-é]", "??", "日*", "[z-a]", "[", "[^", "a.c", "a{1}", "(abc)", "^abc$", "[\\]*", "*%*",
            "[[]",
        ] {
            expressions.push(format!("{subject} GLOB '{pattern}'"));
            expressions.push(format!("{subject} NOT GLOB '{pattern}'"));
        }
    }
    let tally = judge(&fixture, &expressions, true);
    all_right(&tally);
    assert!(tally.translated > 900, "{}", tally.translated);
}

#[test]
fn what_people_write_is_translated_and_may_stand_in_an_index() {
    let fixture = Fixture::new();
    let mut translations = Vec::new();
    for (sql, expected) in [
        ("i > 0", r#""i" > 0"#),
        ("f = 1", r#""f""#),
        ("f = 0", r#"NOT "f""#),
        ("f IS 1", r#""f" IS TRUE"#),
        ("f", r#""f""#),
        ("NOT f", r#"NOT "f""#),
        ("x IN ('a', 'b')", r#"("x" IN ('a', 'b'))"#),
        ("x IS NOT NULL AND f = 0", r#"("x" IS NOT NULL) AND (NOT "f")"#),
        ("typeof(i) = 'integer'", r#""i" IS NOT NULL"#),
        ("n >= 0.5", r#""n" >= 0.5"#),
        ("r > 0", r#""r" > '0'::double precision"#),
        ("day >= '2024-01-01'", r#""day" >= '2024-01-01'::date"#),
        ("ms > 1700000000000", r#""ms" > '2023-11-14 22:13:20+00'::timestamptz"#),
        ("length(x) BETWEEN 1 AND 10", r#"(length("x") >= 1) AND (length("x") <= 10)"#),
        ("y = 'abc'", r#"lower("y" COLLATE "C") = lower('abc' COLLATE "C")"#),
        ("x LIKE 'a%'", r#"lower("x" COLLATE "C") LIKE lower('a%' COLLATE "C") ESCAPE ''"#),
        ("x GLOB '[0-9]*'", r#""x" COLLATE "C" ~ '^[0-9].*$'"#),
        ("x = \"abc\"", r#""x" = 'abc'"#),
        ("i % 2 = 0", r#"("i" % 2) = 0"#),
        ("x < 'b'", r#""x" COLLATE "C" < 'b' COLLATE "C""#),
    ] {
        assert_eq!(fixture.condition(sql).as_deref(), Ok(expected), "{sql}");
        translations.push(expected);
    }
    for translated in translations {
        fixture.predicate(translated);
    }
    for (sql, expected) in [
        ("lower(x)", r#"lower("x" COLLATE "C")"#),
        ("coalesce(x, '')", r#"coalesce("x", '')"#),
        ("substr(x, 1, 3)", r#"substr("x", 1, 3)"#),
        ("x || '-' || i", r#"("x" || '-' || "i"::text)"#),
        ("abs(j)", r#"abs("j"::bigint)"#),
        ("CASE WHEN f THEN i END", r#"(CASE WHEN "f" THEN "i" END)"#),
    ] {
        assert_eq!(fixture.value(sql).as_deref(), Ok(expected), "{sql}");
        fixture.index(&format!("({expected})"));
    }
    for sql in [
        "f IN (0, 1)",
        "f IN (1, 0, NULL)",
        "typeof(x) IN ('text', 'null')",
        "json_valid(doc)",
        "f IN (0, 1) AND json_valid(doc)",
    ] {
        assert!(fixture.never_false(sql), "{sql}");
    }
    for sql in ["f = 1", "f IN (0)", "typeof(x) = 'text'", "f IN (0, 1) AND i > 0"] {
        assert!(!fixture.never_false(sql), "{sql}");
    }
}

#[test]
fn what_has_no_exact_equivalent_is_refused_with_a_reason() {
    let fixture = Fixture::new();
    for sql in [
        "x = i",
        "missing = 1",
        "other.x = 1",
        "main.t.x = 1",
        "at > '2024-01-01'",
        "at = at",
        "date(x) = '2024-01-01'",
        "x REGEXP 'a'",
        "x MATCH 'a'",
        "n / 2",
        "i * 9007199254740993",
        "sum(i) > 1",
        "count(*) > 1",
        "(SELECT 1)",
        "i IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "(i, j) = (1, 2)",
        "?1 = i",
        "random() > 0",
        "r || 'a' = 'x'",
        "CAST(x AS INTEGER) = 1",
        "x",
        "x COLLATE mine = 'a'",
        "json_extract(doc, '$.a') = 1",
        "doc -> 'a'",
        "x = CURRENT_DATE",
        "i >",
        "",
        "1; DROP TABLE t",
        "lower(y COLLATE NOCASE) = 'a'",
        "day < '2024-1-1'",
        "b = CAST(x AS BLOB)",
    ] {
        let refused = fixture.condition(sql);
        assert!(refused.is_err_and(|refused| !refused.reason.is_empty()), "{sql}");
    }
}

/// Small expressions in each other, drawn by a fixed generator.
struct ExprGenerator(u64);

impl ExprGenerator {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.of(&["i", "j", "f", "r", "m", "n", "id", "0", "1", "2", "-3", "0.5", "10", "NULL"]).to_owned();
        }
        let (one, other) = (self.number(depth - 1), self.number(depth - 1));
        match self.below(9) {
            0 => format!("({one} + {other})"),
            1 => format!("({one} - {other})"),
            2 => format!("({one} * {other})"),
            3 => format!("({one} / {other})"),
            4 => format!("abs({one})"),
            5 => format!("coalesce({one}, {other})"),
            6 => format!("CASE WHEN {} THEN {one} ELSE {other} END", self.condition(depth - 1)),
            7 => format!("length({})", self.text(depth - 1)),
            _ => format!("(-{one} % 7)"),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.of(&["x", "y", "z", "q", "w", "'abc'", "''", "'É'", "'12'", "NULL", "day"]).to_owned();
        }
        let (one, other) = (self.text(depth - 1), self.text(depth - 1));
        match self.below(7) {
            0 => format!("lower({one})"),
            1 => format!("({one} || {other})"),
            2 => format!("ifnull({one}, {other})"),
            3 => format!("substr({one}, 2, 2)"),
            4 => format!("trim({one})"),
            5 => format!("CASE {one} WHEN {other} THEN 'same' ELSE {one} END"),
            _ => format!("replace({one}, 'b', {other})"),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let comparison = self.of(COMPARISONS);
        match self.below(if depth == 0 { 2 } else { 7 }) {
            0 => format!("({} {comparison} {})", self.number(depth), self.number(depth)),
            1 => format!("({} {comparison} {})", self.text(depth), self.text(depth)),
            2 => format!("({} AND {})", self.condition(depth - 1), self.condition(depth - 1)),
            3 => format!("({} OR {})", self.condition(depth - 1), self.condition(depth - 1)),
            4 => format!("(NOT {})", self.condition(depth - 1)),
            5 => format!("({} IN ({}, {}))", self.text(depth - 1), self.text(0), self.text(0)),
            _ => format!("({} IS {})", self.number(depth - 1), self.condition(depth - 1)),
        }
    }
}

#[test]
fn nested_expressions_are_right_or_refused() {
    let fixture = Fixture::new();
    let mut draw = ExprGenerator(20_261_121);
    let expressions: Vec<String> = (0..20_000).map(|round| draw.condition(round % 4)).collect();
    let tally = judge(&fixture, &expressions, true);
    all_right(&tally);
    assert!(tally.translated > 4_000, "{}", tally.translated);
    for sql in expressions.iter().filter_map(|sql| fixture.condition(sql).ok()).step_by(20) {
        fixture.predicate(&sql);
    }
}
