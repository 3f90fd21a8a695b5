//! Finds circles of modules that import each other. What a module takes from the module that encloses it is no import:
//! both are one unit for whoever stands outside.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Source, module_of, names};

/// Which modules each module imports, names of the modules joined by `::`.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The imports of all sources. A name that a module only passes on leads to the module that it comes from.
pub(super) fn module_graph(sources: &[Source]) -> Graph {
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| module_of(&source.path)).collect();
    let mut passed_on: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for source in sources {
        let module = module_of(&source.path);
        for (path, is_passed_on) in names(source, &modules) {
            if let (true, Some(name)) = (is_passed_on, path.last()) {
                let known_as = module.iter().chain([name]).cloned().collect();
                passed_on.insert(known_as, path);
            }
        }
    }
    let mut graph = Graph::new();
    for source in sources {
        let module = module_of(&source.path);
        let mut imported = BTreeSet::new();
        for (path, is_passed_on) in names(source, &modules) {
            let other = home(&path, &modules, &passed_on);
            if !is_passed_on && !module.starts_with(&other) {
                imported.insert(other.join("::"));
            }
        }
        graph.insert(module.join("::"), imported);
    }
    graph
}

/// The module that a path leads to.
fn home(
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
    passed_on: &BTreeMap<Vec<String>, Vec<String>>,
) -> Vec<String> {
    let mut path = path.to_vec();
    // Nothing is passed on more often than this.
    for _ in 0..5 {
        let known = (1..=path.len()).find_map(|length| Some((length, passed_on.get(&path[..length])?)));
        match known {
            Some((length, origin)) if path[..length] != origin[..] => {
                path = origin.iter().chain(&path[length..]).cloned().collect();
            }
            _ => break,
        }
    }
    while !path.is_empty() && !modules.contains(&path) {
        path.pop();
    }
    path
}

/// The sets of modules each of which can be reached from each other one.
pub(super) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|from| (from, reached(graph, from))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (from, there) in &reach {
        let back = |to: &&&String| reach.get(**to).is_some_and(|from_there| from_there.contains(*from));
        let circle: Vec<String> = there.iter().filter(back).map(|to| (*to).clone()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reached<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = graph.get(from).into_iter().flatten().collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(graph.get(module).into_iter().flatten());
        }
    }
    found
}

mod own_eyes {
    //! The check of circles can fail too.

    use super::*;

    fn source(path: &str, code: &str) -> Source {
        Source { path: path.to_owned(), text: String::new(), code: code.to_owned() }
    }

    #[test]
    fn a_circle_is_found_through_a_name_that_is_passed_on() {
        let sources = [
            source("src/a/mod.rs", "mod b; mod c; pub use b::B; fn f() { c::g(); }"),
            source("src/a/b.rs", "use super::c::C; struct B;"),
            source("src/a/c.rs", "use crate::a::B; struct C;"),
            source("src/d.rs", "use crate::a::B; fn h() { crate::a::c::g(); }"),
        ];
        let graph = module_graph(&sources);
        assert_eq!(graph["a::c"], BTreeSet::from(["a::b".to_owned()]));
        assert_eq!(graph["a"], BTreeSet::from(["a::c".to_owned()]));
        assert_eq!(circles(&graph), [["a::b".to_owned(), "a::c".to_owned()]]);
    }
}
