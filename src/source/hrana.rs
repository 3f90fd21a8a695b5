//! The words of Hrana 3 over HTTP as JSON: statements out, values and cursor entries in.
//!
//! Knows no transport. Integers travel as decimal strings and finite floats as the shortest decimal that reads back
//! to the same bits; both are parsed from their text, never through another number type. A float without a value is
//! an infinity whose sign the server has dropped.

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};

use crate::model::cell::SqliteCell;

/// Servers leave the padding out; others may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 with padding, as Basic authentication wants it.
#[must_use]
pub fn base64_padded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 without padding, as binary headers want it.
#[must_use]
pub fn base64_bare(bytes: &[u8]) -> String {
    BASE64.encode(bytes).trim_end_matches('=').to_owned()
}

/// The body of a `/v3/pipeline` request that runs statements one after the other and closes the stream.
#[must_use]
pub fn pipeline_body<'a>(statements: impl IntoIterator<Item = &'a str>) -> String {
    let mut requests: Vec<_> =
        statements.into_iter().map(|sql| json!({"type": "execute", "stmt": {"sql": sql}})).collect();
    requests.push(json!({"type": "close"}));
    json!({"baton": null, "requests": requests}).to_string()
}

/// The same for `/v2/pipeline`, where Turso's sync server knows no closing; it keeps no stream either.
#[must_use]
pub fn older_pipeline_body<'a>(statements: impl IntoIterator<Item = &'a str>) -> String {
    let execute = |sql: &str| json!({"type": "execute", "stmt": {"sql": sql}});
    let requests: Vec<_> = statements.into_iter().map(execute).collect();
    json!({"baton": null, "requests": requests}).to_string()
}

/// The body of a `/v3/cursor` request whose first statement opens a transaction and whose others run only inside it:
/// a statement after a lost transaction is skipped and leaves no entry, which the reader notices.
#[must_use]
pub fn cursor_body<'a>(statements: impl IntoIterator<Item = &'a str>) -> String {
    let inside = json!({"type": "not", "cond": {"type": "is_autocommit"}});
    let steps: Vec<_> = statements
        .into_iter()
        .enumerate()
        .map(|(index, sql)| match index {
            0 => json!({"stmt": {"sql": sql}}),
            _ => json!({"condition": inside, "stmt": {"sql": sql}}),
        })
        .collect();
    json!({"baton": null, "batch": {"steps": steps}}).to_string()
}

/// A value that came over the wire. Text is raw bytes.
#[derive(Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// 64-bit signed integer.
    Integer(i64),
    /// IEEE 754 double.
    Real(f64),
    /// Bytes that claim to be text.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Cell {
    /// The same value, borrowed.
    #[must_use]
    pub fn as_cell(&self) -> SqliteCell<'_> {
        match self {
            Self::Null => SqliteCell::Null,
            Self::Integer(value) => SqliteCell::Integer(*value),
            Self::Real(value) => SqliteCell::Real(*value),
            Self::Text(bytes) => SqliteCell::Text(bytes),
            Self::Blob(bytes) => SqliteCell::Blob(bytes),
        }
    }

    /// Bytes of text or blob.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Blob(bytes) => bytes.len(),
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
        }
    }

    /// The text, if it is text and valid UTF-8.
    #[must_use]
    pub fn into_string(self) -> Option<String> {
        match self {
            Self::Text(bytes) => String::from_utf8(bytes).ok(),
            Self::Null | Self::Integer(_) | Self::Real(_) | Self::Blob(_) => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Null | Self::Real(_) | Self::Text(_) | Self::Blob(_) => None,
        }
    }
}

/// Class and length only.
impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_cell().fmt(f)
    }
}

/// Why a value can't be taken as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFault {
    /// A float without a value.
    NotFinite,
    /// Not what Hrana defines.
    Malformed,
}

/// One value as it is written in JSON.
#[derive(Deserialize)]
pub struct WireCell<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    base64: Option<Cow<'a, str>>,
}

