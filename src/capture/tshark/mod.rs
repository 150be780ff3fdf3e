//! tshark as a source of frames: `tshark -w -` passes on the pcapng stream of dumpcap, its capture
//! process.

mod advice;
pub mod child;
mod group;
mod output;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fmt, io};

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use super::PacketCapture;
pub use advice::{advice, cannot_start, remedy};
use group::Group;
pub use output::Output;

/// How long a packet may take from the interface to the stream. dumpcap gets packets from the
/// kernel in blocks and waits for a block to fill up, for at most 250 ms as measured.
pub const DELAY: Duration = Duration::from_millis(300);
/// How long tshark may take to end after a signal.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How many bytes of tshark's messages are kept, from their end, to explain why it ended.
const MESSAGES_KEPT: usize = 4096;

/// How many characters of the messages an error quotes: enough for the first sentence, which has
/// the cause, and not for the page of advice that follows.
const CHARACTERS_QUOTED: usize = 200;
/// The beginnings of irrelevant lines, which tshark prints when it runs as root or cannot read its
/// settings. It breaks some of these lines before the path.
const NOISE: [&str; 6] = [
    "\"/",
    "Running as user",
    "Error loading table",
    "Can't open your",
    "Could not open your",
    "You don't have permission to read the file",
];

impl PacketCapture {
    /// Returns the arguments for tshark. Interfaces may be numbers from `tshark -D`.
    ///
    /// The settings precede the interfaces, because settings after an interface hold for it alone.
    #[must_use]
    pub fn tshark_arguments(&self) -> Vec<String> {
        let ports: Vec<_> = self
            .listen_ports
            .iter()
            .map(|port| format!("dst port {port}"))
            .collect();
        let filter = format!("({}) and udp", ports.join(" or "));
        let buffer = self.buffer.to_string();
        let snaplen = self.snaplen.to_string();
        let settings = ["-Q", "-B", &buffer, "-s", &snaplen, "-f", &filter].map(str::to_owned);
        let mut arguments = Vec::new();
        if !self.promiscuous {
            arguments.push("-p".to_owned());
        }
        arguments.extend(settings);
        for interface in &self.interfaces {
            arguments.extend(["-i".to_owned(), interface.clone()]);
        }
        arguments.extend(["-w", "-"].map(str::to_owned));
        arguments
    }
}

/// Returns the path of tshark, if it is on the PATH or, on Windows, where its installer puts it.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH");
    let program_files = env::var_os("ProgramFiles").filter(|_| cfg!(windows));
    candidates(path.as_deref(), program_files.as_deref())
        .into_iter()
        .find(|candidate| is_program(candidate))
}

/// Returns the paths that tshark may have. The installer of Wireshark for Windows does not change
/// the PATH.
fn candidates(path: Option<&OsStr>, program_files: Option<&OsStr>) -> Vec<PathBuf> {
    let name = format!("tshark{}", env::consts::EXE_SUFFIX);
    let on_path = path.into_iter().flat_map(env::split_paths);
    let installed = program_files.map(|directory| Path::new(directory).join("Wireshark"));
    on_path
        .chain(installed)
        .map(|directory| directory.join(&name))
        .collect()
}

/// Returns a command that starts tshark as a tied child.
fn command() -> Command {
    let program = installed().unwrap_or_else(|| "tshark".into());
    Command::from(child::command(program))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    let metadata = path.metadata();
    metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// A running tshark.
#[derive(Debug)]
pub struct Tshark {
    child: Child,
    messages: JoinHandle<String>,
    group: Group,
}

/// How tshark ended, and its last messages on standard error.
#[derive(Debug)]
pub struct Ending {
    pub status: Option<ExitStatus>,
    pub messages: String,
}

impl Tshark {
    /// Starts tshark. Also returns its output, a pcapng stream that a thread has to read.
    ///
    /// # Errors
    /// The system cannot start another process. If tshark is not installed, its [`Ending`] shows
    /// it on Linux, and this error on other systems: see [`cannot_start`].
    pub fn start(options: &PacketCapture) -> io::Result<(Self, Output)> {
        let arguments = options.tshark_arguments();
        debug!(?arguments, "starting tshark");
        let mut child = command()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().expect("standard output is piped");
        #[cfg(unix)]
        let pipe = File::from(stdout.into_owned_fd()?);
        #[cfg(windows)]
        let pipe = File::from(stdout.into_owned_handle()?);
        let stderr = child.stderr.take().expect("standard error is piped");
        let messages = tokio::spawn(last_messages(stderr));
        let group = Group::of(&child);
        let tshark = Self {
            child,
            messages,
            group,
        };
        Ok((tshark, Output::new(pipe)))
    }

    /// Waits until tshark exits by itself. Its dumpcap may go on capturing, so [`end`](Self::end)
    /// must still be called.
    pub async fn exited(&mut self) {
        // An error means that the process can no longer be waited for.
        let _ = self.child.wait().await;
    }

    /// Asks tshark to flush its output and end, and kills it if it does not.
    ///
    /// `drained` completes when the stream was read to its end. Takes at most [`DELAY`] plus three
    /// seconds, even if tshark does not react.
    pub async fn end(mut self, drained: impl Future<Output = ()>) -> Ending {
        {
            // Wait first: packets on their way still arrive, and a tshark that is ending by itself
            // exits with its own status rather than with that of our signal.
            let mut over = pin!(async { tokio::join!(self.child.wait(), drained) });
            if timeout(DELAY, &mut over).await.is_err()
                && self.group.terminate()
                && timeout(END_TIMEOUT, &mut over).await.is_err()
            {
                debug!("tshark did not end when asked to");
            }
        }
        // Kills what is left of the group, such as a dumpcap that outlived tshark.
        self.group.kill();
        let _ = self.child.start_kill();
        // Even a killed process may not end while it waits for a broken device.
        let status = timeout(END_TIMEOUT, self.child.wait()).await;
        let messages = timeout(END_TIMEOUT, self.messages).await;
        Ending {
            status: status.ok().and_then(Result::ok),
            messages: messages.ok().and_then(Result::ok).unwrap_or_default(),
        }
    }
}

impl Ending {
    /// Returns the beginning of tshark's relevant messages, on one line.
    #[must_use]
    pub fn quote(&self) -> String {
        let messages = self.relevant_messages();
        match messages.char_indices().nth(CHARACTERS_QUOTED) {
            Some((end, _)) => format!("{}...", messages[..end].trim_end()),
            None => messages,
        }
    }

    /// Returns tshark's messages on one line, without those about its own settings: they concern
    /// dissection, which does not happen here.
    pub(super) fn relevant_messages(&self) -> String {
        let lines = self.messages.lines().map(str::trim);
        let lines = lines.map(|line| line.trim_start_matches("tshark:").trim_start());
        let lines = lines.filter(|line| {
            let is_noise = NOISE.iter().any(|noise| line.starts_with(noise));
            !line.is_empty() && !is_noise
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    /// Whether tshark was not found: see [`child`].
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        let status = self.status.and_then(|status| status.code());
        status == Some(i32::from(child::STATUS_NOT_FOUND))
    }

    /// Returns the number of packets that tshark reports as dropped by the kernel, in lines such as
    /// `5 packets dropped from eth0`.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let counts = self.messages.lines().filter_map(|line| {
            let (count, rest) = line.trim().split_once(' ')?;
            let (what, _interface) = rest.split_once(" dropped from ")?;
            matches!(what, "packet" | "packets").then(|| count.parse::<u64>().ok())?
        });
        counts.fold(0, u64::saturating_add)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "tshark ended ({status})")?,
            None => write!(f, "tshark ended")?,
        }
        match self.quote() {
            quote if quote.is_empty() => Ok(()),
            quote => write!(f, ": {quote}"),
        }
    }
}

