//! Prints progress where there is no terminal: whole lines, no carriage returns, a heartbeat while a stage is at work.

use std::{
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    color::Palette,
    event_text::{Bars, Verbosity, line},
    progress::StageProgress,
    std_streams::{OutputStream, harmless},
};
use crate::event::Event;

/// How often a sign of life appears.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Plain lines on standard error.
pub(super) struct PlainOutput {
    shared: Arc<PlainShared>,
    verbosity: Verbosity,
    palette: Palette,
    heart: Mutex<Option<JoinHandle<()>>>,
}

struct PlainShared {
    stream: Arc<OutputStream>,
    state: Mutex<PlainState>,
    wake: Condvar,
}

struct PlainState {
    progress: StageProgress,
    said: Instant,
    over: bool,
}

impl PlainOutput {
    /// Starts the heartbeat, which ends with [`Self::close`].
    pub(super) fn open(stream: Arc<OutputStream>, verbosity: Verbosity, palette: Palette) -> Self {
        let now = Instant::now();
        let state = PlainState { progress: StageProgress::new(now), said: now, over: false };
        let shared = Arc::new(PlainShared { stream, state: Mutex::new(state), wake: Condvar::new() });
        let beating = Arc::clone(&shared);
        // Without a thread for it there is no heartbeat, and everything else works.
        let heart = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || beating.beat()).ok();
        Self { shared, verbosity, palette, heart: Mutex::new(heart) }
    }

    pub(super) fn emit(&self, event: &Event) {
        let now = Instant::now();
        let text = line(event, self.verbosity, Bars::None, self.palette);
        if let Ok(mut state) = self.shared.state.lock() {
            state.progress.apply(event, now);
            if text.is_some() {
                state.said = now;
            }
        }
        if let Some(text) = text {
            self.shared.stream.say(&text);
        }
    }

    /// Ends the heartbeat.
    pub(super) fn close(&self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.over = true;
        }
        self.shared.wake.notify_all();
        let heart = self.heart.lock().ok().and_then(|mut heart| heart.take());
        // A heartbeat that died has nothing to report.
        drop(heart.map(JoinHandle::join));
    }
}

impl PlainShared {
    /// Says where the stage is whenever nothing was said for a while.
    fn beat(&self) {
        let Ok(mut state) = self.state.lock() else { return };
        while !state.over {
            let now = Instant::now();
            let silent = now - state.said;
            if silent >= HEARTBEAT {
                state.said = now;
                if let Some(summary) = state.progress.summary(now) {
                    self.stream.say(&harmless(&summary));
                }
                continue;
            }
            let Ok((guard, _)) = self.wake.wait_timeout(state, HEARTBEAT.saturating_sub(silent)) else { return };
            state = guard;
        }
    }
}
