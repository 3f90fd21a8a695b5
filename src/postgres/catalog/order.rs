//! Puts objects into an order in which they can be created.

use std::collections::{BTreeMap, BTreeSet};

use super::{Address, DOING, queries};
use crate::{
    error::Result,
    model::{
        catalog::{CatalogObject, ObjectKind, ObjectName, Phase},
        identifier::quote_ident,
    },
    postgres::Session,
};

/// The objects in order, each with the places of those that it needs.
///
/// # Errors
/// By role.
pub(super) async fn ordered(
    session: &Session,
    objects: Vec<CatalogObject>,
    places: &BTreeMap<Address, usize>,
) -> Result<Vec<CatalogObject>> {
    let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); objects.len()];
    for row in session.query_rows(DOING, queries::DEPENDENCIES, &[]).await? {
        let from = places.get(&(row.get(0)?, row.get(1)?));
        let to = places.get(&(row.get(2)?, row.get(3)?));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
            && let Some(list) = needs.get_mut(*from)
        {
            list.insert(*to);
        }
    }
    add_containers(&objects, &mut needs);
    Ok(sorted(objects, &needs))
}

/// Objects need their schema and their table.
fn add_containers(objects: &[CatalogObject], needs: &mut [BTreeSet<usize>]) {
    let by_name: BTreeMap<&ObjectName, usize> = objects.iter().enumerate().map(|(at, one)| (&one.name, at)).collect();
    for (at, (object, needs)) in objects.iter().zip(needs).enumerate() {
        let name = &object.name;
        let schema = by_name.get(&ObjectName::new(ObjectKind::Schema, "", &name.schema));
        let relations = [ObjectKind::Table, ObjectKind::MaterializedView, ObjectKind::View];
        let table = relations.iter().find_map(|kind| by_name.get(&ObjectName::new(*kind, &name.schema, &name.table)));
        let table = table.filter(|_| !name.table.is_empty());
        needs.extend(schema.into_iter().chain(table).filter(|place| **place != at));
        // PostgreSQL records no dependency of a replica identity or CLUSTER on its index.
        if name.kind == ObjectKind::TableOption {
            let of_table =
                by_name.iter().filter(|(other, _)| (&other.schema, &other.table) == (&name.schema, &name.table));
            needs.extend(of_table.filter(|(other, _)| names_index(object, other)).map(|(_, place)| *place));
        }
    }
}

/// Whether the option of a table ends in the name of this index, or of the constraint that it belongs to.
fn names_index(option: &CatalogObject, other: &ObjectName) -> bool {
    let ends = [format!(" {}", other.name), format!(" {}", quote_ident(&other.name))];
    matches!(other.kind, ObjectKind::Index | ObjectKind::Constraint)
        && option.create.iter().any(|sql| ends.iter().any(|end| sql.ends_with(end.as_str())))
}

/// Sorts by dependency, and where there is none by kind and name. A circle is cut where it is entered.
fn sorted(objects: Vec<CatalogObject>, needs: &[BTreeSet<usize>]) -> Vec<CatalogObject> {
    let mut begin: Vec<usize> = (0..objects.len()).collect();
    begin.sort_by_key(|at| objects.get(*at).map(|object| &object.name));
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for at in begin {
        visit(at, &objects, needs, &mut seen, &mut order);
    }
    let new_place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let mut phases: Vec<Phase> = Vec::new();
    let mut old: Vec<Option<CatalogObject>> = objects.into_iter().map(Some).collect();
    let mut result = Vec::new();
    for at in &order {
        let Some(mut object) = old.get_mut(*at).and_then(Option::take) else { continue };
        let own = needs.get(*at).into_iter().flatten().filter_map(|need| new_place.get(need).copied());
        object.needs = own.filter(|need| *need < result.len()).collect();
        object.needs.sort_unstable();
        let late = object.needs.iter().any(|need| phases.get(*need) == Some(&Phase::AfterRows));
        if late {
            object.phase = Phase::AfterRows;
        }
        phases.push(object.phase);
        result.push(object);
    }
    result
}

fn visit(
    at: usize,
    objects: &[CatalogObject],
    needs: &[BTreeSet<usize>],
    seen: &mut BTreeSet<usize>,
    order: &mut Vec<usize>,
) {
    // An explicit stack: chains of views can be long.
    let mut stack = vec![(at, false)];
    while let Some((at, is_done)) = stack.pop() {
        if is_done {
            order.push(at);
            continue;
        }
        if !seen.insert(at) {
            continue;
        }
        stack.push((at, true));
        let mut below: Vec<usize> =
            needs.get(at).into_iter().flatten().copied().filter(|need| !seen.contains(need)).collect();
        below.sort_by_key(|at| std::cmp::Reverse(objects.get(*at).map(|object| &object.name)));
        stack.extend(below.into_iter().map(|need| (need, false)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::ObjectFacts;

    fn object(kind: ObjectKind, name: &str, phase: Phase) -> CatalogObject {
        let name = ObjectName::new(kind, "s", name);
        CatalogObject {
            name,
            phase,
            create: Vec::new(),
            facts: ObjectFacts::None,
            comments: Vec::new(),
            grants: Vec::new(),
            grant_roles: Vec::new(),
            roles: Vec::new(),
            needs: Vec::new(),
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_takes_its_users_into_the_later_phase() {
        let objects = vec![
            object(ObjectKind::Function, "f", Phase::BeforeRows),
            object(ObjectKind::View, "v", Phase::AfterRows),
            object(ObjectKind::Table, "t", Phase::BeforeRows),
        ];
        // The function returns rows of the view, which reads the table.
        let needs = [BTreeSet::from([1]), BTreeSet::from([2]), BTreeSet::new()];
        let sorted = sorted(objects, &needs);
        let names: Vec<&str> = sorted.iter().map(|object| object.name.name.as_str()).collect();
        assert_eq!(names, ["t", "v", "f"]);
        assert_eq!(sorted.last().map(|object| object.phase), Some(Phase::AfterRows));
        assert_eq!(sorted.last().map(|object| object.needs.clone()), Some(vec![1]));
    }

    #[test]
    fn a_circle_ends() {
        let objects =
            vec![object(ObjectKind::Table, "a", Phase::BeforeRows), object(ObjectKind::Table, "b", Phase::BeforeRows)];
        assert_eq!(sorted(objects, &[BTreeSet::from([1]), BTreeSet::from([0])]).len(), 2);
    }
}
