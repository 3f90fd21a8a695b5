//! The order in which tables get their rows, so that foreign keys hold: parents first. Where keys form a circle, those
//! that PostgreSQL would check too early are put off until the end of the transaction.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::identifier::{qualified, quote_ident},
    stages::push::target::live_tables::LiveForeignKey,
};

/// The tables in an order in which their rows can be loaded, and the keys whose check has to be put off. `later` are
/// tables that get rows after all of these.
pub(crate) fn order<'a>(
    tables: &[&'a str],
    later: &BTreeSet<&str>,
    keys: &[LiveForeignKey],
) -> (Vec<&'a str>, Vec<LiveForeignKey>) {
    let names: BTreeSet<&str> = tables.iter().copied().collect();
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut waits_for: BTreeMap<&str, usize> = BTreeMap::new();
    // A key that points to its own table is checked when the table is complete.
    let among = |key: &&LiveForeignKey| {
        key.child != key.parent && names.contains(key.child.as_str()) && names.contains(key.parent.as_str())
    };
    for key in keys.iter().filter(among) {
        children.entry(&key.parent).or_default().push(&key.child);
        *waits_for.entry(&key.child).or_default() += 1;
    }
    let mut order: Vec<&'a str> = Vec::with_capacity(tables.len());
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut ready: Vec<&'a str> = tables.iter().rev().copied().filter(|name| !waits_for.contains_key(name)).collect();
    let mut rest = tables.iter().copied();
    while placed.len() < names.len() {
        // In a circle any table is as good as another.
        let Some(name) = ready.pop().or_else(|| rest.find(|name| !placed.contains(name))) else { break };
        if !placed.insert(name) {
            continue;
        }
        order.push(name);
        for child in children.get(name).into_iter().flatten() {
            let Some(waits) = waits_for.get_mut(child) else { continue };
            *waits = waits.saturating_sub(1);
            let child = tables.iter().copied().find(|table| table == child);
            ready.extend(child.filter(|child| *waits == 0 && !placed.contains(child)));
        }
    }
    let place = |name: &str| order.iter().position(|one| *one == name);
    let is_too_early = |key: &&LiveForeignKey| {
        let Some(child) = place(&key.child).filter(|_| !key.is_deferrable && key.child != key.parent) else {
            return false;
        };
        later.contains(key.parent.as_str()) || place(&key.parent).is_some_and(|parent| parent > child)
    };
    let put_off = keys.iter().filter(is_too_early).cloned().collect();
    (order, put_off)
}

/// The statements that put the checks of keys off, and those that make the keys what they were. A key keeps its OID.
pub(crate) fn put_off(schema: &str, keys: &[LiveForeignKey]) -> (Vec<String>, Vec<String>) {
    let alter = |key: &LiveForeignKey, words: &str| {
        format!("ALTER TABLE {} ALTER CONSTRAINT {} {words}", qualified(schema, &key.child), quote_ident(&key.name))
    };
    let off = keys.iter().map(|key| alter(key, "DEFERRABLE INITIALLY DEFERRED")).collect();
    (off, keys.iter().map(|key| alter(key, "NOT DEFERRABLE")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(child: &str, parent: &str) -> LiveForeignKey {
        let (child, parent) = (child.to_owned(), parent.to_owned());
        LiveForeignKey { name: format!("{child}_{parent}"), child, parent, is_deferrable: false }
    }

    fn names(keys: &[LiveForeignKey]) -> Vec<&str> {
        keys.iter().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn parents_come_first_and_only_circles_are_put_off() {
        let keys = [key("a", "b"), key("b", "c"), key("c", "c"), key("d", "a"), key("d", "outside")];
        let (order_of, off) = order(&["a", "b", "c", "d"], &BTreeSet::new(), &keys);
        assert_eq!(order_of, ["c", "b", "a", "d"]);
        assert!(off.is_empty());
        let circle = [key("a", "b"), key("b", "a"), key("c", "a")];
        let (order_of, off) = order(&["c", "b", "a"], &BTreeSet::new(), &circle);
        assert_eq!(order_of.len(), 3);
        assert!(off.len() == 1 || off.len() == 2, "{:?}", names(&off));
        let deferrable: Vec<_> = circle.into_iter().map(|key| LiveForeignKey { is_deferrable: true, ..key }).collect();
        assert!(order(&["a", "b", "c"], &BTreeSet::new(), &deferrable).1.is_empty());
    }

    #[test]
    fn keys_to_tables_that_get_rows_later_are_put_off() {
        let (_, off) = order(&["a"], &BTreeSet::from(["b"]), &[key("a", "b"), key("a", "c"), key("b", "a")]);
        assert_eq!(names(&off), ["a_b"]);
    }
}
