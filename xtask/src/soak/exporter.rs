//! The exporter under test.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::interrupt;
use super::network::Namespace;
use super::scrape::Scrape;

pub(crate) const LISTEN_PORT: u16 = 37008;
const PUBLISH_PORT: u16 = 9184;

/// How long the exporter may take to start capturing, and to stop.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The interval between two checks whether it has.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The exporter under test. It is killed when this is dropped.
pub(crate) struct Exporter<'a> {
    child: Child,
    host: &'a Namespace,
}

impl<'a> Exporter<'a> {
    /// Starts the exporter on a host, with fixed ports and these arguments.
    pub(crate) fn start(
        program: &Path,
        host: &'a Namespace,
        log: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["--listen-port", &LISTEN_PORT.to_string()])
            .args(["--publish-port", &PUBLISH_PORT.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Keeps signals from the terminal, such as Ctrl-C, away from the exporter.
            .process_group(0);
        let child = host.run(|| {
            interrupt::unblock_for_children()?;
            command
                .spawn()
                .with_context(|| format!("cannot run {}", program.display()))
        })?;
        Ok(Self { child, host })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the exporter captures.
    pub(crate) fn await_capture(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.must_be_alive()?;
            match self.scrape() {
                Ok(scrape) if scrape.value("tzsp_capture_up") > 0.0 => return Ok(()),
                _ if begin.elapsed() < TIMEOUT => thread::sleep(POLL_INTERVAL),
                Ok(_) => bail!("the exporter does not start capturing"),
                Err(error) => return Err(error),
            }
        }
    }

    /// # Errors
    /// The exporter has ended.
    pub(super) fn must_be_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("waiting for the exporter")? {
            Some(status) => bail!("the exporter ended by itself: {status}"),
            None => Ok(()),
        }
    }

    pub(crate) fn scrape(&self) -> anyhow::Result<Scrape> {
        self.host.run(|| Scrape::fetch(PUBLISH_PORT))
    }

    /// Kills the processes with this name on its host. Returns whether there were any.
    pub(super) fn kill(&self, name: &str) -> anyhow::Result<bool> {
        let victims = self.host.processes(name)?;
        // A process may have ended in the meantime.
        let killed = victims
            .into_iter()
            .filter(|&victim| kill(victim, Signal::SIGKILL).is_ok());
        Ok(killed.count() > 0)
    }

    /// Asks the exporter to stop. Returns the problems with its shutdown.
    pub(crate) fn stop(&mut self) -> anyhow::Result<Vec<String>> {
        let pid = i32::try_from(self.child.id()).context("a process id fits")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot stop the exporter")?;
        let problem = match self.status_within(TIMEOUT)? {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("ended with {status}")),
            None => Some(format!("did not stop within {TIMEOUT:?}")),
        };
        let mut problems: Vec<_> = problem
            .map(|problem| format!("asked to stop, the exporter {problem}"))
            .into_iter()
            .collect();
        for name in ["tshark", "dumpcap"] {
            let left = self.host.processes(name)?;
            if !left.is_empty() {
                problems.push(format!("the exporter left a {name} behind"));
            }
            for pid in left {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        Ok(problems)
    }

    /// Waits for the exporter to end. Returns `None` if it has not ended within `timeout`.
    fn status_within(&mut self, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            let status = self.child.try_wait().context("waiting for the exporter")?;
            if status.is_some() || begin.elapsed() >= timeout {
                return Ok(status);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Exporter<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
