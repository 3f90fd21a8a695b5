//! The environment of the programs that the tool starts.

use std::fs;

use super::set_mode;
use crate::support::fixture::Workspace;

const SECRET: &str = "a5ecretThatNoProgramMayGet";

#[test]
fn no_program_gets_a_secret_of_the_environment() {
    let space = Workspace::new();
    let bin = space.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let record = space.path().join("environments");
    // What the tool looks for on PATH, and what it runs from the directory that it finds.
    for program in ["pg_config", "postgres", "initdb", "pg_controldata", "pg_ctl"] {
        let script = format!(
            "#!/bin/sh\necho \"began $0 in $(pwd)\" >> '{record}'\nexport -p >> '{record}'\n\
             case $1 in --bindir) echo '{bin}';; --version) echo 'postgres (PostgreSQL) 16.1';; *) exit 1;; esac\n",
            record = record.display(),
            bin = bin.display()
        );
        fs::write(bin.join(program), script).unwrap();
        set_mode(&bin.join(program), 0o755);
    }
    set_mode(space.path(), 0o755);
    fs::write(&record, "").unwrap();
    set_mode(&record, 0o666);
    space.sqlite("s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)");
    space.tool("dump").arg("--source").arg(space.path().join("s.db")).run().expect_exit(0);
    for flags in [vec![], vec!["--pg-bin".to_owned(), bin.display().to_string()]] {
        for command in ["doctor", "convert"] {
            let tool = space.tool(command).args(&flags).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
            let names = [
                "TURSO_AUTH_TOKEN",
                "TURSO_API_TOKEN",
                "NEON_API_KEY",
                "PGPASSWORD",
                "PGPASSFILE",
                "AWS_SECRET_ACCESS_KEY",
                "ACTIONS_RUNTIME_TOKEN",
            ];
            names.iter().fold(tool, |tool, name| tool.env(name, SECRET)).run();
        }
    }
    let seen = fs::read_to_string(&record).unwrap();
    for program in ["pg_config", "postgres", "initdb"] {
        assert!(seen.contains(&format!("/{program} in /")), "{program} did not run:\n{seen}");
    }
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(!seen.contains(&*space.path().join("migration").to_string_lossy()), "{seen}");
    assert_eq!(seen.matches("began ").count(), seen.matches(" in /\n").count(), "not in the root directory:\n{seen}");
}
