//! A live run: datagrams are sent to UDP sockets, and counted in a scrape over HTTP.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::runner::Runner;
use super::windows;
use crate::dist::targets::{System, Target};
use crate::project::succeed;
use crate::soak::scrape::Scrape;

/// How long a step may take: starting a program in an emulator is slow.
const TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The largest UDP payload over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

pub(super) fn check(target: &Target, runner: &Runner, program: &Path) -> anyhow::Result<()> {
    let mut exporter = Exporter::start(runner, program, &[])?;
    let local = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let local_v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, exporter.listen_port));
    let to_v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, exporter.listen_port));
    for _ in 0..3 {
        local.send_to(&datagram(2, 40), to)?;
    }
    for _ in 0..2 {
        local_v6.send_to(&datagram(2, 40), to_v6)?;
    }
    // 19 bytes of TZSP and Ethernet come before the packet.
    local.send_to(&datagram(3, LARGEST_DATAGRAM - 19), to)?;

    let scrape = exporter.scrape_of(6)?;
    for (from, packets, bytes) in [(2, "5", "200"), (3, "1", "65488")] {
        let labels = format!(
            "{{from=\"192.168.1.{from}\",from_type=\"private\",to=\"142.250.74.110\",\
             to_type=\"public\",protocol=\"tcp\",listen_port=\"{}\"}}",
            exporter.listen_port
        );
        for (family, expected) in [
            ("tzsp_observed_packets_total", packets),
            ("tzsp_observed_bytes_total", bytes),
        ] {
            let sample = format!("{family}{labels}");
            let value = scrape.value(&sample);
            ensure!(value.to_string() == expected, "{sample} is {value}");
        }
    }
    let url = format!("http://127.0.0.1:{}", exporter.publish_port);
    let mut healthcheck = runner.command(program);
    succeed(healthcheck.args(["healthcheck", "--url", &url]))?;
    exporter.stop(target.system)
}

/// Returns a datagram of TZSP with a packet of so many bytes from 192.168.1.`from` to
/// 142.250.74.110.
fn datagram(from: u8, total_length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(total_length)
        .expect("it fits into a datagram")
        .to_be_bytes();
    let mut bytes = vec![1, 0, 0, 1, 1];
    bytes.extend(b"\x02\0\0\0\0\x04\x02\0\0\0\0\x03\x08\0");
    bytes.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, 6, 0, 0]);
    bytes.extend([192, 168, 1, from, 142, 250, 74, 110]);
    bytes.resize(19 + total_length, 0);
    bytes
}

/// A running exporter. It is killed when this is dropped.
pub(super) struct Exporter {
    child: Child,
    listen_port: u16,
    pub(super) publish_port: u16,
}

impl Exporter {
    /// Starts the exporter and waits until it serves metrics.
    pub(super) fn start(runner: &Runner, program: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = runner.command(program);
        command
            .args(["--listen-port", "0", "--publish-port", "0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let log = child.stderr.take().context("standard error is piped")?;
        let mut exporter = Self {
            child,
            listen_port: 0,
            publish_port: 0,
        };
        let log = lines_of(log);
        let begin = Instant::now();
        let mut seen = String::new();
        while exporter.listen_port == 0 || exporter.publish_port == 0 {
            let left = TIMEOUT.saturating_sub(begin.elapsed());
            let Ok(line) = log.recv_timeout(left) else {
                bail!("the exporter does not start: {seen}");
            };
            if let Some(port) = number_after(&line, "receiving TZSP on UDP port ") {
                exporter.listen_port = port;
            }
            if let Some((address, _)) = line.split_once("/metrics")
                && let Some((_, port)) = address.rsplit_once(':')
            {
                exporter.publish_port = port.parse()?;
            }
            seen += &line;
            seen.push('\n');
        }
        Ok(exporter)
    }

    /// Waits until this many frames are received, and returns the scrape that says so.
    fn scrape_of(&mut self, frames: u32) -> anyhow::Result<Scrape> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the exporter ended by itself: {status}");
            }
            let scrape = Scrape::fetch(self.publish_port)?;
            let received = scrape.value("tzsp_frames_received_total");
            if received >= f64::from(frames) {
                return Ok(scrape);
            }
            ensure!(begin.elapsed() < TIMEOUT, "received {received} frames");
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks the exporter to stop.
    ///
    /// # Errors
    /// It does not, or its exit status is not 0.
    pub(super) fn stop(mut self, system: System) -> anyhow::Result<()> {
        match system {
            System::Linux => {
                let pid = i32::try_from(self.child.id()).context("a process id fits")?;
                kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot stop the exporter")?;
            }
            System::Windows => windows::ctrl_c(&self.child)?,
        }
        let status = self.end()?;
        ensure!(status.success(), "the exporter ended with {status}");
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begin.elapsed() < TIMEOUT, "the exporter does not stop");
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread, so that waiting for one can have a deadline, and the writer never waits.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // The receiver has gone once the exporter has started; the rest is read and discarded.
            let _ = send.send(line);
        }
    });
    receive
}

/// Returns the number that follows these words in a line.
fn number_after(line: &str, words: &str) -> Option<u16> {
    let (_, rest) = line.split_once(words)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_in_the_log() {
        let line = "INFO receiving TZSP on UDP port 41234; no privileges needed";
        assert_eq!(number_after(line, "on UDP port "), Some(41_234));
        assert_eq!(number_after(line, "on TCP port "), None);
    }

    /// 5 bytes of TZSP and 14 of Ethernet, then IPv4 (RFC 791, section 3.1).
    #[test]
    fn a_datagram_is_as_long_as_its_packet_says() {
        let datagram = datagram(3, 65_488);
        assert_eq!(datagram.len(), LARGEST_DATAGRAM);
        assert_eq!(datagram[19..23], [0x45, 0, 0xff, 0xd0]);
    }
}
