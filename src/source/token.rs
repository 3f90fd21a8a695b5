//! The source's token: which one counts, and why a server may have refused it.
//!
//! Never quotes a token. The expiry is read from the claims of a JWT without checking its signature: only the server
//! can do that, and only its answer counts.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// The one token among two places that may name it; an empty one counts as none.
///
/// # Errors
/// `Usage` if two different ones are given, or one holds a character that can't be sent.
pub fn one_of(first: Option<&Secret<String>>, second: Option<&Secret<String>>) -> Result<Option<Secret<String>>> {
    let text = |token: Option<&'_ Secret<String>>| {
        token.map(|token| token.expose().trim().to_owned()).filter(|text| !text.is_empty())
    };
    let token = match (text(first), text(second)) {
        (Some(first), Some(second)) if first != second => {
            return Err(Error::new(Kind::Usage, "two different tokens are given for the source")
                .with_hint("keep the one in the URL or the one in TURSO_AUTH_TOKEN, not both"));
        }
        (Some(token), _) | (None, Some(token)) => token,
        (None, None) => return Ok(None),
    };
    match token.chars().position(|character| !character.is_ascii_graphic()) {
        None => Ok(Some(Secret::new(token))),
        Some(position) => Err(Error::new(
            Kind::Usage,
            format!("the source's token has a character at position {} that no token has", position + 1),
        )
        .with_hint("copy the token again; it is one line of letters, digits, dots, dashes and underscores")),
    }
}

/// What is wrong with a token that the server refused: missing, expired or invalid.
#[must_use]
pub fn refusal(token: Option<&Secret<String>>, now_s: u64) -> String {
    let Some(token) = token else {
        return "the server asks for a token and none is given".to_owned();
    };
    match expiry_s(token.expose()) {
        Some(end) if end <= now_s => format!("the token expired {} ago", duration(now_s - end)),
        Some(_) | None => "the server says that the token is invalid".to_owned(),
    }
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

fn expiry_s(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    // Whole seconds suffice, and text keeps the conversion exact.
    format!("{:.0}", claims.exp?.trunc()).parse().ok()
}

fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "seconds"),
        120..=7_199 => (seconds / 60, "minutes"),
        7_200..=172_799 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> Secret<String> {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_reason_of_a_refusal_is_named() {
        assert!(refusal(None, 0).contains("none is given"));
        assert_eq!(refusal(Some(&jwt(r#"{"exp":1000}"#)), 1_060), "the token expired 60 seconds ago");
        assert_eq!(refusal(Some(&jwt(r#"{"exp":1000.5}"#)), 901_000), "the token expired 10 days ago");
        assert!(refusal(Some(&jwt(r#"{"exp":2000}"#)), 1_060).contains("invalid"));
        assert!(refusal(Some(&jwt("{}")), 1_060).contains("invalid"));
        assert!(refusal(Some(&secret("no token at all")), 1_060).contains("invalid"));
    }

    #[test]
    fn two_places_may_name_one_token_but_not_two() {
        let one = one_of(Some(&secret("abc\n")), Some(&secret("abc"))).unwrap();
        assert_eq!(one.unwrap().expose(), "abc");
        assert!(one_of(None, Some(&secret("\n"))).unwrap().is_none());
        assert_eq!(one_of(Some(&secret("")), Some(&secret("x"))).unwrap().unwrap().expose(), "x");
        let error = one_of(Some(&secret("abc")), Some(&secret("abd"))).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(one_of(Some(&secret("s3 cret")), None).unwrap_err().message().contains("position 3"));
    }
}
