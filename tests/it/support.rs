//! Helpers that start the program under test and the tools around it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use tzsp_packetstream_exporter::aggregator::{Aggregator, Settings};
use tzsp_packetstream_exporter::flow::{FlowLimits, Shape};
use tzsp_packetstream_exporter::wire::{DecodeOptions, ListenPorts};

use crate::environment;
use crate::namespace::Namespace;
use crate::scrape::Scrape;

/// Long enough for the slowest machine. Only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tzsp_packetstream_exporter");

/// The program, to be run until it exits.
pub(crate) fn program() -> assert_cmd::Command {
    assert_cmd::Command::from_std(command(PROGRAM))
}

/// A command in the normalised environment: the program, a tool, or a wrapper that executes the
/// program.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    environment::normalize(&mut command);
    command
}

/// An aggregator that counts every packet, IPv6 included, and never evicts a flow.
pub(crate) fn aggregator() -> Aggregator {
    Aggregator::new(Settings {
        decode: DecodeOptions {
            listen_ports: ListenPorts::Any,
            ipv6: true,
        },
        shape: Shape::default(),
        limits: FlowLimits {
            flows: 1_000_000,
            idle_flows: 0,
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: 1000,
        },
    })
}

/// Runs `analyze` on a capture that it must accept, and returns its output. The only warning
/// allowed is that nothing was counted.
#[track_caller]
pub(crate) fn analyze(capture: &Path) -> Scrape {
    let output = program().arg("analyze").arg(capture).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}", capture.display());
    let scrape = Scrape::parse(&String::from_utf8(output.stdout).unwrap());
    if scrape.sum("tzsp_observed_packets_total") > 0.0 {
        assert_eq!(stderr, "", "{}", capture.display());
    } else {
        assert!(
            stderr.starts_with("warning: nothing was counted"),
            "{stderr}"
        );
        assert!(!stderr.contains("error"), "{stderr}");
    }
    scrape
}

/// A running program whose standard input is a pipe that the test writes to.
pub(crate) struct PipedRun(Child);

/// The result of a [`PipedRun`].
pub(crate) struct PipedOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Its peak resident memory in bytes.
    pub(crate) peak: u64,
}

impl PipedRun {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = command(PROGRAM);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Writes to its standard input. On return, the program has read all but what the pipe holds.
    pub(crate) fn feed(mut self, bytes: &[u8]) -> Self {
        self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
        self
    }

    pub(crate) fn signal(self, signal: Signal) -> Self {
        kill(self.pid(), signal).unwrap();
        self
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    /// Closes its standard input and waits for it to exit.
    pub(crate) fn end(mut self) -> PipedOutput {
        // It cannot exit before its input is closed, so /proc still has its entry.
        let peak = peak(self.pid());
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        PipedOutput {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            peak,
        }
    }

    /// Waits for it to exit while its standard input stays open.
    pub(crate) fn wait_for_exit(mut self) -> PipedOutput {
        let stdin = self.0.stdin.take();
        let output = self.0.wait_with_output().unwrap();
        drop(stdin);
        PipedOutput {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            peak: 0,
        }
    }
}

impl PipedOutput {
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&self.stdout)
    }
}

/// The peak resident memory of a process in bytes (`VmHWM` of proc_pid_status(5)).
pub(crate) fn peak(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// All captures in testdata/, sorted by name.
pub(crate) fn captures() -> Vec<PathBuf> {
    let mut captures: Vec<_> = testdata()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| file_name(path).contains(".pcap"))
        .collect();
    captures.sort();
    captures
}

pub(crate) fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Runs a tool and returns its standard output. A missing tool fails the test rather than skipping
/// it.
#[track_caller]
pub(crate) fn tool(command: &mut Command) -> String {
    environment::normalize(command);
    let output = command.output().unwrap_or_else(|error| {
        let name = command.get_program().display();
        panic!("{name}: {error}; `cargo xtask ci` installs what the tests need")
    });
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Polls until `ask` returns a value. Fails after [`DEADLINE`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "timed out waiting for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A running exporter. It is killed when dropped.
pub(crate) struct Exporter<'a> {
    child: Child,
    pub(crate) port: u16,
    log: Receiver<String>,
    lines: Vec<String>,
    /// The host that it runs on; `None` is the one that runs the tests.
    host: Option<&'a Namespace>,
}

/// Where and how an exporter is started.
#[derive(Default)]
pub(crate) struct LaunchOptions<'host, 'a> {
    pub(crate) host: Option<&'host Namespace>,
    /// A directory with tools that is searched before the rest of `PATH`.
    pub(crate) tools: Option<&'a Path>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// The TCP port that it publishes on; with 0, the system chooses one. Not used if the arguments
    /// have `--web.listen-address`.
    pub(crate) publish_port: u16,
    /// Runs as the user nobody.
    pub(crate) unprivileged: bool,
    /// A command, such as `prlimit`, that executes the exporter. Empty: none.
    pub(crate) wrapper: &'a [&'a str],
}

