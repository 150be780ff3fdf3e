//! Requests by Ctrl-C, and by the other events of a console.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, process, thread};

use crate::console_events::ConsoleEvents;

/// The exit status of programs that Ctrl-C ends, `STATUS_CONTROL_C_EXIT` of ntstatus.h.
const ENDED_BY_CTRL_C: i32 = 0xC000_013A_u32.cast_signed();

/// A request to end the reading, made by Ctrl-C or another event of the console.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Catches the events from now on. The first requests the stop, the second ends the process.
    ///
    /// # Errors
    /// The system refuses a handler or a thread.
    pub fn on_signals() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let mut events = ConsoleEvents::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let request = Arc::clone(&requested);
        thread::Builder::new().spawn(move || {
            runtime.block_on(events.next());
            request.store(true, Ordering::Relaxed);
            runtime.block_on(events.next());
            process::exit(ENDED_BY_CTRL_C);
        })?;
        Ok(Self(requested))
    }

    /// Returns whether an event has arrived.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
