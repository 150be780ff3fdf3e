//! SIGINT and SIGTERM, or Ctrl-C on Windows, end the reading of captures early. What was counted so
//! far is written.

#[cfg(unix)]
#[path = "stop/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "stop/windows.rs"]
mod system;

pub use system::Stop;
