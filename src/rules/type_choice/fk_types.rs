//! Finds one type for columns that a foreign key compares (docs/conversion-rules.md, section 1.4, step 1): PostgreSQL
//! has no foreign key between a `bigint` and a `text`.

use std::collections::BTreeMap;

use crate::model::PgType;

/// A column by the positions of its table and of itself.
pub type ColumnPosition = (usize, usize);

/// A pair of columns that a foreign key compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignKeyLink {
    /// The referring column.
    pub child: ColumnPosition,
    /// The column referred to.
    pub parent: ColumnPosition,
}

/// A column with its present type, as a member of a class of linked columns.
#[allow(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
#[derive(Debug, Clone)]
pub struct LinkedColumn {
    /// The type so far.
    pub pg_type: PgType,
    /// Whether it has any value: one without takes any type.
    pub has_values: bool,
    /// Whether a foreign key refers to it.
    pub is_parent: bool,
    /// Whether its type can't change: the rowid itself, or the configuration's choice.
    pub is_fixed: bool,
    /// Whether it is `bytea` because no text can hold its texts.
    pub needs_bytes: bool,
}

/// The classes of columns that links connect, directly or not; each in order, the classes by their first member.
#[must_use]
pub fn classes(links: &[ForeignKeyLink]) -> Vec<Vec<ColumnPosition>> {
    let mut leader: BTreeMap<ColumnPosition, ColumnPosition> = BTreeMap::new();
    for link in links {
        let (one, other) = (find(&mut leader, link.child), find(&mut leader, link.parent));
        leader.insert(one.max(other), one.min(other));
    }
    let members: Vec<ColumnPosition> = leader.keys().copied().collect();
    let mut classes: BTreeMap<ColumnPosition, Vec<ColumnPosition>> = BTreeMap::new();
    for member in members {
        classes.entry(find(&mut leader, member)).or_default().push(member);
    }
    classes.into_values().collect()
}

fn find(leader: &mut BTreeMap<ColumnPosition, ColumnPosition>, position: ColumnPosition) -> ColumnPosition {
    let mut at = *leader.entry(position).or_insert(position);
    while let Some(next) = leader.get(&at).copied().filter(|next| *next != at) {
        at = next;
    }
    leader.insert(position, at);
    at
}

/// The type on which a class agrees: a fixed one, else the least upper bound of the parents' types and then of the
/// children's. `None` if nothing has to change or nothing common exists.
///
/// A text child of a numeric parent doesn't pull the parent to text: SQLite compares with the parent's affinity, and
/// a key of integers is worth more than a reference that can't match.
#[must_use]
pub fn common_type(members: &[LinkedColumn]) -> Option<PgType> {
    let first = members.first()?;
    if members.iter().all(|member| agree(&member.pg_type, &first.pg_type)) {
        return None;
    }
    let mut fixed = members.iter().filter(|member| member.is_fixed).map(|member| &member.pg_type);
    if let Some(chosen) = fixed.next() {
        return fixed.all(|other| agree(chosen, other)).then(|| chosen.clone());
    }
    let is_bytes_or_text = |member: &LinkedColumn| member.pg_type.is_text() || member.pg_type == PgType::Bytea;
    if members.iter().any(|member| member.needs_bytes)
        && members.iter().all(|member| is_bytes_or_text(member) || !member.has_values)
    {
        return Some(PgType::Bytea);
    }
    let with_values = |is_parent: bool| {
        members
            .iter()
            .filter(move |member| member.has_values && member.is_parent == is_parent)
            .map(|member| &member.pg_type)
    };
    let parents: Vec<&PgType> = with_values(true).collect();
    let (mut leading, following): (Vec<&PgType>, Vec<&PgType>) = if parents.is_empty() {
        (with_values(false).collect(), Vec::new())
    } else {
        (parents, with_values(false).collect())
    };
    if leading.is_empty() {
        leading = members.iter().filter(|member| member.is_parent).map(|member| &member.pg_type).collect();
    }
    let mut leading = leading.into_iter().cloned();
    let first = leading.next()?;
    let agreed = leading.try_fold(first, |so_far, next| upper_bound(&so_far, &next))?;
    let follows = following.into_iter().filter(|pg_type| !(pg_type.is_text() && is_number(&agreed)));
    Some(follows.fold(agreed.clone(), |so_far, next| upper_bound(&so_far, next).unwrap_or(so_far)))
}