/// Reads standard error to its end, so that a full pipe never blocks tshark, and returns the last
/// [`MESSAGES_KEPT`] bytes.
async fn last_messages(mut stderr: ChildStderr) -> String {
    let mut messages = Vec::new();
    let mut is_cut = false;
    let mut piece = [0; 1024];
    while let Ok(size @ 1..) = stderr.read(&mut piece).await {
        let piece = &piece[..size];
        debug!(words = %String::from_utf8_lossy(piece).trim_end(), "tshark says");
        messages.extend_from_slice(piece);
        let superfluous = messages.len().saturating_sub(MESSAGES_KEPT);
        is_cut |= superfluous > 0;
        messages.drain(..superfluous);
    }
    if is_cut && let Some(end) = messages.iter().position(|byte| *byte == b'\n') {
        // Removes the partial first line: it would not be recognised as irrelevant.
        messages.drain(..=end);
    }
    String::from_utf8_lossy(&messages).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(messages: &str, dropped: u64) {
        let ending = Ending {
            status: None,
            messages: messages.to_owned(),
        };
        assert_eq!(ending.dropped(), dropped, "{messages}");
    }

    /// tshark 4.0 as a user whose settings belong to another one; there are 31 of the first line.
    #[test]
    fn a_quote_is_short_and_about_the_capture() {
        let tables = "Error loading table 'SNMP Users': Permission denied\n".repeat(31);
        let messages = [
            tables.as_str(),
            "Can't open your preferences file \"/root/preferences\": Permission denied.\n",
            "Could not open your capture filter file\n\"/root/cfilters\": Permission denied.\n",
            "You don't have permission to read the file \"/root/hosts\".\n",
            "tshark: You do not have permission to capture on device \"lo\".\n",
            "(socket: Operation not permitted)\n\n",
            "Please check to make sure you have sufficient permissions.\n\n",
            "On Debian and Debian derivatives such as Ubuntu, if you have installed Wireshark from a \
             package, try running\n\n    sudo dpkg-reconfigure wireshark-common\n",
        ];
        let ending = Ending {
            status: None,
            messages: messages.concat(),
        };
        assert_eq!(
            ending.quote(),
            "You do not have permission to capture on device \"lo\". (socket: Operation not \
             permitted) Please check to make sure you have sufficient permissions. On Debian and \
             Debian derivatives such as Ubuntu, if y..."
        );
        // Unreadable settings do not mean that capturing is not permitted.
        let harmless = Ending {
            status: None,
            messages: messages[..4].concat() + "There is no device named \"eth7\".\n",
        };
        assert_eq!(remedy(&harmless), None);
        assert_eq!(harmless.quote(), "There is no device named \"eth7\".");
    }

    #[test]
    fn tshark_is_found_on_the_path_and_where_its_installer_puts_it() {
        let name = format!("tshark{}", env::consts::EXE_SUFFIX);
        let path = env::join_paths(["a", "b"]).expect("they have no separator");
        let expected: Vec<_> = ["a", "b", "c/Wireshark"]
            .map(|directory| Path::new(directory).join(&name))
            .into();
        assert_eq!(candidates(Some(&path), Some("c".as_ref())), expected);
        assert_eq!(candidates(Some(&path), None), expected[..2]);
        assert!(candidates(None, None).is_empty());
    }

    #[test]
    fn dropped_packets_are_read_from_messages_of_tshark() {
        check("", 0);
        check("1 packet dropped from eth0\n", 1);
        check(
            "17 packets dropped from eth0\n25 packets dropped from any\n",
            42,
        );
        check("100 packets captured\n", 0);
        check(
            "-1 packets dropped from eth0\nmany packets dropped from eth0\n",
            0,
        );
    }
}
