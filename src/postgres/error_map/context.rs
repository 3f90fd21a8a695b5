//! What of a server's CONTEXT names objects: functions, and the place in the data of a COPY. The rest quotes values and
//! statements, and is left out.

use tokio_postgres::error::DbError;

/// How a line that names a function begins.
const FUNCTIONS: [&str; 5] =
    ["PL/pgSQL function ", "SQL function ", "PL/Python function ", "PL/Perl function ", "PL/Tcl function "];
/// The longest part of a line that is kept.
const LONGEST: usize = 200;

/// The parts that name objects, in the server's order: the innermost first.
pub(super) fn names(server: &DbError) -> Vec<String> {
    server.where_().map(of_lines).unwrap_or_default()
}

fn of_lines(context: &str) -> Vec<String> {
    context.lines().filter_map(of_line).map(|part| part.chars().take(LONGEST).collect()).collect()
}

/// The function with its place, or `COPY table, line 2, column c`.
fn of_line(line: &str) -> Option<&str> {
    if FUNCTIONS.iter().any(|begin| line.starts_with(begin)) {
        return Some(line);
    }
    let rest = line.strip_prefix("COPY ")?;
    let (_, after) = rest.split_once(", line ")?;
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    // A colon stands before the value.
    let after = match after.strip_prefix(", column ") {
        Some(column) => column.split_once(':').map_or("", |(_, value)| value),
        None => after.strip_prefix(':').unwrap_or(after),
    };
    line.strip_suffix(after).map(|part| part.trim_end_matches(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_objects_is_kept() {
        for (context, kept) in [
            (
                "PL/pgSQL function public.guard(integer) line 3 at RAISE\nSQL statement \"INSERT INTO t VALUES ('hunter2')\"\n\
                 PL/pgSQL function outer_one() line 1 at SQL statement",
                &[
                    "PL/pgSQL function public.guard(integer) line 3 at RAISE",
                    "PL/pgSQL function outer_one() line 1 at SQL statement",
                ][..],
            ),
            ("SQL function \"f\" statement 1", &["SQL function \"f\" statement 1"]),
            ("COPY t, line 2, column i: \"hunter2\"", &["COPY t, line 2, column i"]),
            ("COPY t, line 2, column i: \"hunter2, line 7, column x: y\"", &["COPY t, line 2, column i"]),
            ("COPY t, line 2: \"hunter2\"", &["COPY t, line 2"]),
            // In binary data no value is quoted.
            ("COPY t, line 12, column i", &["COPY t, line 12, column i"]),
            ("COPY t, line 12", &["COPY t, line 12"]),
            ("COPY t: hunter2", &[]),
            ("unnamed portal with parameters: $1 = 'hunter2'", &[]),
            ("PL/pgSQL assignment \"x := 'hunter2'\"", &[]),
            ("JSON data, line 1: {\"hunter2", &[]),
            ("", &[]),
        ] {
            assert_eq!(of_lines(context), kept, "{context}");
        }
    }
}
