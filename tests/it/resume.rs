//! Power losses: each command is killed at random moments, then called again, and must end where an undisturbed run
//! ends. The seed is printed; `TURSO2NEON_TEST_SEED` repeats it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::support::{Environment, Rng, Sqld, Target, Tool, Workspace, rng, sample_db, tool::Running};

/// Percent of the sample database's 100,000 rows: long enough to be hit in the middle, short enough to be repeated.
const SIZE: u32 = 20;

/// Waits for this long, or until the call has ended.
fn pause(running: &mut Running, time: Duration) {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline && !running.ended() {
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Kills the call, unless it has ended by then. Says whether it was killed.
fn kill(running: Running) -> bool {
    let run = running.kill();
    println!("  {}: {}", run.args[0].display(), run.status);
    assert!(matches!(run.code(), Some(0) | None), "the call failed before it was killed: {run:?}");
    run.signal() == Some(9)
}

/// What an undisturbed run makes of the source, and how long each command takes.
struct Baseline {
    content: BTreeMap<String, String>,
    times: BTreeMap<&'static str, Duration>,
}

const STAGES: [&str; 5] = ["dump", "plan", "convert", "push", "verify"];

/// A fresh DIR and target for a source that many share.
struct Trial<'a> {
    source: &'a Sqld,
    workspace: Workspace,
    target: Target,
}

impl<'a> Trial<'a> {
    fn on(source: &'a Sqld) -> Self {
        Self { source, workspace: Workspace::new(), target: Target::start() }
    }

    fn tool(&self, command: &str) -> Tool {
        let tool = self
            .workspace
            .tool(command)
            .env("TURSO_DATABASE_URL", self.source.url())
            .env("TURSO_AUTH_TOKEN", self.source.read_only_token())
            .env("NEON_DATABASE_URL", self.target.url());
        if ["plan", "convert", "run"].contains(&command) { tool.args(["--accept", "all"]) } else { tool }
    }

    fn undisturbed(&self) -> Baseline {
        let time = |command: &'static str| (command, self.tool(command).run().expect_exit(0).elapsed);
        let times = STAGES.into_iter().map(time).collect();
        let content = self.target.content("public");
        assert!(content.len() >= sample_db::tables(1).len(), "an undisturbed run brought {content:?}");
        Baseline { content, times }
    }

    /// Starts a call and returns when it has begun with this stage; none if a call before it had done the stage.
    fn spawn_until(&self, command: &str, stage: &str) -> Option<Running> {
        let mut running = self.tool(command).spawn();
        let starts = |workspace: &Workspace| {
            let events = workspace.events();
            events.iter().filter(|event| event["type"] == "stage-started" && event["stage"] == *stage).count()
        };
        let before = starts(&self.workspace);
        while starts(&self.workspace) == before {
            if running.ended() {
                running.wait().expect_exit(0);
                return None;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Some(running)
    }

    /// Kills a call as soon as it has begun with its work.
    fn kill_at_start(&self, stage: &str) {
        assert!(self.spawn_until(stage, stage).is_some_and(kill), "{stage} ended before it could be killed");
    }

    /// Kills a call after this delay, unless it has ended by then.
    fn kill_after(&self, command: &str, delay: Duration) {
        let mut running = self.tool(command).spawn();
        pause(&mut running, delay);
        kill(running);
    }

    fn verify(&self, expected: &Baseline) {
        self.tool("verify").args(["--level", "full", "--against", "both"]).run().expect_exit(0);
        assert_eq!(self.target.content("public"), expected.content);
    }
}

fn source() -> Sqld {
    let source = Sqld::start();
    source.fill_sample_db(SIZE);
    source
}

#[test]
fn each_stage_survives_kills_at_random_moments() {
    let source = source();
    let mut rng = Rng::of_chance("stages");
    let expected = Trial::on(&source).undisturbed();
    for round in 0..rng::times(30).div_ceil(2 * STAGES.len()) {
        println!("round {round}");
        let attempt = Trial::on(&source);
        for stage in STAGES {
            attempt.kill_at_start(stage);
            attempt.kill_after(stage, rng.within(expected.times[stage]));
            attempt.tool(stage).run().expect_exit(0);
        }
        attempt.verify(&expected);
    }
}

#[test]
fn a_cluster_that_was_being_made_does_not_disturb_the_next_try() {
    let environment = Environment::with_sample_db(1);
    environment.call(&["dump", "plan"]);
    let convert = environment.workspace.dir().join("convert");
    let is_being_made = || {
        let entries = std::fs::read_dir(&convert).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pgdata.new")).count() > 0
    };
    for _ in 0..3 {
        let mut running = environment.tool("convert").spawn();
        while !is_being_made() && !running.ended() {
            std::thread::sleep(Duration::from_micros(500));
        }
        assert!(kill(running), "the cluster was complete before the call could be killed");
    }
    // The three `initdb` of before may still be writing.
    environment.tool("convert").run().expect_exit(0);
    environment.tool("verify").args(["--against", "local"]).run().expect_exit(0);
}

#[test]
fn a_whole_run_survives_kills_at_random_moments() {
    let source = source();
    let mut rng = Rng::of_chance("run");
    let expected = Trial::on(&source).undisturbed();
    for _ in 0..rng::times(6).div_ceil(6) {
        let attempt = Trial::on(&source);
        for stage in STAGES {
            let Some(mut running) = attempt.spawn_until("run", stage) else { continue };
            pause(&mut running, rng.within(expected.times[stage]));
            // The last stage may have been quicker.
            assert!(kill(running) || stage == "verify", "the run ended before it could be killed");
        }
        attempt.kill_after("run", rng.within(expected.times.values().sum()));
        attempt.tool("run").run().expect_exit(0);
        attempt.verify(&expected);
    }
}

#[test]
fn a_reader_of_the_target_sees_the_old_rows_or_the_new_ones() {
    let source = source();
    let mut rng = Rng::of_chance("replacing");
    let attempt = Trial::on(&source);
    let first = attempt.undisturbed();
    source.execute(
        "UPDATE orders SET status = 'returned', note = 'again' WHERE id % 3 = 0; DELETE FROM sessions WHERE expires_at % 2 = 0; \
         UPDATE products SET price = 12.5",
    );
    let second = Trial::on(&source).undisturbed();
    assert_ne!(first.content, second.content);
    for command in ["dump", "convert"] {
        attempt.tool(command).run().expect_exit(0);
    }
    for round in 0..6 {
        match round {
            0 => attempt.kill_at_start("push"),
            _ => attempt.kill_after("push", rng.within(second.times["push"])),
        }
        let seen = attempt.target.content("public");
        assert!(seen == first.content || seen == second.content, "a mix of old and new rows");
    }
    attempt.tool("push").run().expect_exit(0);
    attempt.verify(&second);
}

#[test]
fn a_stop_on_request_says_how_to_continue() {
    let source = source();
    let attempt = Trial::on(&source);
    for stage in ["dump", "plan"] {
        attempt.tool(stage).run().expect_exit(0);
    }
    for stage in ["convert", "push"] {
        let running = attempt.spawn_until(stage, stage).unwrap();
        running.interrupt();
        running.wait().expect_exit(130).expect_text("same command again");
        attempt.tool(stage).run().expect_exit(0);
    }
    attempt.tool("verify").run().expect_exit(0);
}

#[test]
fn connections_lost_during_a_push_change_nothing_in_the_end() {
    let source = source();
    let mut rng = Rng::of_chance("connections");
    let expected = Trial::on(&source).undisturbed();
    let attempt = Trial::on(&source);
    for stage in ["dump", "plan", "convert"] {
        attempt.tool(stage).run().expect_exit(0);
    }
    let mut running = attempt.spawn_until("push", "push").unwrap();
    let tried_again = || attempt.workspace.events().iter().any(|event| event["type"] == "retrying");
    let mut cut = 0;
    while !running.ended() && !tried_again() {
        pause(&mut running, rng.within(expected.times["push"] / 10));
        cut += attempt.target.cut_connections();
    }
    println!("{cut} connections cut");
    let run = running.wait();
    // It tries again by itself where it can; where it gives up, the next call continues.
    assert!(matches!(run.code(), Some(0 | 7)), "{run:?}");
    assert!(cut > 0 && (tried_again() || run.code() == Some(7)), "no connection was lost: {run:?}");
    attempt.tool("push").run().expect_exit(0);
    attempt.verify(&expected);
}
