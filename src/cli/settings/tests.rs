use std::ffi::OsString;

use super::*;
use crate::cli::{
    args::{self, Args, Command},
    config_file::ConfigFile,
    environment::Environment,
};

fn layers(variables: &[(&'static str, &str)], file: &str) -> Layers {
    Layers { environment: Environment::of(variables), file: ConfigFile::parse(file, "t.toml").unwrap() }
}

fn complete(layers: &Layers, line: &str) -> Result<Args> {
    let typed: Vec<OsString> = format!("turso2neon {line}").split(' ').map(OsString::from).collect();
    let matches = args::command().try_get_matches_from(&typed).unwrap();
    layers.complete(args::command(), &typed, &matches)
}

fn push(layers: &Layers, line: &str) -> args::PushArgs {
    match complete(layers, format!("push {line}").trim_end()).unwrap().command {
        Command::Push(typed) => typed,
        other => panic!("{other:?}"),
    }
}

fn dump(layers: &Layers, line: &str) -> Result<DumpRequest> {
    match complete(layers, format!("dump {line}").trim_end()).unwrap().command {
        Command::Dump(typed) => layers.dump(&typed.source, &typed.method, &typed.fresh),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let dir = |layers: &Layers, line: &str| complete(layers, line).unwrap().global.dir;
    let all = layers(&[("TURSO2NEON_DIR", "b")], "dir = 'c'");
    assert_eq!(dir(&all, "status --dir a"), Path::new("a"));
    assert_eq!(dir(&all, "--dir a status"), Path::new("a"));
    assert_eq!(dir(&all, "status"), Path::new("b"));
    assert_eq!(dir(&layers(&[], "dir = 'c'"), "status"), Path::new("c"));
    assert_eq!(dir(&layers(&[], ""), "status"), Path::new("migration"));
}

#[test]
fn a_key_of_every_kind_is_a_default() {
    let file = layers(&[], "jobs = 4\nmode = 'swap'\ndry-run = true\nverbose = 2\nlock-wait = 7\njson = true");
    let typed = push(&file, "");
    assert_eq!(
        (typed.jobs.jobs, typed.mode, typed.dry_run, typed.wait.lock_wait),
        (Some(4), RequestedMode::Swap, true, 7)
    );
    let typed = push(&file, "--jobs 2 --mode diff --lock-wait 9");
    assert_eq!((typed.jobs.jobs, typed.mode, typed.wait.lock_wait), (Some(2), RequestedMode::Diff, 9));
    let global = complete(&file, "status").unwrap().global;
    assert_eq!((global.verbose, global.json, global.quiet), (2, true, false));
    assert_eq!(complete(&file, "status -v").unwrap().global.verbose, 1);
    let lists = layers(&[], "include = ['a', 'b,c']\ntables = ['d,e', 'f']");
    assert_eq!(lists.group::<DecisionArgs>().unwrap().include, ["a", "b,c"]);
    let tables = |line: &str| match complete(&lists, line).unwrap().command {
        Command::Verify(typed) => typed.tables,
        other => panic!("{other:?}"),
    };
    assert_eq!(tables("verify"), ["d,e", "f"]);
    assert_eq!(tables("verify --tables g,h"), ["g", "h"]);
}

#[test]
fn a_flag_hides_what_it_excludes_in_lower_layers() {
    let file = layers(&[], "quiet = true\nschema-only = true\ntarget = 't'");
    let global = complete(&file, "status -v").unwrap().global;
    assert_eq!((global.verbose, global.quiet), (1, false));
    assert_eq!(part(&push(&file, "--data-only").part).unwrap(), PushPart::Rows);
    assert_eq!(part(&push(&file, "").part).unwrap(), PushPart::Schema);
    let both = layers(&[], "schema-only = true\ndata-only = true");
    assert_eq!(part(&push(&both, "").part).unwrap_err().kind(), Kind::Config);
    let typed = push(&file, "--neon-project p").target;
    assert_eq!((typed.neon_project.as_deref(), typed.target.is_none()), (Some("p"), true));
    let project = layers(&[("NEON_DATABASE_URL", "n")], "neon-project = 'p'");
    let typed = push(&project, "").target;
    assert_eq!((typed.neon_project, typed.target.is_some()), (None, true));
}

#[test]
fn the_target_prefers_neon_over_the_general_variable() {
    let shown = |layers: &Layers| target(&push(layers, "").target).unwrap().map(|url| url.expose().clone());
    assert_eq!(shown(&layers(&[("DATABASE_URL", "d"), ("NEON_DATABASE_URL", "n")], "")), Some("n".to_owned()));
    assert_eq!(shown(&layers(&[("DATABASE_URL", "d")], "target = 'f'")), Some("d".to_owned()));
    assert_eq!(shown(&layers(&[], "target = 'f'")), Some("f".to_owned()));
    assert_eq!(shown(&layers(&[], "")), None);
    let empty = push(&layers(&[("DATABASE_URL", "d")], ""), "--target=").target;
    assert_eq!(target(&empty).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn a_database_of_the_platform_gives_way_to_a_source_of_a_higher_layer() {
    let file = "database = 'db'\norg = 'o'\nsource = 'f'";
    let key = ("TURSO_API_TOKEN", "k");
    let named = |variables: &[(&'static str, &str)], line: &str| {
        let request = dump(&layers(variables, file), line).unwrap();
        (request.platform.map(|platform| platform.database), request.source.expose().clone())
    };
    let platform = (Some("db".to_owned()), String::new());
    assert_eq!(named(&[key], ""), platform);
    assert_eq!(named(&[key, ("TURSO_AUTH_TOKEN", "t")], ""), platform);
    assert_eq!(named(&[key, ("TURSO_DATABASE_URL", "e")], ""), (None, "e".to_owned()));
    assert_eq!(named(&[key], "--source s"), (None, "s".to_owned()));
    let typed = named(&[key, ("TURSO_DATABASE_URL", "e")], "--database other");
    assert_eq!(typed, (Some("other".to_owned()), String::new()));
    assert_eq!(dump(&layers(&[], file), "").unwrap_err().message(), "--database needs an API token");
}

#[test]
fn the_token_of_the_environment_replaces_the_file_named_by_the_key() {
    let with = |variables: &[(&'static str, &str)], line: &str| {
        dump(&layers(variables, "source = 's'\nauth-token-file = '/nowhere/token'"), line)
    };
    let request = with(&[("TURSO_AUTH_TOKEN", "t")], "").unwrap();
    assert_eq!(request.token.map(|token| token.expose().clone()), Some("t".to_owned()));
    for (variables, line) in [(&[][..], ""), (&[("TURSO_AUTH_TOKEN", "t")], "--auth-token-file /nowhere/other")] {
        assert_eq!(with(variables, line).unwrap_err().kind(), Kind::Usage, "{line}");
    }
}

#[test]
fn a_format_of_another_command_is_refused() {
    let file = layers(&[], "format = 'html'");
    let error = complete(&file, "plan").unwrap_err();
    assert_eq!((error.kind(), error.hint()), (Kind::Config, "name one with --format; see `turso2neon plan --help`"));
    assert!(complete(&file, "report").is_ok() && complete(&file, "plan --format sql").is_ok());
}

fn decisions(layers: &Layers, accept: &[&str]) -> Result<PlanDecisions> {
    let typed = DecisionArgs {
        accept: accept.iter().map(|text| (*text).to_owned()).collect(),
        ..layers.group::<DecisionArgs>()?
    };
    layers.decisions(&typed, &layers.group()?)
}

#[test]
fn accepted_findings_of_file_and_flags_add_up() {
    let file = layers(&[], "[accept]\norphan-rows = ['comments']");
    let decisions = decisions(&file, &["orphan-rows@posts.author_id", "view-not-carried"]).unwrap();
    let accepted = decisions.overrides.accepted();
    assert_eq!(accepted["orphan-rows"], ["comments", "posts.author_id"]);
    assert_eq!(accepted["view-not-carried"], ["*"]);
    assert_eq!(decisions.overrides.accept["orphan-rows"], ["comments"], "what is typed is not configuration");
}

#[test]
fn a_wrong_accept_is_refused_with_the_codes() {
    for text in ["orphans", "all@x", "orphan-rows@"] {
        assert_eq!(decisions(&layers(&[], ""), &[text]).unwrap_err().kind(), Kind::Usage, "{text}");
    }
    let error = decisions(&layers(&[], ""), &["orphan-row"]).unwrap_err();
    assert!(error.hint().starts_with("did you mean `orphan-rows`? the codes are all, "), "{}", error.hint());
}

#[test]
fn what_is_verified_follows_what_was_pushed() {
    let side = |variables: &[(&'static str, &str)], pushed| match complete(&layers(variables, ""), "verify") {
        Ok(Args { command: Command::Verify(typed), .. }) => against(&typed, pushed),
        other => panic!("{other:?}"),
    };
    let with = &[("NEON_DATABASE_URL", "n")];
    assert_eq!(side(with, true).unwrap(), Against::Both);
    assert_eq!(side(with, false).unwrap(), Against::Local);
    assert_eq!(side(&[], true).unwrap_err().kind(), Kind::Usage);
    assert_eq!(side(&[], false).unwrap(), Against::Local);
}

#[test]
fn a_token_file_is_never_named() {
    let error = read_token(Path::new("/nowhere/eyJhunter2")).unwrap_err();
    assert!(!format!("{error} {}", error.hint()).contains("hunter2"));
}