impl WireCell<'_> {
    /// The value.
    ///
    /// # Errors
    /// [`CellFault`].
    pub fn decode(&self) -> Result<Cell, CellFault> {
        let text = self.value.map(RawValue::get);
        match self.kind.as_ref() {
            "null" => Ok(Cell::Null),
            "integer" => {
                let digits = text.ok_or(CellFault::Malformed)?.trim_matches('"');
                digits.parse().map(Cell::Integer).map_err(|_| CellFault::Malformed)
            }
            "float" => {
                let number: f64 = text.ok_or(CellFault::NotFinite)?.parse().map_err(|_| CellFault::Malformed)?;
                if number.is_finite() { Ok(Cell::Real(number)) } else { Err(CellFault::NotFinite) }
            }
            "text" => {
                let text: Cow<'_, str> =
                    serde_json::from_str(text.ok_or(CellFault::Malformed)?).map_err(|_| CellFault::Malformed)?;
                Ok(Cell::Text(text.into_owned().into_bytes()))
            }
            "blob" => {
                let digits = self.base64.as_deref().ok_or(CellFault::Malformed)?;
                BASE64.decode(digits).map(Cell::Blob).map_err(|_| CellFault::Malformed)
            }
            _ => Err(CellFault::Malformed),
        }
    }
}

/// The SQL expression by which a column's values survive the wire whatever they are: text as the bytes of a blob
/// (in the database's encoding), blobs as hexadecimal text, infinities as `+` and `-`. [`from_safe`] turns it back.
///
/// `column` is an SQL expression that names the column. The unary plus keeps a TEXT affinity from turning the
/// comparison with infinity into one of texts.
#[must_use]
pub fn safe_expression(column: &str) -> String {
    format!(
        "CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) WHEN 'blob' THEN hex({column}) \
         WHEN 'real' THEN CASE +{column} WHEN 9e999 THEN '+' WHEN -9e999 THEN '-' ELSE {column} END \
         ELSE {column} END"
    )
}

/// The value that [`safe_expression`] stands for.
///
/// # Errors
/// `Malformed` if it isn't one of its forms.
pub fn from_safe(cell: Cell) -> Result<Cell, CellFault> {
    match cell {
        Cell::Blob(bytes) => Ok(Cell::Text(bytes)),
        Cell::Text(sign) if sign == b"+" => Ok(Cell::Real(f64::INFINITY)),
        Cell::Text(sign) if sign == b"-" => Ok(Cell::Real(f64::NEG_INFINITY)),
        Cell::Text(digits) => from_hex(&digits).map(Cell::Blob).ok_or(CellFault::Malformed),
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => Ok(cell),
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// One line of a cursor's answer.
pub enum CursorEntry<'a> {
    /// The first line.
    Opening,
    /// A statement begins to answer.
    Begin {
        /// Its place in the batch, from 0.
        step: u32,
    },
    /// A row of the statement that began last.
    Row(Vec<WireCell<'a>>),
    /// The statement that began last has ended well.
    End,
    /// A statement failed.
    StepError {
        /// The error's code.
        code: String,
    },
    /// The cursor failed.
    Fatal {
        /// The error's code.
        code: String,
    },
    /// The last line of a complete answer.
    Terminator {
        /// The server's newest frame, where it says so. It is not the snapshot's.
        replication_index: Option<u64>,
    },
    /// Something of a later protocol version.
    Unknown,
}

/// Reads one line; none if it isn't Hrana.
#[must_use]
pub fn parse_entry(line: &[u8]) -> Option<CursorEntry<'_>> {
    let line: CursorLine<'_> = serde_json::from_slice(line).ok()?;
    let code = || line.error.as_ref().map(WireError::safe_code).unwrap_or_default();
    Some(match line.kind.as_deref() {
        None => match line.baton {
            Some(_) => CursorEntry::Opening,
            None => return None,
        },
        Some("step_begin") => CursorEntry::Begin { step: line.step? },
        Some("row") => CursorEntry::Row(line.row?),
        Some("step_end") => CursorEntry::End,
        Some("step_error") => CursorEntry::StepError { code: code() },
        Some("error") => CursorEntry::Fatal { code: code() },
        Some("replication_index") => {
            let index = line.replication_index.map(|raw| raw.get().trim_matches('"'));
            CursorEntry::Terminator { replication_index: index.and_then(|digits| digits.parse().ok()) }
        }
        Some(_) => CursorEntry::Unknown,
    })
}

#[derive(Deserialize)]
struct CursorLine<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    // Present and null in the first line of a stream that the server has closed already.
    #[serde(default, deserialize_with = "present")]
    baton: Option<IgnoredAny>,
    #[serde(default)]
    step: Option<u32>,
    #[serde(borrow, default)]
    row: Option<Vec<WireCell<'a>>>,
    #[serde(borrow, default)]
    error: Option<WireError<'a>>,
    #[serde(borrow, default)]
    replication_index: Option<&'a RawValue>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
}

