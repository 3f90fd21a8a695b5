//! Calls the command line with the arguments and exits with its code.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use turso2neon::cli::{Front, panic_hook};

fn main() -> ExitCode {
    panic_hook::quiet_panics();
    let front = match Front::open(std::env::args_os()) {
        Ok(front) => front,
        Err(exit) => return exit.into(),
    };
    let worked = catch_unwind(AssertUnwindSafe(|| carry_out(&front)));
    worked.unwrap_or_else(|_| front.crashed()).into()
}

fn carry_out(front: &Front) -> u8 {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let Ok(runtime) = built else { return front.crashed() };
    let exit = runtime.block_on(front.run());
    // A thread that still reads after a second Ctrl-C must not hold the process.
    runtime.shutdown_background();
    exit
}
