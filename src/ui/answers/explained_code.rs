//! Formats the answer of `explain CODE`.

use serde_json::json;

use crate::{
    error::{Error, Kind, Result},
    model::{FindingCode, similar_name::nearest},
    ui::Answer,
};

/// The description of a finding's or an error's code.
///
/// # Errors
/// `Usage` for a word that is no code, with a similar one.
pub fn code_explained(word: &str) -> Result<Answer> {
    if let Ok(code) = word.parse::<FindingCode>() {
        let doc = code.doc();
        let text = format!("{word}: a finding\n\n{}", code.section_text());
        let json = json!({
            "code": word,
            "kind": "finding",
            "meaning": doc.meaning,
            "severity": doc.severity,
            "accepted": doc.accepted,
            "solve": doc.solve,
            "example": doc.example,
        });
        return Ok(Answer::new("explain", text, json));
    }
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.code() == word) {
        let (exit, hint) = (kind.exit(), kind.hint());
        let text = format!("{word}: an error, exit code {exit}\n\nUsual hint: {hint}\n");
        let json = json!({ "code": word, "kind": "error", "exit": exit, "hint": hint });
        return Ok(Answer::new("explain", text, json));
    }
    let codes = FindingCode::ALL.iter().map(|code| code.word()).chain(Kind::ALL.iter().map(|kind| kind.code()));
    let hint = match nearest(word, codes) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "docs/findings.md lists the codes of findings".to_owned(),
    };
    Err(Error::new(Kind::Usage, "explain names no code of a finding or an error").with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_findings_and_errors_are_described() {
        for code in FindingCode::ALL {
            assert!(code_explained(code.word()).is_ok(), "{code:?}");
        }
        for kind in Kind::ALL {
            assert!(code_explained(kind.code()).is_ok(), "{kind:?}");
        }
        assert_eq!(code_explained("orphan-row").unwrap_err().hint(), "did you mean `orphan-rows`?");
    }
}
