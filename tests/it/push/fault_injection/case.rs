//! One call, one fault, one repeated call.

use std::{
    fmt,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    env::{Baseline, CaseEnv, Env, Mode},
    reader::{Observations, ReadMode, Reader, look},
};
use crate::support::{
    Rng,
    fault_proxy::{CommitOutcome, Fault as NetworkFault},
    tool::{Run, Running},
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Interrupt,
    Terminate,
    EndOneSession,
    EndCopy,
    EndAllSessions,
    LoseCommit,
    Cut,
    Stall,
    RestartTarget,
    CrashTarget,
    RestartLocal,
    CrashLocal,
    FullDisk,
}

const FAULTS: [Fault; 17] = [
    Fault::Kill,
    Fault::EndOneSession,
    Fault::LoseCommit,
    Fault::Cut,
    Fault::CrashTarget,
    Fault::Interrupt,
    Fault::FullDisk,
    Fault::Kill,
    Fault::EndAllSessions,
    Fault::LoseCommit,
    Fault::Stall,
    Fault::RestartTarget,
    Fault::Terminate,
    Fault::Kill,
    Fault::EndCopy,
    Fault::RestartLocal,
    Fault::CrashLocal,
];

/// Everything about one case.
pub(super) struct Case<'a> {
    env: &'a Env,
    mode: Mode,
    fault: Fault,
    rng: Rng,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.mode, self.fault)
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(env: &'a Env, seed: u64) -> Self {
        let place = |count: usize, number: u64| usize::try_from(number % count as u64).unwrap();
        // Both lengths have no common divisor, so that all pairs come about.
        let mode = Mode::ALL[place(Mode::ALL.len(), seed)];
        let fault = match FAULTS[place(FAULTS.len(), seed)] {
            Fault::FullDisk if env.disk.is_none() => Fault::Kill,
            // A rollback reads nothing from there.
            Fault::RestartLocal | Fault::CrashLocal if mode.is_rollback() => Fault::Kill,
            Fault::EndCopy if mode.is_rollback() => Fault::EndAllSessions,
            fault => fault,
        };
        Self { env, mode, fault, rng: Rng::new(seed) }
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn fault(&self) -> String {
        format!("{:?}", self.fault)
    }

    /// Does it. Says in which phase the fault struck; nothing if the call had ended before.
    pub(super) fn run(mut self) -> Option<String> {
        let usual = self.env.usual(self.mode);
        let disk = self.env.disk.as_ref().filter(|_| self.fault == Fault::FullDisk);
        let scene = self.env.scene(self.mode, disk);
        let gaze = if self.mode == Mode::Replace { ReadMode::Apart } else { ReadMode::Together };
        let reader = Reader::start(&scene.target, gaze);
        let (run, struck) = self.strike(&scene, &usual);
        if let Some(disk) = disk {
            disk.extend();
        }
        println!("  {} after {:?}", run.status, run.elapsed);
        self.check_end(&run);
        self.repeat(&scene, &run);
        let sight = reader.stop();
        self.check_sight(&sight);
        self.check_state(&scene, &usual);
        struck.then(|| phase_of(&run))
    }

    /// A time within an undisturbed call: by the clock, or shortly after a line of its output. Each third is in the
    /// last fifth, where the old state turns into the new one.
    fn fault_time(&mut self, usual: &Baseline) -> FaultTime {
        let late = self.rng.once_in(3);
        let mut below = |whole: u64| {
            let whole = i64::try_from(whole).unwrap();
            u64::try_from(self.rng.between(if late { whole * 4 / 5 } else { 0 }, whole)).unwrap()
        };
        let micros = u64::try_from(usual.took.as_micros()).unwrap();
        if below(100) % 3 == 0 {
            return FaultTime { lines: 0, pause: Duration::from_micros(below(micros)) };
        }
        // After the last line but one nothing is left to do.
        let lines = below(usual.lines.saturating_sub(2) as u64);
        let pause = self.rng.roll() % (2 * micros / usual.lines as u64);
        FaultTime { lines: usize::try_from(lines).unwrap(), pause: Duration::from_micros(pause) }
    }

    /// The call with its fault, and whether the call was under way when the fault came.
    fn strike(&mut self, scene: &CaseEnv, usual: &Baseline) -> (Run, bool) {
        let fault_time = self.fault_time(usual);
        let direct = scene.url();
        let spawn = |url: &str| scene.call(self.mode, url).spawn();
        match self.fault {
            Fault::Kill => {
                let mut running = spawn(&direct);
                fault_time.wait(scene, &mut running);
                let run = running.kill();
                let struck = run.signal().is_some();
                (run, struck)
            }
            Fault::Interrupt | Fault::Terminate => {
                let signal = if self.fault == Fault::Interrupt { Signal::INT } else { Signal::TERM };
                let mut running = spawn(&direct);
                fault_time.wait(scene, &mut running);
                if !running.ended() {
                    running.signal(signal);
                }
                let run = running.wait();
                let struck = run.code() != Some(0);
                (run, struck)
            }
            Fault::EndOneSession | Fault::EndCopy | Fault::EndAllSessions => {
                let running = spawn(&direct);
                self.end_sessions(scene, running, fault_time)
            }
            Fault::RestartTarget | Fault::CrashTarget | Fault::RestartLocal | Fault::CrashLocal => {
                let crash = matches!(self.fault, Fault::CrashTarget | Fault::CrashLocal);
                let here = matches!(self.fault, Fault::RestartLocal | Fault::CrashLocal);
                let server = if here { &self.env.local[1] } else { &self.env.remote };
                let mut running = spawn(&direct);
                fault_time.wait(scene, &mut running);
                let struck = !running.ended();
                server.restart(if crash { Signal::QUIT } else { Signal::INT });
                (running.wait(), struck)
            }
            Fault::LoseCommit => {
                let number = self.rng.roll() % usual.commits.max(1) + 1;
                let outcomes =
                    [CommitOutcome::Lost, CommitOutcome::Racing, CommitOutcome::Unanswered, CommitOutcome::Unanswered];
                let outcome = self.rng.pick(&outcomes);
                println!("  commit {number} of {}: {outcome:?}", usual.commits);
                let proxy = scene.proxy(true, NetworkFault::Commit { number, outcome });
                let run = spawn(&scene.plain_url(proxy.port())).wait();
                assert!(proxy.happened(), "commit {number} never came");
                (run, true)
            }
            Fault::Cut | Fault::Stall => {
                let at = self.rng.roll() % usual.bytes;
                let silence = Duration::from_millis(if self.fault == Fault::Stall { 700 } else { 0 });
                let heals = self.fault == Fault::Stall && self.rng.once_in(2);
                println!("  byte {at} of {}, {silence:?}, heals: {heals}", usual.bytes);
                let proxy = scene.proxy(false, NetworkFault::Byte { at, silence, heals });
                let run = spawn(&scene.url_at(proxy.port())).wait();
                assert!(proxy.happened(), "byte {at} never came");
                (run, true)
            }
            Fault::FullDisk => {
                let free_bytes = self.rng.roll() % (usual.growth.max(usual.bytes * 2) * 5 / 4);
                println!("  {free_bytes} bytes are free");
                // The first session of a database writes a file that says nothing of a full disk.
                look(&scene.target);
                if let Some(disk) = &self.env.disk {
                    disk.leave(free_bytes);
                }
                let run = spawn(&direct).wait();
                let struck = run.code() != Some(0);
                (run, struck)
            }
        }
    }

    /// Has the server end sessions of the tool: some that copies, any one up to three times, or all.
    fn end_sessions(&mut self, scene: &CaseEnv, mut running: Running, fault_time: FaultTime) -> (Run, bool) {
        let tools = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'turso2neon%'";
        let (which, times) = match self.fault {
            Fault::EndCopy => ("AND query LIKE 'COPY%' AND state = 'active' ORDER BY random() LIMIT 1", 1),
            Fault::EndOneSession => ("ORDER BY random() LIMIT 1", self.rng.below(3) + 1),
            _ => ("", 1),
        };
        let mut ended = 0;
        if self.fault != Fault::EndCopy {
            fault_time.wait(scene, &mut running);
        }
        while ended < times && !running.ended() {
            let hit = scene.target.query(&format!("SELECT pg_terminate_backend(pid) {tools} {which}")).len();
            ended += usize::from(hit > 0);
            if self.fault != Fault::EndCopy {
                wait(&mut running, fault_time.pause);
            }
        }
        println!("  {ended} of {times} times");
        (running.wait(), ended > 0)
    }

    fn check_end(&self, run: &Run) {
        let code = run.code();
        let fine = match self.fault {
            Fault::Kill => matches!((code, run.signal()), (Some(0), _) | (_, Some(9))),
            // The first milliseconds belong to the system, which has not begun the program yet.
            Fault::Interrupt | Fault::Terminate => {
                matches!(code, Some(0 | 130)) || (code.is_none() && run.stdout.is_empty())
            }
            Fault::RestartLocal | Fault::CrashLocal => matches!(code, Some(0 | 6)),
            _ => matches!(code, Some(0 | 7)),
        };
        assert!(fine, "{self} ended with {}\n{}\n{}", run.status, run.stdout, run.stderr);
        let Some(code) = code.filter(|code| *code != 0) else { return };
        let last = run.last_json();
        assert_eq!((last["type"].as_str(), last["exit"].as_i64()), (Some("error"), Some(i64::from(code))), "{last}");
        println!("  {}", last["message"]);
        let hint = last["hint"].as_str().unwrap();
        match code {
            130 => assert!(hint.contains("again"), "{last}"),
            7 if self.fault == Fault::FullDisk => {
                assert_eq!(last["code"], "target-full", "{last}");
                assert!(hint.contains("storage"), "{last}");
                assert!(!run.stdout.contains("retrying"), "it was tried again: {}", run.stdout);
            }
            _ => assert!(!hint.is_empty(), "{last}"),
        }
    }

    /// Calls again until the end, which is the next call. A rollback that was done is not called again: it would put
    /// the newer rows back.
    fn repeat(&mut self, scene: &CaseEnv, run: &Run) {
        let [before, after] = self.env.course(self.mode);
        if self.mode.is_rollback() {
            let now = look(&scene.target);
            assert!(now == before || now == after, "after the fault: {now}");
            assert!(run.code() != Some(0) || now == after, "it says that it is done, and nothing happened");
            if now == before {
                scene.call(self.mode, &scene.url()).run().expect_exit(0);
            }
        } else {
            let again = scene.call(self.mode, &scene.url()).run().expect_exit(0);
            let unchanged = again.last_json()["answer"]["unchanged"].as_bool();
            assert!(run.code() != Some(0) || unchanged == Some(true), "done, and done again: {}", again.stdout);
            if unchanged != Some(true) && self.rng.once_in(2) {
                let third = scene.call(self.mode, &scene.url()).run().expect_exit(0);
                assert_eq!(third.last_json()["answer"]["unchanged"], true, "{}", third.stdout);
            }
        }
        assert_eq!(look(&scene.target), after, "after the repeated call");
    }

    fn check_sight(&self, sight: &Observations) {
        assert!(sight.complaints.is_empty(), "a reader got errors: {:?}", sight.complaints);
        let [before, after] = self.env.course(self.mode);
        let (before, after) = if self.mode == Mode::Replace {
            (before.split(' ').collect::<Vec<_>>(), after.split(' ').collect::<Vec<_>>())
        } else {
            (vec![before], vec![after])
        };
        for ((seen, before), after) in sight.seen.iter().zip(before).zip(after) {
            let course = [before.to_owned(), after.to_owned()];
            let fine =
                seen.len() <= 2 && seen.iter().all(|one| course.contains(one)) && !seen.starts_with(&course[1..])
                    || seen.as_slice() == &course[1..];
            assert!(fine, "a reader saw {seen:?} on the way from {before} to {after}");
        }
    }

    fn check_state(&mut self, scene: &CaseEnv, usual: &Baseline) {
        let begun = Instant::now();
        while scene.sessions() != "0" {
            assert!(begun.elapsed() < Duration::from_secs(10), "sessions stay behind: {}", scene.sessions());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(scene.objects(), usual.objects);
        assert_eq!(scene.files(), usual.files);
        if self.mode.is_rollback() {
            self.env.verify_old(&scene.target).run().expect_exit(0);
            return;
        }
        let verify = ["verify", "--against", "target", "--level", "full"];
        scene.tool(&verify, &scene.url()).run().expect_exit(0);
        if matches!(self.mode, Mode::Diff | Mode::Swap) && self.rng.once_in(2) {
            scene.tool(&["rollback"], &scene.url()).run().expect_exit(0);
            assert_eq!(look(&scene.target), self.env.pictures[0], "after a rollback");
        }
    }
}

/// So many lines after the beginning, and a pause.
#[derive(Debug, Clone, Copy)]
struct FaultTime {
    lines: usize,
    pause: Duration,
}

impl FaultTime {
    fn wait(self, scene: &CaseEnv, running: &mut Running) {
        while scene.lines() < self.lines && !running.ended() {
            std::thread::sleep(Duration::from_micros(300));
        }
        wait(running, self.pause);
    }
}

fn wait(running: &mut Running, pause: Duration) {
    let deadline = Instant::now() + pause;
    while Instant::now() < deadline && !running.ended() {
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// What the tool was doing by its last line of output. Lines that the end cut off don't count.
fn phase_of(run: &Run) -> String {
    let lines = run.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut phase = "start".to_owned();
    for line in lines {
        match (line["type"].as_str(), line["phase"].as_str()) {
            (Some("phase-started"), Some(name)) => phase = name.to_owned(),
            (Some("stage-started"), _) => phase = "look".to_owned(),
            (Some("retrying"), _) => return format!("{phase}, tried again"),
            (Some("result"), _) => phase = "after the end".to_owned(),
            _ => {}
        }
    }
    phase
}
