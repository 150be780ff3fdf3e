//! The program under test and the tools around it.

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

/// Long enough for the slowest machine; nothing waits for it unless something is broken.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tzsp_packetstream_exporter");

/// A run of the program to its end.
pub(crate) fn program() -> assert_cmd::Command {
    assert_cmd::Command::from_std(command(PROGRAM))
}

/// The program, a tool, or a command that becomes the program, in the environment that tests rely
/// on.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    environment::normalize(&mut command);
    command
}

/// A core that takes everything in, IPv6 included, and forgets nothing.
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
        },
    })
}

/// Runs `analyze` on a capture that it must accept, and returns its output. It may have to say
/// that nothing in it counts.
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

/// A run that reads what it is fed.
pub(crate) struct Fed(Child);

/// How such a run ended.
pub(crate) struct FedOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most memory that it had, in bytes.
    pub(crate) peak: u64,
}

impl Fed {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = command(PROGRAM);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Returns when all but what a pipe holds was taken.
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

    /// Ends what it is fed, and waits for its end.
    pub(crate) fn end(mut self) -> FedOutput {
        // While its input is open it runs, so this is there to be read.
        let peak = peak(self.pid());
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        FedOutput {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            peak,
        }
    }

    /// Waits for its end although there may be more to come.
    pub(crate) fn ended(mut self) -> FedOutput {
        let stdin = self.0.stdin.take();
        let output = self.0.wait_with_output().unwrap();
        drop(stdin);
        FedOutput {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            peak: 0,
        }
    }
}

impl FedOutput {
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&self.stdout)
    }
}

/// The most memory that a process has had, in bytes.
pub(crate) fn peak(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// All captures in testdata/, sorted.
pub(crate) fn captures() -> Vec<PathBuf> {
    let mut captures: Vec<_> = testdata()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() != Some(OsStr::new("md")))
        .collect();
    captures.sort();
    captures
}

pub(crate) fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The output of a tool that tests rely on. A missing tool is a failure, not a skipped test.
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

/// Asks again and again until the answer is there.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A running exporter. It publishes on a port of the system's choice.
pub(crate) struct Exporter<'a> {
    child: Child,
    pub(crate) port: u16,
    log: Receiver<String>,
    said: Vec<String>,
    /// The host it runs on; without one, the one that runs the tests.
    host: Option<&'a Namespace>,
}

/// Where and how an exporter is started.
#[derive(Default)]
pub(crate) struct Place<'host, 'a> {
    pub(crate) host: Option<&'host Namespace>,
    /// A directory that comes first on the PATH.
    pub(crate) tools: Option<&'a Path>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// The TCP port that it publishes on; 0: the system's choice.
    pub(crate) publish_port: u16,
    /// Runs as nobody.
    pub(crate) unprivileged: bool,
    /// A command that becomes the exporter: what makes its surroundings.
    pub(crate) through: &'a [&'a str],
}

impl<'a> Exporter<'a> {
    /// Starts it and waits until it serves.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(&Place::default(), arguments)
    }

    #[track_caller]
    pub(crate) fn start_at(place: &Place<'a, '_>, arguments: &[&str]) -> Self {
        let words = [place.through, &[PROGRAM]].concat();
        let mut command = command(words[0]);
        command.args(&words[1..]);
        if place.unprivileged {
            // Needs root, as the namespaces do.
            command.uid(65_534).gid(65_534);
        }
        command
            .args(["--publish-port", &place.publish_port.to_string()])
            .args(arguments)
            .envs(place.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(tools) = place.tools {
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", tools.display()));
        }
        let mut child = match place.host {
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
            said: Vec::new(),
            host: place.host,
        };
        let line = exporter.line_with("metrics are at http");
        let (address, _) = line.split_once("/metrics").unwrap();
        exporter.port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        exporter
    }

    /// The UDP port of a listener that was asked for with port 0.
    #[track_caller]
    pub(crate) fn udp_port(&mut self) -> u16 {
        let line = self.line_with("receiving TZSP on UDP port ");
        let (_, rest) = line.split_once("UDP port ").unwrap();
        rest.split_once(';').unwrap().0.parse().unwrap()
    }

    /// The first log line that contains this; waits for it if it was not said yet.
    #[track_caller]
    pub(crate) fn line_with(&mut self, words: &str) -> String {
        if let Some(line) = self.said.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("never said {words:?}, but:\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Whether a log line contains this by now.
    pub(crate) fn has_said(&mut self, words: &str) -> bool {
        self.said.extend(self.log.try_iter());
        self.said.iter().any(|line| line.contains(words))
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

    /// Scrapes until the numbers are right.
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

    /// The processes below it with this name.
    pub(crate) fn descendants(&self, name: &str) -> Vec<Pid> {
        let all = descendants(self.pid());
        all.into_iter()
            .filter(|pid| process_name(*pid).as_deref() == Some(name))
            .collect()
    }

    /// Waits for a process below it with this name: a shell may have become one a moment later.
    #[track_caller]
    pub(crate) fn descendant(&self, name: &str) -> Pid {
        eventually(name, || self.descendants(name).first().copied())
    }

    /// Waits for its end: the status, and what it said.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the exporter's end", || self.child.try_wait().unwrap());
        self.said.extend(self.log.iter());
        (status, self.said.join("\n"))
    }
}

impl Drop for Exporter<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream that delivers one byte at a time.
pub(crate) struct Trickle<'a>(pub(crate) &'a [u8]);

impl Read for Trickle<'_> {
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

/// One that has ended and waits for its parent to notice does not run.
pub(crate) fn is_running(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find(|line| line.starts_with("State:"));
    state.is_some_and(|state| !state.contains('Z'))
}

/// A directory with a `tshark` in it that runs this shell script there.
pub(crate) fn fake_tshark(script: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tshark");
    let script = format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}