impl<'a> Exporter<'a> {
    /// Starts an exporter and waits until it serves metrics.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(&LaunchOptions::default(), arguments)
    }

    #[track_caller]
    pub(crate) fn start_with(launch: &LaunchOptions<'a, '_>, arguments: &[&str]) -> Self {
        let words = [launch.wrapper, &[PROGRAM]].concat();
        let mut command = command(words[0]);
        command.args(&words[1..]);
        if launch.unprivileged {
            // This needs root, as the network namespaces do.
            command.uid(65_534).gid(65_534);
        }
        if !arguments.contains(&"--web.listen-address") {
            command.args(["--publish-port", &launch.publish_port.to_string()]);
        }
        command
            .args(arguments)
            .envs(launch.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(tools) = launch.tools {
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", tools.display()));
        }
        let mut child = match launch.host {
            Some(host) => host.run(|| command.spawn()),
            None => command.spawn(),
        }
        .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut exporter = Self {
            child,
            port: 0,
            log,
            lines: Vec::new(),
            host: launch.host,
        };
        let line = exporter.wait_for_line("metrics are at http");
        let (address, _) = line.split_once("/metrics").unwrap();
        exporter.port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        exporter
    }

    /// The UDP port that the system chose for `--listen-port 0`.
    #[track_caller]
    pub(crate) fn udp_port(&mut self) -> u16 {
        let line = self.wait_for_line("receiving TZSP on UDP port ");
        let (_, rest) = line.split_once("UDP port ").unwrap();
        rest.split_once(';').unwrap().0.parse().unwrap()
    }

    /// Waits for a log line that contains these words, and returns the first.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, words: &str) -> String {
        if let Some(line) = self.lines.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("never logged {words:?}, but:\n{}", self.lines.join("\n"));
            };
            self.lines.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Whether a log line up to now contains these words.
    pub(crate) fn has_logged(&mut self, words: &str) -> bool {
        self.lines.extend(self.log.try_iter());
        self.lines.iter().any(|line| line.contains(words))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&self.get("/metrics").1)
    }

    /// The status and the body of a page.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let url = self.url(path);
        let get = || {
            let agent = ureq::Agent::config_builder().http_status_as_error(false);
            let agent = agent.build().new_agent();
            let mut response = agent.get(&url).call().unwrap();
            let body = response.body_mut().with_config().limit(u64::MAX);
            let body = body.read_to_string().unwrap();
            (response.status().as_u16(), body)
        };
        match self.host {
            Some(host) => host.run(get),
            None => get(),
        }
    }

    /// Scrapes until the condition holds.
    #[track_caller]
    pub(crate) fn scrape_until(&self, what: &str, right: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut last = None;
        eventually(what, || {
            let scrape = self.scrape();
            scrape.assert_every_frame_is_accounted_for();
            if right(&scrape) {
                return Some(scrape);
            }
            if last.as_ref() != Some(&scrape.text) {
                last = Some(scrape.text);
            }
            None
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Its descendant processes with this name.
    pub(crate) fn descendants(&self, name: &str) -> Vec<Pid> {
        let all = descendants(self.pid());
        all.into_iter()
            .filter(|pid| process_name(*pid).as_deref() == Some(name))
            .collect()
    }

    /// Waits for a descendant process with this name. A shell executes its last command only a
    /// moment after it was started.
    #[track_caller]
    pub(crate) fn descendant(&self, name: &str) -> Pid {
        eventually(name, || self.descendants(name).first().copied())
    }

    /// Waits for it to exit, and returns its status and its whole log.
    #[track_caller]
    pub(crate) fn wait_for_exit(mut self) -> (ExitStatus, String) {
        let status = eventually("the exporter's end", || self.child.try_wait().unwrap());
        self.lines.extend(self.log.iter());
        (status, self.lines.join("\n"))
    }
}

impl Drop for Exporter<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reader that returns one byte at a time.
pub(crate) struct OneByteReader<'a>(pub(crate) &'a [u8]);

impl Read for OneByteReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = buffer.len().min(1);
        self.0.read(&mut buffer[..size])
    }
}

fn descendants(pid: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .map(|child| Pid::from_raw(child.parse().unwrap()));
    children
        .flat_map(|child| [vec![child], descendants(child)].concat())
        .collect()
}

fn process_name(pid: Pid) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Whether a process runs. A zombie does not.
pub(crate) fn is_running(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find(|line| line.starts_with("State:"));
    state.is_some_and(|state| !state.contains('Z'))
}

/// A directory with a fake `tshark`: this shell script, which runs in that directory.
pub(crate) fn fake_tshark(script: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tshark");
    let script = format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}
