//! tshark as the source of frames: `tshark -w -` hands dumpcap's pcapng stream through.

mod advice;
pub mod child;
mod output;

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
pub use advice::{advice, remedy};
pub use output::Output;

/// How long a packet may take from the interface to the stream: dumpcap takes packets from the
/// kernel in blocks and waits for a block to fill up, but (measured) no longer than 250 ms.
pub const DELAY: Duration = Duration::from_millis(300);
/// How long tshark may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of the end of what tshark says is kept to explain its own end.
const WORDS_KEPT: usize = 4096;

/// How many characters of that an error message quotes: enough for the sentence that matters, which
/// comes first, and not for the page of advice behind it.
const WORDS_QUOTED: usize = 200;
/// How lines begin that tshark prints as root, or where it cannot read its settings; it breaks some
/// of these before the path.
const NOISE: [&str; 6] = [
    "\"/",
    "Running as user",
    "Error loading table",
    "Can't open your",
    "Could not open your",
    "You don't have permission to read the file",
];

impl PacketCapture {
    /// What tshark is started with; interfaces may be numbers from `tshark -D`. The settings stand
    /// before the interfaces: behind the first
    /// of them, they would hold for that one alone.
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

/// Where tshark is on the PATH, if it is.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let name = format!("tshark{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(&name))
        .find(|candidate| is_program(candidate))
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
    words: JoinHandle<String>,
    group: Group,
}

/// How tshark ended, and the last that it said.
#[derive(Debug)]
pub struct Ending {
    pub status: Option<ExitStatus>,
    pub words: String,
}

impl Tshark {
    /// Starts tshark. Also returns its output: a pcapng stream, to be read by a thread.
    ///
    /// # Errors
    /// The system cannot run another process. That tshark is not installed shows in its
    /// [`Ending`].
    pub fn start(options: &PacketCapture) -> io::Result<(Self, Output)> {
        let arguments = options.tshark_arguments();
        debug!(?arguments, "starting tshark");
        let mut child = Command::from(child::command("tshark"))
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
        let words = tokio::spawn(last_words(stderr));
        let group = Group::of(&child);
        let tshark = Self {
            child,
            words,
            group,
        };
        Ok((tshark, Output::new(pipe)))
    }

    /// Waits until it ends by itself. It may go on capturing then: dumpcap is a process of its
    /// own, and [`end`](Self::end) is still to be called.
    pub async fn exited(&mut self) {
        // An error means that nobody can wait for it any more.
        let _ = self.child.wait().await;
    }

    /// Asks it to hand over what it has captured and to end; makes it end if it does not.
    ///
    /// `drained` is done when the stream was read to its end. Whatever tshark does, this takes no
    /// longer than [`DELAY`] and three times [`PATIENCE`].
    pub async fn end(mut self, drained: impl Future<Output = ()>) -> Ending {
        {
            // Packets that are under way arrive, and a tshark that is ending by itself gets to
            // tell its own status.
            let mut over = pin!(async { tokio::join!(self.child.wait(), drained) });
            if timeout(DELAY, &mut over).await.is_err() {
                self.group.signal(Asked::Kindly);
                if timeout(PATIENCE, &mut over).await.is_err() {
                    debug!("tshark did not end when asked to");
                }
            }
        }
        // Whatever is left is of no use any more.
        self.group.signal(Asked::Firmly);
        let _ = self.child.start_kill();
        // The kernel does not end a process that waits for a broken device.
        let status = timeout(PATIENCE, self.child.wait()).await;
        let words = timeout(PATIENCE, self.words).await;
        Ending {
            status: status.ok().and_then(Result::ok),
            words: words.ok().and_then(Result::ok).unwrap_or_default(),
        }
    }
}

/// The process group of a tshark, with its dumpcap and whatever else it started. What is left of
/// the group when this is dropped is killed.
#[derive(Debug)]
struct Group(Option<i32>);

