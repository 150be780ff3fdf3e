//! tshark as the source of frames: `tshark -w -` hands dumpcap's pcapng stream through.

use std::fmt;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tracing::debug;

/// The kernel's capture buffer in MiB. With tshark's default of 2, half of 150,000 packets a
/// second are lost; with this, none.
const CAPTURE_BUFFER: u32 = 64;
/// Holds every header that matters: 40 bytes of IPv6, 60 of options and extension headers, TZSP
/// with tags, VLAN stacks and the inner IPv4 header.
const SNAPLEN: u32 = 256;
/// How many lines of what tshark says are kept to explain its end.
const WORDS_KEPT: usize = 10;

#[derive(Debug, Clone)]
pub struct Options {
    /// A name or number from `tshark -D`.
    pub interface: String,
    pub listen_ports: Vec<u16>,
}

impl Options {
    /// What tshark is started with. The settings stand before the interface: after it, they
    /// would not hold for it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let ports: Vec<_> = self
            .listen_ports
            .iter()
            .map(|port| format!("dst port {port}"))
            .collect();
        let filter = format!("({}) and udp", ports.join(" or "));
        let buffer = CAPTURE_BUFFER.to_string();
        let snaplen = SNAPLEN.to_string();
        [
            "-p",
            "-Q",
            "-B",
            &buffer,
            "-s",
            &snaplen,
            "-f",
            &filter,
            "-i",
            &self.interface,
            "-w",
            "-",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// tshark cannot be started at all.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(
        "tshark is not installed, or not on the PATH: install it (Debian, Ubuntu and Alpine: the \
         package tshark; Fedora: wireshark-cli; macOS: wireshark), or leave out --interface to \
         receive on plain UDP sockets"
    )]
    NotInstalled,
    #[error("cannot start tshark: {0}")]
    Failed(#[source] io::Error),
}

/// A running tshark.
#[derive(Debug)]
pub struct Tshark {
    child: Child,
    words: JoinHandle<Vec<String>>,
}

/// How tshark ended, and what it said last.
#[derive(Debug)]
pub struct Ending {
    pub status: Option<ExitStatus>,
    pub words: Vec<String>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "tshark ended with {status}")?,
            None => write!(f, "tshark ended")?,
        }
        if !self.words.is_empty() {
            write!(f, " and said: {}", self.words.join(" "))?;
        }
        Ok(())
    }
}

impl Tshark {
    /// Starts tshark. Also returns its output: a pcapng stream, to be read by a thread.
    ///
    /// # Errors
    /// It is not installed, or the system refuses to run it.
    pub fn start(options: &Options) -> Result<(Self, File), StartError> {
        let arguments = options.arguments();
        debug!(?arguments, "starting tshark");
        let mut child = Command::new("tshark")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StartError::NotInstalled,
                _ => StartError::Failed(error),
            })?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let stream = stdout.into_owned_fd().map_err(StartError::Failed)?;
        let stderr = child.stderr.take().expect("standard error is piped");
        let words = tokio::spawn(collect_words(stderr));
        Ok((Self { child, words }, stream.into()))
    }

    /// Asks it to end and to hand over what it has captured.
    pub fn stop(&self) {
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::Pid;

        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // It may have ended by itself in the meantime.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ending {
        let status = self.child.wait().await.ok();
        let words = self.words.await.unwrap_or_default();
        Ending { status, words }
    }
}

/// Reads standard error to its end, so that tshark never waits for us, and keeps the last lines.
async fn collect_words(stderr: ChildStderr) -> Vec<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut words = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        debug!(line, "tshark says");
        if words.len() == WORDS_KEPT {
            words.remove(0);
        }
        // As root, tshark always says this. It does not dissect here, so it means nothing.
        if !line.starts_with("Running as user \"root\"") {
            words.push(line);
        }
    }
    words
}
