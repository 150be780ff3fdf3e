//! Two temporary hosts: network namespaces that are connected by a virtual cable.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

pub(crate) const COLLECTOR: &str = "192.0.2.1";
const SENSOR: &str = "192.0.2.2";
/// The collector's end of the cable, and the sensor's.
pub(crate) const COLLECTOR_LINK: &str = "cable0";
const SENSOR_LINK: &str = "cable1";
/// An interface on the collector's end of the cable, which is deleted and added again. The cable
/// itself stays, so that the sensor can continue to send. Datagrams are lost while the interface is
/// missing.
pub(crate) const CAPTURED_LINK: &str = "captured0";
pub(crate) const CAPTURED: &str = "192.0.2.3";
const CAPTURED_HARDWARE_ADDRESS: &str = "02:00:00:00:00:03";

/// A collector, where the exporter runs, and a sensor that streams to it.
pub(crate) struct Network {
    pub(crate) collector: Namespace,
    pub(crate) sensor: Namespace,
}

impl Network {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let network = Self {
            collector: Namespace::new("collector")?,
            sensor: Namespace::new("sensor")?,
        };
        network.plug_in()?;
        Ok(network)
    }

    /// Adds the interface that is deleted later.
    pub(crate) fn add_captured_link(&self) -> anyhow::Result<()> {
        self.collector.ip(&[
            "link",
            "add",
            "link",
            COLLECTOR_LINK,
            "name",
            CAPTURED_LINK,
            "address",
            CAPTURED_HARDWARE_ADDRESS,
            "type",
            "macvlan",
            "mode",
            "private",
        ])?;
        self.collector.ip(&["link", "set", CAPTURED_LINK, "up"])?;
        // With a permanent entry, the sensor sends no ARP requests, which would fail while the
        // interface is missing.
        self.sensor.ip(&[
            "neighbour",
            "replace",
            CAPTURED,
            "lladdr",
            CAPTURED_HARDWARE_ADDRESS,
            "dev",
            SENSOR_LINK,
            "nud",
            "permanent",
        ])
    }

    pub(crate) fn delete_captured_link(&self) -> anyhow::Result<()> {
        self.collector.ip(&["link", "delete", CAPTURED_LINK])
    }

    fn plug_in(&self) -> anyhow::Result<()> {
        let sensor = &self.sensor.name;
        self.collector.ip(&[
            "link",
            "add",
            COLLECTOR_LINK,
            "type",
            "veth",
            "peer",
            SENSOR_LINK,
            "netns",
            sensor,
        ])?;
        let ends = [
            (&self.collector, COLLECTOR_LINK, COLLECTOR),
            (&self.sensor, SENSOR_LINK, SENSOR),
        ];
        for (host, link, address) in ends {
            host.ip(&["address", "add", &format!("{address}/24"), "dev", link])?;
            host.ip(&["link", "set", link, "up"])?;
        }
        Ok(())
    }
}

/// A host, which is a network namespace. It is deleted when this is dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn new(role: &str) -> anyhow::Result<Self> {
        let name = format!("tzsp-soak-{role}-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        ip(&[&["-n", self.name.as_str()], arguments].concat())
    }

    /// Runs `work` on this host, in a thread of its own. Processes that it starts belong to the host.
    pub(crate) fn run<T: Send>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let handle = self.handle();
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                handle.enter()?;
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Returns a handle for a thread that outlives the borrow.
    pub(crate) fn handle(&self) -> NamespaceHandle {
        NamespaceHandle(PathBuf::from("/run/netns").join(&self.name))
    }

    /// Returns the processes with this name on this host. Unlike a search for the exporter's
    /// descendants, this also finds a dumpcap whose parent tshark was killed.
    pub(crate) fn processes(&self, name: &str) -> anyhow::Result<Vec<Pid>> {
        let namespace = fs::metadata(self.handle().0)
            .with_context(|| format!("looking at namespace {}", self.name))?
            .ino();
        let processes = fs::read_dir("/proc").context("reading /proc")?;
        let here = processes.filter_map(|entry| {
            let process = entry.ok()?;
            let pid = process.file_name().to_str()?.parse().ok()?;
            let path = process.path();
            // A process that has ended in the meantime has no files.
            let is_called_so = fs::read_to_string(path.join("comm")).ok()?.trim_end() == name;
            let is_here =
                is_called_so && fs::metadata(path.join("ns/net")).ok()?.ino() == namespace;
            is_here.then(|| Pid::from_raw(pid))
        });
        Ok(here.collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if ip(&["netns", "delete", &self.name]).is_err() {
            eprintln!("please delete the namespace: ip netns delete {}", self.name);
        }
    }
}

/// The path of a namespace.
pub(crate) struct NamespaceHandle(PathBuf);

impl NamespaceHandle {
    /// Moves this thread to the host.
    pub(crate) fn enter(&self) -> anyhow::Result<()> {
        let name = self.0.display();
        let namespace = File::open(&self.0).with_context(|| format!("opening {name}"))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {name}"))
    }
}

/// Runs `ip` from iproute2.
fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip; Debian has it in the package iproute2")?;
    if !output.status.success() {
        bail!(
            "ip {}: {}; this needs root",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
