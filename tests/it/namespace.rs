//! Virtual hosts: network namespaces joined by a veth pair. They need root.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, send, socket};

use crate::support::tool;

pub(crate) const COLLECTOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const SENSOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The two ends of the cable: the interfaces of the collector and of the sensor.
pub(crate) const COLLECTOR_LINK: &str = "cable0";
pub(crate) const SENSOR_LINK: &str = "cable1";

/// A virtual host. It is removed when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    #[track_caller]
    pub(crate) fn new(role: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tzsp-{role}-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` on this host.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", self.name.as_str()], arguments].concat());
    }

    /// Runs a closure on this host. Processes that it starts run on this host too.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sends complete Ethernet frames on an interface of this host.
    pub(crate) fn send_frames(&self, link: &str, frames: &[Vec<u8>]) {
        self.run(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::empty(),
                SockProtocol::EthAll,
            )
            .unwrap();
            let addresses = nix::ifaddrs::getifaddrs().unwrap();
            let address = addresses
                .filter(|interface| interface.interface_name == link)
                .find_map(|interface| interface.address?.as_link_addr().copied())
                .unwrap();
            bind(socket.as_raw_fd(), &address).unwrap();
            for frame in frames {
                let sent = send(
                    socket.as_raw_fd(),
                    frame,
                    nix::sys::socket::MsgFlags::empty(),
                );
                assert_eq!(sent.unwrap(), frame.len());
            }
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

/// A collector, where the exporter runs, and a sensor that streams to it.
pub(crate) struct Network {
    pub(crate) collector: Namespace,
    pub(crate) sensor: Namespace,
}

impl Network {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let network = Self {
            collector: Namespace::new("collector"),
            sensor: Namespace::new("sensor"),
        };
        network.plug_in();
        network
    }

    /// Joins the two hosts by a new cable.
    #[track_caller]
    pub(crate) fn plug_in(&self) {
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
        ]);
        let ends = [
            (&self.collector, COLLECTOR_LINK, COLLECTOR),
            (&self.sensor, SENSOR_LINK, SENSOR),
        ];
        for (host, link, address) in ends {
            host.ip(&["address", "add", &format!("{address}/24"), "dev", link]);
            host.ip(&["link", "set", link, "up"]);
        }
    }

    /// Deletes the collector's interface, and with it the sensor's.
    #[track_caller]
    pub(crate) fn pull_out(&self) {
        self.collector.ip(&["link", "delete", COLLECTOR_LINK]);
    }
}

/// `ip` from iproute2. It fails without root, and so do the tests that call it.
#[track_caller]
fn ip(arguments: &[&str]) {
    tool(Command::new("ip").args(arguments));
}
