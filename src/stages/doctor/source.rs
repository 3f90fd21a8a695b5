//! Checks the source: whether it answers, by which methods, and how large it is.

use std::path::Path;

use super::{Check, CheckSubject};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::human_format::{bytes, counted},
    source::{
        endpoint::{Endpoint, Source},
        http::{Server, ServerSettings, statement_refused},
        token,
    },
    sqlite::open,
    stages::dump::{DumpRequest, reach},
    workdir::now_s,
};

/// What is asked: each by itself, so that an older server that lacks one answers the others.
const QUESTIONS: [&str; 4] = [
    "SELECT sqlite_version()",
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
    "SELECT page_count FROM pragma_page_count",
    "SELECT page_size FROM pragma_page_size",
];

/// Checks the source. The second part is its size in bytes, where it is known.
pub(super) async fn examine(ctx: &Context, request: Option<&DumpRequest>) -> (Vec<Check>, Option<u64>) {
    let Some(request) = request else {
        let todo = "set TURSO_DATABASE_URL, or name a URL or a file with --source";
        return (vec![Check::warn(CheckSubject::Source, "given", "no, so it is not checked", todo)], None);
    };
    let reached = match &request.platform {
        None => Ok(request.clone()),
        Some(settings) => reach(ctx, settings, false).await.map(|reached| DumpRequest {
            source: reached.source,
            token: Some(reached.token),
            ..request.clone()
        }),
    };
    let request = match reached {
        Ok(request) => &{ request },
        Err(error) => return (vec![Check::fail(CheckSubject::Source, "platform", &error)], None),
    };
    match Source::parse(&request.source) {
        Err(error) => (vec![Check::fail(CheckSubject::Source, "given", &error)], None),
        Ok(Source::File(path)) => match examine_file(&path) {
            Ok(found) => found,
            Err(error) => (vec![Check::fail(CheckSubject::Source, "file", &error)], None),
        },
        Ok(Source::Server(endpoint)) => {
            let mut checks: Vec<Check> = endpoint.warnings().into_iter().map(warning).collect();
            match examine_server(ctx, request, &endpoint).await {
                Ok((found, size)) => {
                    checks.extend(found);
                    (checks, size)
                }
                Err(error) => {
                    checks.push(Check::fail(CheckSubject::Source, "connection", &error));
                    (checks, None)
                }
            }
        }
    }
}

fn content(name: &'static str, found: String, tables: u64) -> Check {
    if tables == 0 {
        return Check::warn(CheckSubject::Source, name, found, "see whether this is the database that you mean");
    }
    Check::ok(CheckSubject::Source, name, found)
}

fn warning(text: String) -> Check {
    Check::warn(CheckSubject::Source, "connection", text, "use https:// or libsql://, or a tunnel")
}

fn examine_file(path: &Path) -> Result<(Vec<Check>, Option<u64>)> {
    let connection = open::read_only(path)?;
    let tables = connection.query_row(QUESTIONS[1], [], |row| row.get::<_, i64>(0));
    let tables = tables
        .ok()
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| Error::new(Kind::SourceInvalid, format!("the tables of {} can't be counted", path.display())))?;
    let size = std::fs::metadata(path).map(|facts| facts.len()).ok();
    let found = format!("{}, {}, {}", path.display(), amount(tables), size.map(bytes).unwrap_or_default());
    Ok((vec![content("file", found, tables)], size))
}

async fn examine_server(
    ctx: &Context,
    request: &DumpRequest,
    endpoint: &Endpoint,
) -> Result<(Vec<Check>, Option<u64>)> {
    let token = token::one_of(endpoint.token(), request.token.as_ref())?;
    let settings = ServerSettings {
        endpoint,
        token: token.as_ref(),
        ca_file: request.ca_file.as_deref(),
        namespace: request.namespace.as_deref(),
        now_s: now_s(),
    };
    let answers = Server::new(ctx, &settings)?.query(&QUESTIONS).await?;
    let mut numbers = Vec::new();
    let mut engine = String::new();
    for (index, answer) in answers.into_iter().enumerate() {
        let cell = match answer {
            Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().next()),
            // Without the first one nothing can be read; the others are for information.
            Err(code) if index == 0 => return Err(statement_refused("asking for the version", &code)),
            Err(_) => None,
        };
        if index == 0 {
            engine = cell.and_then(crate::source::hrana::Cell::into_string).unwrap_or_default();
        } else {
            numbers.push(cell.and_then(|cell| cell.integer()).and_then(|number| u64::try_from(number).ok()));
        }
    }
    let mut checks =
        vec![Check::ok(CheckSubject::Source, "connection", format!("{endpoint} answers, SQLite {engine}"))];
    let size = match numbers[..] {
        [_, Some(pages), Some(page)] => Some(pages.saturating_mul(page)),
        _ => None,
    };
    let tables = numbers.first().copied().flatten();
    checks.push(match tables {
        Some(tables) => {
            let size = size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
            content("content", format!("{}{size}", amount(tables)), tables)
        }
        None => Check::warn(CheckSubject::Source, "content", "the tables can't be counted", ""),
    });
    Ok((checks, size))
}

fn amount(tables: u64) -> String {
    counted(tables, "table", "tables")
}