#[derive(Debug, Clone, Copy)]
enum Asked {
    Kindly,
    Firmly,
}

impl Group {
    /// The group that a child started by [`child::command`] leads.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()))
    }

    #[cfg(unix)]
    fn signal(&self, asked: Asked) {
        use nix::sys::signal::{Signal, killpg};
        use nix::unistd::Pid;

        let signal = match asked {
            Asked::Kindly => Signal::SIGTERM,
            Asked::Firmly => Signal::SIGKILL,
        };
        if let Some(group) = self.0 {
            // All of it may have ended by itself.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    /// Elsewhere there are no groups: dumpcap ends when its reader is gone.
    #[cfg(not(unix))]
    fn signal(&self, _asked: Asked) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Asked::Firmly);
    }
}

impl Ending {
    /// The start of what tshark said about its end, on one line.
    #[must_use]
    pub fn said(&self) -> String {
        let words = self.relevant_words();
        match words.char_indices().nth(WORDS_QUOTED) {
            Some((end, _)) => format!("{}...", words[..end].trim_end()),
            None => words,
        }
    }

    /// What tshark said, on one line, without complaints about its own settings. Those are about
    /// dissection, which does not happen here.
    pub(super) fn relevant_words(&self) -> String {
        let lines = self.words.lines().map(str::trim);
        let lines = lines.map(|line| line.trim_start_matches("tshark:").trim_start());
        let lines = lines.filter(|line| {
            let is_noise = NOISE.iter().any(|noise| line.starts_with(noise));
            !line.is_empty() && !is_noise
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    /// tshark could not even be run: see [`child`].
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        let status = self.status.and_then(|status| status.code());
        status == Some(i32::from(child::STATUS_NOT_FOUND))
    }

    /// What it says the kernel dropped: lines like `5 packets dropped from eth0`.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let counts = self.words.lines().filter_map(|line| {
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
        match self.said() {
            said if said.is_empty() => Ok(()),
            said => write!(f, ": {said}"),
        }
    }
}

/// Reads standard error to its end, so that tshark never waits for us, and keeps the last of it.
async fn last_words(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut is_cut = false;
    let mut piece = [0; 1024];
    while let Ok(size @ 1..) = stderr.read(&mut piece).await {
        let piece = &piece[..size];
        debug!(words = %String::from_utf8_lossy(piece).trim_end(), "tshark says");
        words.extend_from_slice(piece);
        let superfluous = words.len().saturating_sub(WORDS_KEPT);
        is_cut |= superfluous > 0;
        words.drain(..superfluous);
    }
    if is_cut && let Some(end) = words.iter().position(|byte| *byte == b'\n') {
        // Half a line would not be recognised for what it is.
        words.drain(..=end);
    }
    String::from_utf8_lossy(&words).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, dropped: u64) {
        let ending = Ending {
            status: None,
            words: words.to_owned(),
        };
        assert_eq!(ending.dropped(), dropped, "{words}");
    }

    /// tshark 4.0 as a user whose settings belong to another one; there are 31 of the first line.
    #[test]
    fn what_is_quoted_is_about_the_capture_and_short() {
        let tables = "Error loading table 'SNMP Users': Permission denied\n".repeat(31);
        let words = [
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
            words: words.concat(),
        };
        assert_eq!(
            ending.said(),
            "You do not have permission to capture on device \"lo\". (socket: Operation not \
             permitted) Please check to make sure you have sufficient permissions. On Debian and \
             Debian derivatives such as Ubuntu, if y..."
        );
        // Unreadable settings are no lack of permission to capture.
        let harmless = Ending {
            status: None,
            words: words[..4].concat() + "There is no device named \"eth7\".\n",
        };
        assert_eq!(remedy(&harmless), None);
        assert_eq!(harmless.said(), "There is no device named \"eth7\".");
    }

    #[test]
    fn dropped_packets_are_read_from_what_tshark_says() {
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
