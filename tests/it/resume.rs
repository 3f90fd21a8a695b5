//! Power losses: each command is killed at random moments, then called again, and must end where an undisturbed run
//! ends. The seed is printed; `TURSO2NEON_TEST_SEED` repeats it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::support::{Journey, Sqld, Target, Tool, Workspace, sample_db, tool::Run};

/// Percent of the shop's 100,000 rows: long enough to be hit in the middle, short enough to be repeated.
const SIZE: u32 = 20;

struct Dice(u64);

impl Dice {
    fn new(purpose: &str) -> Self {
        let seed = std::env::var_os("TURSO2NEON_TEST_SEED").map_or_else(
            || u64::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos()),
            |text| text.to_str().unwrap().parse().expect("TURSO2NEON_TEST_SEED is a number"),
        );
        println!("{purpose}: TURSO2NEON_TEST_SEED={seed}");
        Self(seed)
    }

    /// A moment within this time.
    fn within(&mut self, time: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = u32::try_from(self.0 >> 44).unwrap();
        time * part / (1 << 20)
    }
}

/// How many kills there are: `TURSO2NEON_TEST_FAULTS` asks for more than the usual few.
fn kills(usual: usize) -> usize {
    std::env::var("TURSO2NEON_TEST_FAULTS").ok().map_or(usual, |text| text.parse().unwrap())
}

/// Starts the call and kills it at the moment, unless it has ended by then.
fn kill_after(tool: Tool, moment: Duration) -> Run {
    let mut running = tool.spawn();
    let deadline = Instant::now() + moment;
    while Instant::now() < deadline && !running.ended() {
        std::thread::sleep(Duration::from_micros(500));
    }
    let run = running.kill();
    println!("  {} after {moment:?}: {}", run.args[0].display(), run.status);
    assert!(matches!(run.code(), Some(0) | None), "the call failed before it was killed: {run:?}");
    run
}

/// What an undisturbed run makes of the source, and how long each command takes.
struct Undisturbed {
    content: BTreeMap<String, String>,
    times: BTreeMap<&'static str, Duration>,
}

const STAGES: [&str; 5] = ["dump", "plan", "convert", "push", "verify"];

/// A fresh DIR and target for a source that many share.
struct Attempt<'a> {
    source: &'a Sqld,
    workspace: Workspace,
    target: Target,
}

impl<'a> Attempt<'a> {
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

    fn undisturbed(&self) -> Undisturbed {
        let time = |command: &'static str| (command, self.tool(command).run().expect_exit(0).elapsed);
        let times = STAGES.into_iter().map(time).collect();
        let content = self.target.content("public");
        assert!(content.len() >= sample_db::tables(1).len(), "an undisturbed run brought {content:?}");
        Undisturbed { content, times }
    }

    fn verify(&self, expected: &Undisturbed) {
        self.tool("verify").args(["--level", "full", "--against", "both"]).run().expect_exit(0);
        assert_eq!(self.target.content("public"), expected.content);
    }
}

fn source() -> Sqld {
    let source = Sqld::start();
    source.fill_shop(SIZE);
    source
}

#[test]
fn each_stage_survives_kills_at_random_moments() {
    let source = source();
    let mut dice = Dice::new("stages");
    let expected = Attempt::on(&source).undisturbed();
    for round in 0..kills(30).div_ceil(2 * STAGES.len()) {
        println!("round {round}");
        let attempt = Attempt::on(&source);
        for stage in STAGES {
            for _ in 0..2 {
                kill_after(attempt.tool(stage), dice.within(expected.times[stage]));
            }
            attempt.tool(stage).run().expect_exit(0);
        }
        attempt.verify(&expected);
    }
}

#[test]
fn a_cluster_that_was_being_made_does_not_disturb_the_next_try() {
    let journey = Journey::with_shop(1);
    journey.call(&["dump", "plan"]);
    let convert = journey.workspace.dir().join("convert");
    let is_being_made = || {
        let entries = std::fs::read_dir(&convert).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pgdata.new")).count() > 0
    };
    for _ in 0..3 {
        let mut running = journey.tool("convert").spawn();
        while !is_being_made() && !running.ended() {
            std::thread::sleep(Duration::from_micros(500));
        }
        running.kill();
    }
    // The three `initdb` of before may still be writing.
    journey.tool("convert").run().expect_exit(0);
    journey.tool("verify").args(["--against", "local"]).run().expect_exit(0);
}

#[test]
fn a_whole_run_survives_kills_at_random_moments() {
    let source = source();
    let mut dice = Dice::new("run");
    let expected = Attempt::on(&source).undisturbed();
    let whole = expected.times.values().sum();
    for _ in 0..kills(6).div_ceil(6) {
        let attempt = Attempt::on(&source);
        for _ in 0..6 {
            kill_after(attempt.tool("run"), dice.within(whole));
        }
        attempt.tool("run").run().expect_exit(0);
        attempt.verify(&expected);
    }
}

#[test]
fn a_reader_of_the_target_sees_the_old_rows_or_the_new_ones() {
    let source = source();
    let mut dice = Dice::new("replacing");
    let attempt = Attempt::on(&source);
    let first = attempt.undisturbed();
    source.execute(
        "UPDATE orders SET status = 'returned', note = 'again' WHERE id % 3 = 0; DELETE FROM sessions WHERE expires_at % 2 = 0; \
         UPDATE products SET price = price + 1",
    );
    let second = Attempt::on(&source).undisturbed();
    assert_ne!(first.content, second.content);
    for command in ["dump", "convert"] {
        attempt.tool(command).run().expect_exit(0);
    }
    for _ in 0..6 {
        kill_after(attempt.tool("push"), dice.within(second.times["push"]));
        let seen = attempt.target.content("public");
        assert!(seen == first.content || seen == second.content, "a mix of old and new rows");
    }
    attempt.tool("push").run().expect_exit(0);
    attempt.verify(&second);
}

#[test]
fn a_stop_on_request_says_how_to_continue() {
    let journey = Journey::with_shop(SIZE);
    journey.call(&["dump", "plan"]);
    for stage in ["convert", "push"] {
        let log = journey.workspace.dir().join("log.jsonl");
        let told = || std::fs::metadata(&log).map_or(0, |facts| facts.len());
        let before = told();
        let mut running = journey.tool(stage).spawn();
        while told() == before && !running.ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.interrupt();
        let run = running.wait();
        // It may have been quicker than the request.
        assert!(matches!(run.code(), Some(0 | 130)), "{run:?}");
        if run.code() == Some(130) {
            run.expect_text("same command again");
        }
        journey.tool(stage).run().expect_exit(0);
    }
    journey.call(&["verify"]);
}

#[test]
fn connections_lost_during_a_push_change_nothing_in_the_end() {
    let source = source();
    let mut dice = Dice::new("connections");
    let expected = Attempt::on(&source).undisturbed();
    let attempt = Attempt::on(&source);
    for stage in ["dump", "plan", "convert"] {
        attempt.tool(stage).run().expect_exit(0);
    }
    let running = attempt.tool("push").spawn();
    let mut cut = 0;
    for _ in 0..3 {
        std::thread::sleep(dice.within(expected.times["push"] / 2));
        cut += attempt.target.cut_connections();
    }
    println!("{cut} connections cut");
    let run = running.wait();
    // It tries again by itself where it can; where it gives up, the next call continues.
    assert!(matches!(run.code(), Some(0 | 7)), "{run:?}");
    attempt.tool("push").run().expect_exit(0);
    attempt.verify(&expected);
}
