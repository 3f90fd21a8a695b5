//! Arrays.

use serde_json::value::RawValue;

use super::{
    super::canonical_row::{CanonicalRow, Mismatch},
    CellReading, one, texts,
};
use crate::model::{
    cell::SqliteCell,
    pg_column_type::{Element, InputSyntax},
};

/// What stands in an array.
enum Node {
    Null,
    Text(String),
    /// JSON that is no text.
    Raw(String),
    List(Vec<Node>),
}

/// The lengths of the dimensions, and all elements in their order; none for NULL.
type Flat = (Vec<usize>, Vec<Option<Node>>);

fn parse(element: Element, cell: SqliteCell<'_>, reading: &CellReading<'_>) -> Result<Flat, Mismatch> {
    let (SqliteCell::Text(bytes) | SqliteCell::Blob(bytes)) = cell else { return Err(Mismatch::Class) };
    let text = std::str::from_utf8(bytes).map_err(|_| Mismatch::Form)?;
    if text.contains('\0') {
        return Err(Mismatch::Form);
    }
    let root = if reading.settings.list.is_some() {
        let items = text.split(',').filter(|_| !text.trim().is_empty());
        items.map(|item| Node::Text(item.trim().to_owned())).collect()
    } else if text.trim_start().starts_with('{') {
        braces(text.trim()).ok_or(Mismatch::Form)?
    } else {
        json(text, !matches!(element, Element::Json | Element::Jsonb)).ok_or(Mismatch::Form)?
    };
    let (mut lengths, mut items) = (Vec::new(), Vec::new());
    if !root.is_empty() {
        flatten(root, 0, &mut lengths, &mut items).ok_or(Mismatch::Form)?;
    }
    Ok((lengths, items))
}

fn json(text: &str, nests: bool) -> Option<Vec<Node>> {
    let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
    let node = |item: Box<RawValue>| {
        let raw = item.get();
        Some(match raw.as_bytes().first()? {
            b'n' => Node::Null,
            b'"' if nests => Node::Text(serde_json::from_str(raw).ok()?),
            b'[' if nests => Node::List(json(raw, nests)?),
            _ => Node::Raw(raw.to_owned()),
        })
    };
    items.into_iter().map(node).collect()
}

/// PostgreSQL's own text, read with a stack of the arrays that are open.
fn braces(text: &str) -> Option<Vec<Node>> {
    let mut open: Vec<Vec<Node>> = Vec::new();
    let mut letters = text.chars().peekable();
    // Whether a value may begin, and whether one has ended.
    let (mut begins, mut ended) = (true, false);
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_ascii_whitespace() => {}
            '{' if begins => open.push(Vec::new()),
            ',' if ended && !open.is_empty() => (begins, ended) = (true, false),
            '}' => {
                let list = open.pop()?;
                if !ended && !list.is_empty() {
                    return None;
                }
                let Some(outer) = open.last_mut() else {
                    return letters.next().is_none().then_some(list);
                };
                outer.push(Node::List(list));
                (begins, ended) = (false, true);
            }
            '"' if begins => {
                let mut item = String::new();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => item.push(letters.next()?),
                        other => item.push(other),
                    }
                }
                open.last_mut()?.push(Node::Text(item));
                (begins, ended) = (false, true);
            }
            first if begins => {
                let mut item = String::from(if first == '\\' { letters.next()? } else { first });
                while let Some(next) = letters.next_if(|next| !matches!(next, ',' | '{' | '}' | '"')) {
                    item.push(if next == '\\' { letters.next()? } else { next });
                }
                let item = item.trim_end();
                let is_null = item.eq_ignore_ascii_case("null");
                open.last_mut()?.push(if is_null { Node::Null } else { Node::Text(item.to_owned()) });
                (begins, ended) = (false, true);
            }
            _ => return None,
        }
    }
    None
}

/// None for lists of unequal length or depth.
fn flatten(nodes: Vec<Node>, depth: usize, lengths: &mut Vec<usize>, items: &mut Vec<Option<Node>>) -> Option<()> {
    if lengths.len() == depth && items.is_empty() {
        lengths.push(nodes.len());
    }
    if nodes.is_empty() || depth > 5 || lengths.get(depth) != Some(&nodes.len()) {
        return None;
    }
    let lists = nodes.iter().all(|node| matches!(node, Node::List(_)));
    if !lists && depth + 1 != lengths.len() {
        return None;
    }
    for node in nodes {
        match node {
            Node::List(inner) if lists => flatten(inner, depth + 1, lengths, items)?,
            Node::List(_) => return None,
            Node::Null => items.push(None),
            other => items.push(Some(other)),
        }
    }
    Some(())
}

/// Hands a cell for each element to `each`.
fn element<R>(
    element: Element,
    node: &Node,
    each: impl FnOnce(SqliteCell<'_>) -> Result<R, Mismatch>,
) -> Result<R, Mismatch> {
    let takes_text_only = matches!(element, Element::Text { .. } | Element::Enum | Element::Uuid);
    match node {
        Node::Text(text) => each(SqliteCell::Text(text.as_bytes())),
        Node::Raw(_) if takes_text_only => Err(Mismatch::Form),
        Node::Raw(raw) if matches!(element, Element::Json | Element::Jsonb | Element::Boolean) => {
            each(SqliteCell::Text(raw.as_bytes()))
        }
        Node::Raw(raw) if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => Err(Mismatch::Form),
        Node::Raw(raw) => match raw.parse() {
            Ok(number) => each(SqliteCell::Integer(number)),
            Err(_) => each(SqliteCell::Text(raw.as_bytes())),
        },
        Node::Null | Node::List(_) => Err(Mismatch::Form),
    }
}

/// The image of an array: the lengths of its dimensions, then its elements.
pub(super) fn image(
    of: Element,
    cell: SqliteCell<'_>,
    reading: &mut CellReading<'_>,
) -> Result<CanonicalRow, Mismatch> {
    let (lengths, items) = parse(of, cell, reading)?;
    let mut image = CanonicalRow::default();
    for length in &lengths {
        image.value(&length.to_be_bytes());
    }
    for item in &items {
        match item {
            None => image.null(),
            Some(node) => element(of, node, |cell| one(&mut image, of, reading, cell))?,
        }
    }
    Ok(image)
}

/// The text of an array, for PostgreSQL.
pub(super) fn text(of: Element, cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<String, Mismatch> {
    let (lengths, items) = parse(of, cell, reading)?;
    let mut written = Vec::with_capacity(items.len());
    for item in &items {
        written.push(match item {
            None => "null".to_owned(),
            Some(node) => {
                let text = element(of, node, |cell| texts::one(of, cell, reading))?;
                let escaped: String = text
                    .chars()
                    .flat_map(|letter| matches!(letter, '"' | '\\').then_some('\\').into_iter().chain([letter]))
                    .collect();
                format!("\"{escaped}\"")
            }
        });
    }
    let mark = if of == Element::TextInput(InputSyntax::Box) { ";" } else { "," };
    let mut rest = written.into_iter();
    Ok(if lengths.is_empty() { "{}".to_owned() } else { nested(&lengths, &mut rest, mark) })
}

fn nested(lengths: &[usize], items: &mut impl Iterator<Item = String>, mark: &str) -> String {
    let Some((length, inner)) = lengths.split_first() else { return items.next().unwrap_or_default() };
    let parts: Vec<String> = (0..*length).map(|_| nested(inner, items, mark)).collect();
    format!("{{{}}}", parts.join(mark))
}
