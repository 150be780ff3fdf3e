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

/// How long the exporter may take to start capturing, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether it has.
const PAUSE: Duration = Duration::from_millis(50);

/// The exporter under test. It is killed when this is dropped.
pub(crate) struct Exporter<'a> {
    child: Child,
    host: &'a Namespace,
}

impl<'a> Exporter<'a> {
    /// Starts it with these arguments and those that it always has.
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
            // What is typed at the terminal is for us.
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

    /// Waits until the first capture runs.
    pub(crate) fn await_capture(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.must_be_alive()?;
            match self.scrape() {
                Ok(scrape) if scrape.value("tzsp_capture_up") > 0.0 => return Ok(()),
                _ if begin.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Ok(_) => bail!("the exporter does not start to capture"),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn must_be_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("waiting for the exporter")? {
            Some(status) => bail!("the exporter ended by itself: {status}"),
            None => Ok(()),
        }
    }

    pub(crate) fn scrape(&self) -> anyhow::Result<Scrape> {
        self.host.run(|| Scrape::fetch(PUBLISH_PORT))
    }

    /// Kills what is called `name` of its capture. Returns whether there was something to kill.
    pub(super) fn kill(&self, name: &str) -> anyhow::Result<bool> {
        let victims = self.host.processes(name)?;
        // One may have ended in the meantime.
        let killed = victims
            .into_iter()
            .filter(|&victim| kill(victim, Signal::SIGKILL).is_ok());
        Ok(killed.count() > 0)
    }

    /// Asks it to end. Returns what was wrong with how it did.
    pub(crate) fn stop(&mut self) -> anyhow::Result<Vec<String>> {
        let pid = i32::try_from(self.child.id()).context("a process id fits")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot stop the exporter")?;
        let how = match self.status_within(PATIENCE)? {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("ended with {status}")),
            None => Some(format!("went on for {PATIENCE:?}")),
        };
        let mut complaints: Vec<_> = how
            .map(|how| format!("asked to stop, the exporter {how}"))
            .into_iter()
            .collect();
        for name in ["tshark", "dumpcap"] {
            let left = self.host.processes(name)?;
            if !left.is_empty() {
                complaints.push(format!("the exporter left a {name} behind"));
            }
            for pid in left {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        Ok(complaints)
    }

    fn status_within(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            let status = self.child.try_wait().context("waiting for the exporter")?;
            if status.is_some() || begin.elapsed() >= patience {
                return Ok(status);
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Exporter<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
