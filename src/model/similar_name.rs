//! Finds the name that was probably meant instead of one that does not exist.

use strsim::osa_distance;

/// The known name that is most similar to this one, the first of equals; none if no name is so close that it could be
/// meant. Case and the difference between `snake_case` and `camelCase` do not count.
pub fn nearest<T: AsRef<str>>(wanted: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let close = known.into_iter().filter_map(|name| Some((distance(wanted, name.as_ref())?, name)));
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many letters differ, if the names are close. `table.column` is close only if both parts are.
fn distance(one: &str, other: &str) -> Option<usize> {
    match (one.rsplit_once('.'), other.rsplit_once('.')) {
        (Some((table, column)), Some((other_table, other_column))) => {
            Some(distance_of_parts(table, other_table)? + distance_of_parts(column, other_column)?)
        }
        _ => distance_of_parts(one, other),
    }
}

fn distance_of_parts(one: &str, other: &str) -> Option<usize> {
    let (words, others) = (words(one), words(other));
    if words.is_empty() || others.is_empty() {
        return None;
    }
    let (joined, joined_other) = (words.concat(), others.concat());
    let distance = osa_distance(&joined, &joined_other);
    let (few, many) = if words.len() <= others.len() { (&words, &others) } else { (&others, &words) };
    let says_something = few.concat().chars().filter(|letter| letter.is_alphabetic()).count() > 1;
    let shares_words = says_something && few.iter().all(|word| many.iter().any(|other| is_close(word, other)));
    (shares_words || is_close(&joined, &joined_other)).then_some(distance)
}

fn is_close(one: &str, other: &str) -> bool {
    let allowed = match one.chars().count().max(other.chars().count()) {
        0..=1 => 0,
        2..=5 => 1,
        6..=11 => 2,
        letters => letters / 4,
    };
    osa_distance(one, other) <= allowed
}

/// The words of a name in lower case: `createdAt`, `created_at` and `Created-At` have the same ones.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        let begins = !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower);
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        after_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_proposed() {
        for (wanted, known, expected) in [
            ("usres", &["orders", "users"][..], Some("users")),
            ("user", &["users"], Some("users")),
            ("createdAt", &["updated_at", "created_at"], Some("created_at")),
            ("created", &["updated_at", "created_at"], Some("created_at")),
            ("users.created", &["users.created_at", "users.name"], Some("users.created_at")),
            ("user.id", &["users.id", "orders.id"], Some("users.id")),
            ("varchr", &["integer", "varchar(20)"], Some("varchar(20)")),
            ("orphan_row", &["orphan-rows"], Some("orphan-rows")),
            // A shared table does not make columns similar.
            ("users.fo", &["users.id", "users.name"], None),
            ("nothing.here", &["users.id"], None),
            ("n", &["id", "x"], None),
            ("+2", &["Etc/GMT+2"], None),
            ("price", &["total", "label"], None),
            ("", &["a"], None),
            ("_", &["a", "_"], None),
        ] {
            assert_eq!(nearest(wanted, known.iter().copied()), expected, "{wanted}");
        }
    }
}
