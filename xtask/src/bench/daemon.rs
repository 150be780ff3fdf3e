//! Runs the exporter as a daemon on loopback.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use procfs::process::{ClearRefs, Process};

use crate::soak::scrape::Scrape;

/// How long the exporter may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval between two readings of its CPU time. Once the time no longer grows from one reading
/// to the next, the exporter has processed everything.
const SETTLE_INTERVAL: Duration = Duration::from_millis(300);

/// A running exporter. It is killed when this is dropped.
pub(super) struct Daemon {
    child: Child,
    process: Process,
    pub(super) listen_port: u16,
    pub(super) publish_port: u16,
}

impl Daemon {
    pub(super) fn start(mut command: Command, max_flows: u64) -> anyhow::Result<Self> {
        let (listen_port, publish_port) = (free_udp_port()?, free_tcp_port()?);
        let child = command
            .args(["--listen-port", &listen_port.to_string()])
            .args(["--publish-port", &publish_port.to_string()])
            .args(["--publish-address", "127.0.0.1"])
            .args(["--max-flows", &max_flows.to_string()])
            .args(["--log-level", "error"])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let process = process(child.id())?;
        let mut daemon = Self {
            child,
            process,
            listen_port,
            publish_port,
        };
        daemon.await_start()?;
        Ok(daemon)
    }

    fn await_start(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.publish_port)).is_err() {
            if let Some(status) = self.child.try_wait().context("waiting for the exporter")? {
                bail!("the exporter ended by itself: {status}");
            }
            if begin.elapsed() > START_TIMEOUT {
                bail!("the exporter does not start");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn scrape(&self) -> anyhow::Result<Scrape> {
        Scrape::fetch(self.publish_port)
    }

    /// Waits until the exporter has counted everything that was sent.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        let mut before = self.cpu()?;
        loop {
            thread::sleep(SETTLE_INTERVAL);
            let now = self.cpu()?;
            if now - before < 0.02 {
                return Ok(());
            }
            before = now;
        }
    }

    /// Returns the CPU time of all its threads, in seconds.
    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        cpu(&self.process)
    }

    /// Like [`Self::cpu`], with a resolution of a nanosecond instead of a hundredth of a second.
    /// Threads that have ended are not included, but the exporter's threads do not end.
    pub(super) fn running_time(&self) -> anyhow::Result<f64> {
        let mut nanos = 0;
        for task in self.process.tasks().context("listing its threads")? {
            let task = task.context("listing its threads")?;
            nanos += task
                .schedstat()
                .context("reading its CPU time")?
                .sum_exec_runtime;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        Ok(nanos as f64 / 1e9)
    }

    /// Returns its resident memory, in MiB.
    pub(super) fn resident(&self) -> anyhow::Result<f64> {
        mib(self
            .process
            .status()
            .context("reading its memory usage")?
            .vmrss)
    }

    /// Returns its peak resident memory since the last [`Self::reset_peak`], in MiB.
    pub(super) fn peak(&self) -> anyhow::Result<f64> {
        mib(self
            .process
            .status()
            .context("reading its memory usage")?
            .vmhwm)
    }

    /// Resets the peak of its resident memory: see proc_pid_clear_refs(5).
    pub(super) fn reset_peak(&self) -> anyhow::Result<()> {
        self.process
            .clear_refs(ClearRefs::PeakRSS)
            .context("resetting its peak memory")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn process(id: u32) -> anyhow::Result<Process> {
    let id = i32::try_from(id).context("a process id fits")?;
    Process::new(id).with_context(|| format!("looking at process {id}"))
}

/// Returns the CPU time of all threads of a process, including those that have ended, in seconds.
pub(super) fn cpu(process: &Process) -> anyhow::Result<f64> {
    let stat = process.stat().context("reading its CPU time")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

fn mib(kib: Option<u64>) -> anyhow::Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let mib = kib.map(|kib| kib as f64 / 1024.0);
    mib.context("/proc has no memory usage")
}

/// Returns a port that is free now. Another program may take it before it is used.
pub(super) fn free_udp_port() -> anyhow::Result<u16> {
    let socket = UdpSocket::bind("[::]:0").context("no UDP port is free")?;
    Ok(socket.local_addr()?.port())
}

fn free_tcp_port() -> anyhow::Result<u16> {
    let socket = TcpListener::bind("127.0.0.1:0").context("no TCP port is free")?;
    Ok(socket.local_addr()?.port())
}
