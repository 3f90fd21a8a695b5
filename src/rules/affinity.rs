//! Determines a column's affinity from the declared type (SQLite "Datatypes", section 3.1).

use crate::model::source_schema::Affinity;

/// The affinity of a column declared with this type. The five rules are tried in SQLite's order. In STRICT tables the
/// type `ANY` keeps values as they are, which is what the affinity `Blob` stands for.
#[must_use]
pub fn of(declared: &str, strict: bool) -> Affinity {
    let upper = declared.to_ascii_uppercase();
    let has = |part: &str| upper.contains(part);
    if strict && upper == "ANY" {
        Affinity::Blob
    } else if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || upper.trim().is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_decide_in_order() {
        for (declared, expected) in [
            ("INTEGER", Affinity::Integer),
            ("int", Affinity::Integer),
            ("FLOATING POINT", Affinity::Integer),
            ("POINT", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("UNSIGNED BIG INT", Affinity::Integer),
            ("VARCHAR(255)", Affinity::Text),
            ("CLOB", Affinity::Text),
            ("TEXTBLOB", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("F32_BLOB(3)", Affinity::Blob),
            ("", Affinity::Blob),
            ("REAL", Affinity::Real),
            ("FLOAT32(3)", Affinity::Real),
            ("DOUBLE PRECISION", Affinity::Real),
            ("DECIMAL(10,2)", Affinity::Numeric),
            ("BOOLEAN", Affinity::Numeric),
            ("STRING", Affinity::Numeric),
            ("DATETIME", Affinity::Numeric),
            ("ANY", Affinity::Numeric),
        ] {
            assert_eq!(of(declared, false), expected, "{declared}");
        }
        assert_eq!(of("any", true), Affinity::Blob);
        assert_eq!(of("TEXT", true), Affinity::Text);
    }
}
