//! Faults at random moments: the tool as a process of its own is disturbed at moments of chance, in every mode, and
//! called again. Whatever happened: it ends with the exit code that it promises, a reader sees what was before or what
//! comes after and nothing in between, and the repeated call ends in the verified state.
//!
//! `TURSO2NEON_TEST_FAULTS` says how many calls are tried, `TURSO2NEON_TEST_SEED` with which number they begin: that
//! number decides everything about a call.

mod env;

mod reader;

mod case;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{SystemTime, UNIX_EPOCH},
};

use self::{case::Case, env::Env};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn a_fault_at_any_moment_ends_in_the_verified_state() {
    let cases = number("TURSO2NEON_TEST_FAULTS").unwrap_or(8);
    let chance = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    let first = number("TURSO2NEON_TEST_SEED").unwrap_or_else(chance);
    let env = Env::prepare();
    let (mut tally, mut failed, mut missed) = (BTreeMap::new(), Vec::new(), 0);
    for seed in first..first + cases {
        let case = Case::new(&env, seed);
        println!("TURSO2NEON_TEST_SEED={seed} {case}");
        let kind = (case.mode(), case.fault());
        match catch_unwind(AssertUnwindSafe(|| case.run())) {
            Ok(None) => missed += 1,
            Ok(Some(phase)) => {
                println!("  in {phase}");
                *tally.entry(kind).or_insert_with(BTreeMap::<String, usize>::new).entry(phase).or_default() += 1;
            }
            Err(_) => failed.push(seed),
        }
    }
    for ((mode, fault), phases) in tally {
        let sum: usize = phases.values().sum();
        println!("{mode:?} {fault}: {sum} {phases:?}");
    }
    assert!(failed.is_empty(), "{} of {cases} cases failed: {failed:?}", failed.len());
    assert!(cases < 8 || missed * 2 < cases, "{missed} of {cases} faults came after the end of the call");
}
