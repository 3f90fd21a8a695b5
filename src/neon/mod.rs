//! Uses Neon's API for a push: connection strings, branches, restore points.
//!
//! Owns which calls are made and in what order. Knows nothing of tables, and never puts an answer's text into a message
//! except the API's own error message.

mod api;

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use api::Api;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::timestamp::rfc3339_s,
    secret::Secret,
    workdir::now_s,
};

/// What the names of restore points begin with.
pub const RESTORE_POINT: &str = "turso2neon-before-";
/// How long a branch for a trial, or a restore point, stays.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many names one hint lists.
const NAMED: usize = 20;

/// One branch of a project.
#[derive(Debug, Clone)]
pub struct Branch {
    api: Api,
    project: String,
    id: String,
    /// Its name.
    pub name: String,
    /// How many bytes it may hold.
    pub limit_bytes: Option<u64>,
    /// It is there for a trial, so nobody needs its former state.
    pub on_trial: bool,
}

#[derive(Debug, Deserialize)]
struct Described {
    id: String,
    name: String,
    #[serde(default)]
    default: bool,
}

#[derive(Debug, Deserialize)]
struct Database {
    name: String,
    owner_name: String,
}

#[derive(Debug, Deserialize)]
struct RoleOfBranch {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Project {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    current_state: String,
}

impl Branch {
    /// Finds a branch by name or id in a project that is given by id or name; without a branch, the project's default
    /// one.
    ///
    /// # Errors
    /// `Usage` if there is none of that name, with the names that there are; `Target*`.
    pub async fn find(ctx: &Context, api: Api, project: &str, wanted: Option<&str>) -> Result<Self> {
        let (project, limit_bytes) = describe(ctx, &api, project).await?;
        let project = project.as_str();
        let all = branches(ctx, &api, project).await?;
        let fits = |branch: &&Described| match wanted {
            Some(wanted) => branch.name == wanted || branch.id == wanted,
            None => branch.default,
        };
        let found = all.iter().find(fits).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|branch| branch.name.as_str()).collect();
            Error::new(Kind::Usage, "the Neon project has no such branch")
                .with_hint(format!("its branches are {}", names.join(", ")))
        })?;
        let (id, name) = (found.id.clone(), found.name.clone());
        Ok(Self {
            api,
            project: project.to_owned(),
            id,
            name,
            limit_bytes: limit_bytes.filter(|limit| *limit > 0),
            on_trial: false,
        })
    }

    /// The branch of this name for a trial, if the project has one.
    ///
    /// # Errors
    /// `Target*`.
    pub async fn existing(&self, ctx: &Context, name: &str) -> Result<Option<Self>> {
        let there = branches(ctx, &self.api, &self.project).await?;
        let found = there.into_iter().find(|branch| branch.name == name);
        Ok(found.map(|branch| Self { id: branch.id, name: branch.name, on_trial: true, ..self.clone() }))
    }

    /// Creates a branch of this one, with a compute, that expires by itself.
    ///
    /// # Errors
    /// `Target*`.
    pub async fn create(&self, ctx: &Context, name: &str) -> Result<Self> {
        let id = self.branch_off(ctx, name, true).await?;
        ctx.out.info(format!("created Neon branch {name} of {}; it expires after 7 days", self.name));
        Ok(Self { id, name: name.to_owned(), on_trial: true, ..self.clone() })
    }

    /// Creates a branch without a compute that keeps the present state and expires by itself. Gives its name.
    ///
    /// # Errors
    /// `Target*`.
    pub async fn restore_point(&self, ctx: &Context) -> Result<String> {
        let name = format!("{RESTORE_POINT}{}", rfc3339_s(now_s()).replace(':', ""));
        self.branch_off(ctx, &name, false).await?;
        Ok(name)
    }

    async fn branch_off(&self, ctx: &Context, name: &str, with_compute: bool) -> Result<String> {
        let expires_at = rfc3339_s(now_s() + KEPT.as_secs());
        let mut body = json!({ "branch": { "parent_id": self.id, "name": name, "expires_at": expires_at } });
        if with_compute && let Some(object) = body.as_object_mut() {
            object.insert("endpoints".to_owned(), json!([{ "type": "read_write" }]));
        }
        let answer = self.api.post(ctx, &format!("/projects/{}/branches", encoded(&self.project)), &body).await?;
        let id = answer.pointer("/branch/id").and_then(Value::as_str).map(str::to_owned);
        self.api.await_operations(ctx, &self.project, &answer).await?;
        id.ok_or_else(|| api::unexpected("a branch without an id"))
    }

    /// The names of the restore points of this project.
    ///
    /// # Errors
    /// `Target*`.
    pub async fn restore_points(&self, ctx: &Context) -> Result<Vec<String>> {
        let all = branches(ctx, &self.api, &self.project).await?;
        Ok(all.into_iter().map(|branch| branch.name).filter(|name| name.starts_with(RESTORE_POINT)).collect())
    }

    /// Overwrites this branch, with all its databases, by the state that a restore point keeps. The present state stays
    /// as a branch, whose name is given.
    ///
    /// # Errors
    /// `Usage` if there is no such restore point, `Target*`.
    pub async fn restore(&self, ctx: &Context, point: &str) -> Result<String> {
        let source = Self::find(ctx, self.api.clone(), &self.project, Some(point)).await?;
        let preserved = format!("turso2neon-undone-{}", rfc3339_s(now_s()).replace(':', ""));
        let body = json!({ "source_branch_id": source.id, "preserve_under_name": preserved });
        let answer = self.api.post(ctx, &format!("{}/restore", self.path()), &body).await?;
        self.api.await_operations(ctx, &self.project, &answer).await?;
        Ok(preserved)
    }

    /// The direct connection string of one of the branch's databases, its compute woken. Without names it is the only
    /// database, and its owner.
    ///
    /// # Errors
    /// `Usage` if it is not known which database is meant, or if there is none of that name; `Target*`.
    pub async fn connection_string(
        &self,
        ctx: &Context,
        database: Option<&str>,
        role: Option<&str>,
    ) -> Result<Secret<String>> {
        let (database, role) = self.choose(ctx, database, role).await?;
        self.wake(ctx).await?;
        let path = format!(
            "/projects/{}/connection_uri?branch_id={}&database_name={}&role_name={}&pooled=false",
            encoded(&self.project),
            encoded(&self.id),
            encoded(&database),
            encoded(&role)
        );
        let answer = self.api.get(ctx, &path).await?;
        let uri = answer.get("uri").and_then(Value::as_str);
        uri.map(|uri| Secret::new(uri.to_owned())).ok_or_else(|| api::unexpected("no connection string"))
    }

    /// The database and the role that are meant.
    ///
    /// # Errors
    /// As [`Self::connection_string`].
    pub async fn choose(&self, ctx: &Context, database: Option<&str>, role: Option<&str>) -> Result<(String, String)> {
        let answer = self.api.get(ctx, &format!("{}/databases", self.path())).await?;
        let databases: Vec<Database> = api::read(answer.get("databases"))?;
        let names: Vec<&str> = databases.iter().map(|database| database.name.as_str()).collect();
        let chosen = match (database, databases.as_slice()) {
            (Some(wanted), all) => all.iter().find(|database| database.name == wanted).ok_or_else(|| {
                Error::new(Kind::Usage, format!("Neon branch {} has no such database", self.name))
                    .with_hint(format!("its databases are {}", names.join(", ")))
            })?,
            (None, [only]) => only,
            (None, []) => {
                return Err(Error::new(Kind::Usage, format!("Neon branch {} has no database", self.name))
                    .with_hint("make one in Neon's console, or name another branch with --neon-branch"));
            }
            (None, _) => {
                let text = format!("Neon branch {} has the databases {}", self.name, names.join(", "));
                return Err(Error::new(Kind::Usage, text).with_hint("choose one of them with --neon-database NAME"));
            }
        };
        let role = match role {
            Some(wanted) => self.role(ctx, wanted).await?,
            None => chosen.owner_name.clone(),
        };
        Ok((chosen.name.clone(), role))
    }

    /// The role of this name, if the branch has it.
    async fn role(&self, ctx: &Context, wanted: &str) -> Result<String> {
        let answer = self.api.get(ctx, &format!("{}/roles", self.path())).await?;
        let roles: Vec<RoleOfBranch> = api::read(answer.get("roles"))?;
        if roles.iter().any(|role| role.name == wanted) {
            return Ok(wanted.to_owned());
        }
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        Err(Error::new(Kind::Usage, format!("Neon branch {} has no such role", self.name))
            .with_hint(format!("its roles are {}", names.join(", "))))
    }

    /// Starts the compute if it sleeps, and waits for it.
    async fn wake(&self, ctx: &Context) -> Result<()> {
        let answer = self.api.get(ctx, &format!("{}/endpoints", self.path())).await?;
        let endpoints: Vec<Endpoint> = api::read(answer.get("endpoints"))?;
        let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.kind == "read_write") else {
            return Err(Error::new(Kind::TargetRejected, format!("Neon branch {} has no compute", self.name))
                .with_hint("add a read-write compute to it in Neon's console, or name another branch"));
        };
        if endpoint.current_state == "idle" {
            let path = format!("/projects/{}/endpoints/{}/start", encoded(&self.project), encoded(&endpoint.id));
            let answer = self.api.post(ctx, &path, &Value::Null).await?;
            self.api.await_operations(ctx, &self.project, &answer).await?;
        }
        Ok(())
    }

    fn path(&self) -> String {
        format!("/projects/{}/branches/{}", encoded(&self.project), encoded(&self.id))
    }
}