impl WireError<'_> {
    /// The code if it is a plain word; a server's message is never kept, it may quote anything.
    fn safe_code(&self) -> String {
        let word = |code: &&str| {
            (1..=48).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        self.code.as_deref().filter(word).unwrap_or("UNKNOWN").to_owned()
    }
}

/// What became of one statement of a pipeline: its rows, or the code of its error.
pub type StatementAnswer = Result<Vec<Vec<Cell>>, String>;

/// Reads a pipeline's answer: one [`StatementAnswer`] per statement; none if it isn't Hrana.
#[must_use]
pub fn parse_pipeline(body: &[u8], statements: usize) -> Option<Vec<StatementAnswer>> {
    let body: Pipeline<'_> = serde_json::from_slice(body).ok()?;
    let answers: Option<Vec<StatementAnswer>> = body.results.into_iter().take(statements).map(answer).collect();
    answers.filter(|answers| answers.len() == statements)
}

fn answer(result: PipelineResult<'_>) -> Option<StatementAnswer> {
    if let Some(error) = result.error {
        return Some(Err(error.safe_code()));
    }
    let rows = result.response?.result?.rows;
    let decoded: Result<Vec<Vec<Cell>>, CellFault> =
        rows.iter().map(|row| row.iter().map(WireCell::decode).collect()).collect();
    decoded.ok().map(Ok)
}

#[derive(Deserialize)]
struct Pipeline<'a> {
    #[serde(borrow)]
    results: Vec<PipelineResult<'a>>,
}

#[derive(Deserialize)]
struct PipelineResult<'a> {
    #[serde(borrow, default)]
    response: Option<PipelineResponse<'a>>,
    #[serde(borrow, default)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct PipelineResponse<'a> {
    #[serde(borrow, default)]
    result: Option<StatementResult<'a>>,
}

