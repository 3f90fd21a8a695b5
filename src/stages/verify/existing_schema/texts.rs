//! Texts that PostgreSQL's own input functions read. They need not be written as the loader writes them: what
//! PostgreSQL makes of them is compared.

use std::net::IpAddr;

use super::{
    super::{canonical_row::Mismatch, decimal::DecimalDigits},
    CellReading, document, singles, times, written,
};
use crate::model::{
    cell::SqliteCell,
    pg_column_type::{Element, InputSyntax, TextForm},
};

/// The text of one value.
pub(super) fn one(element: Element, cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<String, Mismatch> {
    let syntax = match element {
        Element::TextInput(syntax) => syntax,
        Element::Jsonb => {
            let document = document(cell)?;
            let meaning = super::super::json::meaning(&document).ok_or(Mismatch::Form)?;
            if meaning.is_beyond() {
                return Err(Mismatch::Loss);
            }
            return String::from_utf8(document).map_err(|_| Mismatch::Form);
        }
        Element::Vector(dimensions) => return Ok(vector(&singles(cell, dimensions)?)),
        Element::Text { form, most } => return super::text(cell, form, most, reading),
        _ => return super::text(cell, TextForm::Text, None, reading),
    };
    match syntax {
        InputSyntax::Inet | InputSyntax::Cidr => address(plain(cell)?, syntax == InputSyntax::Cidr),
        InputSyntax::MacAddr => hardware(plain(cell)?, &[12]),
        InputSyntax::MacAddr8 => hardware(plain(cell)?, &[12, 16]),
        InputSyntax::Interval => times::interval(cell, reading),
        InputSyntax::TimeTz { digits } => times::zoned_time(plain(cell)?, digits, reading),
        InputSyntax::Bit { length, varying } => bits(cell, length, varying),
        InputSyntax::Money => money(cell, reading),
        InputSyntax::Hstore => hstore(plain(cell)?),
        InputSyntax::Name => {
            let text = super::text(cell, TextForm::Text, None, reading)?;
            let kept: String = text
                .char_indices()
                .take_while(|(at, letter)| at + letter.len_utf8() <= 63)
                .map(|(_, letter)| letter)
                .collect();
            reading.loses |= kept.len() < text.len();
            Ok(kept)
        }
        InputSyntax::HalfVec(dimensions) => half_vector(cell, dimensions, reading),
        InputSyntax::Box | InputSyntax::Unknown => super::text(cell, TextForm::Text, None, reading),
    }
}

fn plain(cell: SqliteCell<'_>) -> Result<&str, Mismatch> {
    let SqliteCell::Text(bytes) = cell else { return Err(Mismatch::Class) };
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(Mismatch::Form)
}

fn address(text: &str, is_network: bool) -> Result<String, Mismatch> {
    let (host, length) = text.split_once('/').map_or((text, None), |(host, length)| (host, Some(length)));
    let address: IpAddr = host.parse().map_err(|_| Mismatch::Form)?;
    let bits: Vec<u8> = match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    };
    let most = bits.len() * 8;
    let length = match length {
        None => most,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok().filter(|length| *length <= most).ok_or(Mismatch::Form)?
        }
        Some(_) => return Err(Mismatch::Form),
    };
    let is_set = |bit: usize| bits.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
    if is_network && (length..most).any(is_set) { Err(Mismatch::Form) } else { Ok(text.to_owned()) }
}

fn hardware(text: &str, lengths: &[usize]) -> Result<String, Mismatch> {
    let mut marks: Vec<char> = text.chars().filter(|letter| ":-.".contains(*letter)).collect();
    marks.dedup();
    let parts: Vec<&str> = text.split(|letter| ":-.".contains(letter)).collect();
    let even = parts.windows(2).all(|pair| matches!(pair, [one, two] if one.len() == two.len()));
    let size = parts.first().map_or(0, |part| part.len());
    let digits: usize = parts.iter().map(|part| part.len()).sum();
    let known = text.chars().all(|letter| letter.is_ascii_hexdigit() || ":-.".contains(letter));
    let fits = known && even && marks.len() <= 1 && size.is_multiple_of(2) && ![0, 10, 14].contains(&size);
    if fits && lengths.contains(&digits) { Ok(parts.concat()) } else { Err(Mismatch::Form) }
}

fn bits(cell: SqliteCell<'_>, length: Option<u32>, varying: bool) -> Result<String, Mismatch> {
    let text = match cell {
        SqliteCell::Integer(0) if length == Some(1) => "0",
        SqliteCell::Integer(1) if length == Some(1) => "1",
        _ => plain(cell)?,
    };
    if text.contains(|letter| letter != '0' && letter != '1') {
        return Err(Mismatch::Form);
    }
    let wanted = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(text.len());
    let fits = text.len() == wanted || (varying && text.len() < wanted);
    if fits { Ok(text.to_owned()) } else { Err(Mismatch::Loss) }
}

fn money(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<String, Mismatch> {
    let digits = DecimalDigits::of_number(written(cell)?.as_bytes()).ok_or(Mismatch::Form)?;
    let (digits, exact) = digits.rounded(2);
    reading.loses |= !exact;
    let (cents, _) = digits.floor(2).ok_or(Mismatch::Loss)?;
    let sign = if cents < 0 { "-" } else { "" };
    Ok(format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100))
}

fn hstore(text: &str) -> Result<String, Mismatch> {
    if !text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let object: serde_json::Value = serde_json::from_str(text).map_err(|_| Mismatch::Form)?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
    let mut pairs = Vec::new();
    for (key, value) in object.as_object().ok_or(Mismatch::Form)? {
        let value = match value {
            serde_json::Value::Null => "null".to_owned(),
            serde_json::Value::String(text) => quoted(text),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => return Err(Mismatch::Form),
            other => quoted(&other.to_string()),
        };
        pairs.push(format!("{} => {value}", quoted(key)));
    }
    let text = pairs.join(",");
    if text.contains('\0') { Err(Mismatch::Form) } else { Ok(text) }
}

fn vector(values: &[u32]) -> String {
    let shown: Vec<String> = values.iter().map(|bits| f32::from_bits(*bits).to_string()).collect();
    format!("[{}]", shown.join(","))
}

fn half_vector(
    cell: SqliteCell<'_>,
    dimensions: Option<u32>,
    reading: &mut CellReading<'_>,
) -> Result<String, Mismatch> {
    let values = singles(cell, dimensions)?;
    for bits in &values {
        let value = f32::from_bits(*bits);
        if value.is_nan() || value.abs() > 65_504.0 {
            return Err(Mismatch::Loss);
        }
        // The least step of a 2-byte float: 2^-24, or 11 bits of precision.
        let step =
            if value.abs() < 2_f32.powi(-14) { 2_f32.powi(-24) } else { f32::from_bits(bits & 0x7f80_0000) / 1024.0 };
        reading.loses |= (value / step).fract() != 0.0;
    }
    Ok(vector(&values))
}