/// The id of a project, and how many bytes a branch of it may hold.
async fn describe(ctx: &Context, api: &Api, project: &str) -> Result<(String, Option<u64>)> {
    let one = async |id: &str| {
        let answer = api.get(ctx, &format!("/projects/{}", encoded(id))).await?;
        let limit = answer.pointer("/project/branch_logical_size_limit_bytes").and_then(Value::as_u64);
        Ok::<_, Error>((id.to_owned(), limit))
    };
    let error = match one(project).await {
        Err(error) if error.kind() == Kind::Usage => error,
        other => return other,
    };
    // Not an id; perhaps a name. A key of one project may not list them, and then the first answer counts.
    let Ok(all) = pages::<Project>(ctx, api, "/projects", "projects").await else { return Err(error) };
    let mut called = all.iter().filter(|known| known.name == project);
    if let (Some(found), None) = (called.next(), called.next()) {
        return one(&found.id).await;
    }
    if all.is_empty() {
        return Err(error);
    }
    let names: Vec<String> = all.iter().take(NAMED).map(|known| format!("{} ({})", known.id, known.name)).collect();
    let more = all.len().checked_sub(NAMED + 1).map(|more| format!(" and {} more", more + 1)).unwrap_or_default();
    Err(Error::new(Kind::Usage, error.message())
        .with_hint(format!("the projects of NEON_API_KEY are {}{more}", names.join(", "))))
}

async fn branches(ctx: &Context, api: &Api, project: &str) -> Result<Vec<Described>> {
    pages(ctx, api, &format!("/projects/{}/branches", encoded(project)), "branches").await
}

/// All pages of a list.
async fn pages<T: DeserializeOwned>(ctx: &Context, api: &Api, path: &str, what: &str) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let next = if cursor.is_empty() { String::new() } else { format!("&cursor={}", encoded(&cursor)) };
        let answer = api.get(ctx, &format!("{path}?limit=100{next}")).await?;
        let some: Vec<T> = api::read(answer.get(what))?;
        let page = some.len();
        all.extend(some);
        let following = answer.pointer("/pagination/next").or_else(|| answer.pointer("/pagination/cursor"));
        match following.and_then(Value::as_str) {
            Some(next) if page > 0 && !next.is_empty() && next != cursor => cursor = next.to_owned(),
            _ => return Ok(all),
        }
    }
}

/// A part of a path or a query, percent-encoded.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_urls_are_encoded() {
        assert_eq!(encoded("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(encoded("a/b ?&é"), "a%2Fb%20%3F%26%C3%A9");
    }
}