#[derive(Deserialize)]
struct StatementResult<'a> {
    #[serde(borrow)]
    rows: Vec<Vec<WireCell<'a>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Result<Cell, CellFault> {
        serde_json::from_str::<WireCell<'_>>(json).unwrap().decode()
    }

    #[test]
    fn values_are_exact() {
        for (json, cell) in [
            (r#"{"type":"null"}"#, Cell::Null),
            (r#"{"type":"integer","value":"-9223372036854775808"}"#, Cell::Integer(i64::MIN)),
            (r#"{"value":"9223372036854775807","type":"integer"}"#, Cell::Integer(i64::MAX)),
            (r#"{"type":"integer","value":5}"#, Cell::Integer(5)),
            (r#"{"type":"float","value":9218868437227405312.0}"#, Cell::Real(9_218_868_437_227_405_312.0)),
            (r#"{"type":"float","value":5e-324}"#, Cell::Real(5e-324)),
            (r#"{"type":"float","value":1}"#, Cell::Real(1.0)),
            (r#"{"type":"text","value":"a\u0000\"ü"}"#, Cell::Text("a\0\"ü".into())),
            (r#"{"type":"text","value":""}"#, Cell::Text(Vec::new())),
            (r#"{"type":"blob","base64":"AP8"}"#, Cell::Blob(vec![0, 255])),
            (r#"{"type":"blob","base64":"AP8="}"#, Cell::Blob(vec![0, 255])),
            (r#"{"type":"blob","base64":""}"#, Cell::Blob(Vec::new())),
        ] {
            assert!(decoded(json) == Ok(cell), "{json}");
        }
        match decoded(r#"{"type":"float","value":-0.0}"#) {
            Ok(Cell::Real(zero)) => assert_eq!(zero.to_bits(), (-0.0_f64).to_bits()),
            _ => panic!("not a float"),
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_a_fault() {
        assert!(decoded(r#"{"type":"float","value":null}"#) == Err(CellFault::NotFinite));
        assert!(decoded(r#"{"type":"float"}"#) == Err(CellFault::NotFinite));
        assert!(decoded(r#"{"type":"float","value":1e999}"#) == Err(CellFault::NotFinite));
        for json in [
            r#"{"type":"integer","value":"9223372036854775808"}"#,
            r#"{"type":"integer","value":"1.5"}"#,
            r#"{"type":"integer"}"#,
            r#"{"type":"text","value":5}"#,
            r#"{"type":"text"}"#,
            r#"{"type":"blob","base64":"A*"}"#,
            r#"{"type":"date","value":"x"}"#,
        ] {
            assert!(decoded(json) == Err(CellFault::Malformed), "{json}");
        }
    }

    #[test]
    fn the_safe_form_reads_back() {
        assert!(from_safe(Cell::Blob(vec![0xff])) == Ok(Cell::Text(vec![0xff])));
        assert!(from_safe(Cell::Text(b"00FF".to_vec())) == Ok(Cell::Blob(vec![0, 255])));
        assert!(from_safe(Cell::Text(Vec::new())) == Ok(Cell::Blob(Vec::new())));
        assert!(from_safe(Cell::Text(b"+".to_vec())) == Ok(Cell::Real(f64::INFINITY)));
        assert!(from_safe(Cell::Text(b"-".to_vec())) == Ok(Cell::Real(f64::NEG_INFINITY)));
        assert!(from_safe(Cell::Integer(1)) == Ok(Cell::Integer(1)));
        assert!(from_safe(Cell::Text(b"0".to_vec())) == Err(CellFault::Malformed));
        assert!(from_safe(Cell::Text(b"zz".to_vec())) == Err(CellFault::Malformed));
    }

    #[test]
    fn lines_are_told_apart() {
        let entry = |line: &'static str| parse_entry(line.as_bytes());
        assert!(matches!(entry(r#"{"baton":"x","base_url":null}"#), Some(CursorEntry::Opening)));
        assert!(matches!(entry(r#"{"baton":null,"base_url":null}"#), Some(CursorEntry::Opening)));
        assert!(matches!(entry(r#"{"type":"step_begin","step":7,"cols":[]}"#), Some(CursorEntry::Begin { step: 7 })));
        assert!(
            matches!(entry(r#"{"type":"row","row":[{"type":"null"}]}"#), Some(CursorEntry::Row(row)) if row.len() == 1)
        );
        assert!(matches!(entry(r#"{"type":"step_end","affected_row_count":0}"#), Some(CursorEntry::End)));
        assert!(matches!(
            entry(r#"{"type":"replication_index","replication_index":33}"#),
            Some(CursorEntry::Terminator { replication_index: Some(33) })
        ));
        assert!(matches!(
            entry(r#"{"type":"replication_index","replication_index":null}"#),
            Some(CursorEntry::Terminator { replication_index: None })
        ));
        assert!(matches!(entry(r#"{"type":"news"}"#), Some(CursorEntry::Unknown)));
        for no_entry in [r#"{"type":"row","row":[{"ty"#, "<html>", "{}", "[]", r#"{"type":"step_begin"}"#] {
            assert!(entry(no_entry).is_none(), "{no_entry}");
        }
    }

    #[test]
    fn a_servers_words_are_not_kept() {
        let line = r#"{"type":"step_error","step":1,"error":{"message":"value 'x'","code":"SQLITE_ERROR"}}"#;
        assert!(
            matches!(parse_entry(line.as_bytes()), Some(CursorEntry::StepError { code }) if code == "SQLITE_ERROR")
        );
        let line = r#"{"type":"error","error":{"message":"m","code":"a secret!"}}"#;
        assert!(matches!(parse_entry(line.as_bytes()), Some(CursorEntry::Fatal { code }) if code == "UNKNOWN"));
    }

    #[test]
    fn a_pipeline_answers_each_statement() {
        let body = br#"{"baton":null,"results":[
            {"type":"ok","response":{"type":"execute","result":{"rows":[[{"type":"integer","value":"1"}]]}}},
            {"type":"error","error":{"message":"m","code":"BLOCKED"}},
            {"type":"ok","response":{"type":"close"}}]}"#;
        let answers = parse_pipeline(body, 2).unwrap();
        assert!(answers == [Ok(vec![vec![Cell::Integer(1)]]), Err("BLOCKED".to_owned())]);
        assert!(parse_pipeline(body, 3).is_none());
        assert!(parse_pipeline(b"<!doctype html>", 1).is_none());
    }

    #[test]
    fn only_the_first_statement_of_a_cursor_is_unguarded() {
        let body: serde_json::Value = serde_json::from_str(&cursor_body(["BEGIN", "SELECT 1", "COMMIT"])).unwrap();
        let steps = body["batch"]["steps"].as_array().unwrap();
        assert!(steps[0].get("condition").is_none());
        assert!(steps[1..].iter().all(|step| step["condition"]["cond"]["type"] == "is_autocommit"));
    }
}
