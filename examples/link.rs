//! A TCP proxy that adds a delay and limits the rate, for measurements: it forwards connections from one port of this
//! machine to another one.
//!
//!     link LISTEN SERVER ROUND_TRIP_MS MBIT_PER_S
//!
//! For each line on standard input it prints the connections, round trips, bytes to the server and bytes from it.

#[path = "../tests/it/support/fault_proxy.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "it belongs to the tests, which use all of it"
)]
mod fault_proxy;
#[path = "../tests/it/support/network.rs"]
#[allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, reason = "it belongs to the tests")]
mod network;

use std::{
    io::{BufRead, Write},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use fault_proxy::{FaultProxy, Script};
use network::Network;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [listen, server, milliseconds, megabits] = numbers[..] else {
        panic!("usage: link LISTEN SERVER ROUND_TRIP_MS MBIT_PER_S");
    };
    let port = |number: u64| u16::try_from(number).expect("a port");
    let network = Network { round_trip: Duration::from_millis(milliseconds), bits_per_s: megabits * 1_000_000 };
    let (listen, server) = (port(listen), port(server));
    let proxy = FaultProxy::start(move || server, Script { listen, network, ..Script::default() });
    // A shell starts what runs beside it with SIGINT ignored, and ends it with SIGINT.
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 0, always).expect("a signal handler");
    let mut out = std::io::stdout();
    writeln!(out, "{}", proxy.port()).expect("standard output");
    for line in std::io::stdin().lock().lines() {
        line.expect("standard input");
        let received = proxy.received();
        let sent = proxy.bytes().saturating_sub(received);
        writeln!(out, "{} {} {sent} {received}", proxy.connections(), proxy.round_trips()).expect("standard output");
    }
}