/// Whether PostgreSQL compares the two types in a foreign key, with the same meaning as SQLite.
#[must_use]
pub fn agree(one: &PgType, other: &PgType) -> bool {
    let integer = |pg_type: &PgType| matches!(pg_type, PgType::SmallInt | PgType::Integer | PgType::BigInt);
    let numeric = |pg_type: &PgType| matches!(pg_type, PgType::Numeric(_));
    one == other
        || (one.is_text() && other.is_text())
        || (integer(one) && integer(other))
        || (numeric(one) && numeric(other))
}

fn is_number(pg_type: &PgType) -> bool {
    number_rank(pg_type).is_some()
}

fn number_rank(pg_type: &PgType) -> Option<u8> {
    match pg_type {
        PgType::Boolean => Some(0),
        PgType::SmallInt | PgType::Integer | PgType::BigInt => Some(1),
        PgType::Double => Some(2),
        PgType::Numeric(_) => Some(3),
        _ => None,
    }
}

/// The narrowest type that holds the values of both.
fn upper_bound(one: &PgType, other: &PgType) -> Option<PgType> {
    if one == other {
        return Some(one.clone());
    }
    if let (Some(first), Some(second)) = (number_rank(one), number_rank(other)) {
        return Some(if first.max(second) <= 1 { PgType::BigInt } else { PgType::Numeric(None) });
    }
    let timestamp = |pg_type: &PgType| matches!(pg_type, PgType::Timestamp | PgType::TimestampTz | PgType::Date);
    match (one, other) {
        (PgType::Bytea, _) | (_, PgType::Bytea) => None,
        (text, _) | (_, text) if text.is_text() => Some(PgType::Text),
        (number, time) | (time, number) if timestamp(time) && is_number(number) => Some(PgType::BigInt),
        (one, other) if is_number(one) || is_number(other) => None,
        _ => Some(PgType::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pg_type: PgType, is_parent: bool) -> LinkedColumn {
        LinkedColumn { pg_type, has_values: true, is_parent, is_fixed: false, needs_bytes: false }
    }

    #[test]
    fn links_make_classes_across_tables() {
        let link = |child, parent| ForeignKeyLink { child, parent };
        let links = [link((1, 0), (0, 0)), link((2, 1), (1, 0)), link((3, 0), (3, 1))];
        assert_eq!(classes(&links), vec![vec![(0, 0), (1, 0), (2, 1)], vec![(3, 0), (3, 1)]]);
        assert_eq!(classes(&[link((5, 0), (5, 0))]), vec![vec![(5, 0)]]);
    }

    #[test]
    fn classes_agree_on_the_least_type_that_holds_all() {
        use PgType::{BigInt, Boolean, Bytea, Double, Numeric, Text, TimestampTz, Uuid, Varchar};
        for (parent, child, expected) in [
            (BigInt, BigInt, None),
            (Varchar(20), Text, None),
            (Boolean, BigInt, Some(BigInt)),
            (BigInt, Boolean, Some(BigInt)),
            (BigInt, Double, Some(Numeric(None))),
            (Text, BigInt, Some(Text)),
            (Uuid, Text, Some(Text)),
            (Text, Uuid, Some(Text)),
            (BigInt, Text, Some(BigInt)),
            (Bytea, Text, Some(Bytea)),
            (BigInt, TimestampTz, Some(BigInt)),
        ] {
            let members = [member(parent.clone(), true), member(child.clone(), false)];
            assert_eq!(common_type(&members), expected, "{parent} <- {child}");
        }
    }

    #[test]
    fn text_that_no_text_can_hold_makes_all_bytes() {
        let parent = member(PgType::Text, true);
        let child = LinkedColumn { needs_bytes: true, ..member(PgType::Bytea, false) };
        assert_eq!(common_type(&[parent, child.clone()]), Some(PgType::Bytea));
        assert_eq!(common_type(&[member(PgType::BigInt, true), child]), Some(PgType::BigInt));
    }

    #[test]
    fn fixed_and_empty_columns_decide_and_follow() {
        let mut parent = member(PgType::BigInt, true);
        let mut child = member(PgType::Text, false);
        child.has_values = false;
        assert_eq!(common_type(&[parent.clone(), child.clone()]), Some(PgType::BigInt));
        parent.has_values = false;
        child.has_values = true;
        assert_eq!(common_type(&[parent.clone(), child.clone()]), Some(PgType::Text));
        parent.is_fixed = true;
        assert_eq!(common_type(&[parent, child]), Some(PgType::BigInt));
        let two = [member(PgType::Uuid, true), member(PgType::Timestamp, true), member(PgType::Text, false)];
        assert_eq!(common_type(&two), Some(PgType::Text));
    }
}
