//! The events of a console on Windows: Ctrl-C, Ctrl-Break, the closing of the console, and the
//! shutdown of the system.

use std::io;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// The events that ask a program to end.
///
/// That a user logs off is not among them: only services are told, and they must not end then.
#[derive(Debug)]
pub struct ConsoleEvents {
    ctrl_c: CtrlC,
    ctrl_break: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl ConsoleEvents {
    /// Registers handlers, so that Ctrl-C and Ctrl-Break no longer end the process by themselves.
    /// After one of the other two, the system ends it some seconds later.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: ctrl_c()?,
            ctrl_break: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for an event, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.ctrl_c.recv() => "Ctrl-C",
            _ = self.ctrl_break.recv() => "Ctrl-Break",
            _ = self.close.recv() => "the closing of the console",
            _ = self.shutdown.recv() => "the shutdown of Windows",
        }
    }
}
