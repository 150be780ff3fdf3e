//! Two devices that get their addresses from a real dnsmasq and use its DNS. The router mirrors
//! their traffic, and the exporter names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::prometheus::Prometheus;
use crate::readme::page;
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, command, eventually, tool};

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// What `www.example.org` stands for.
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// TZSP as RouterOS sends it: version 1, received, Ethernet, end tag.
const TZSP: [u8; 5] = [1, 0, 0, 1, 1];

/// A router with a DHCP and DNS server, and devices at its ports.
struct Site {
    // Dropped first: it uses the router.
    dnsmasq: Child,
    router: Namespace,
    devices: Vec<Namespace>,
    directory: TempDir,
}

impl Site {
    #[track_caller]
    fn new(devices: usize) -> Self {
        let router = Namespace::new("router");
        router.ip(&["link", "add", "lan", "type", "bridge"]);
        router.ip(&["address", "add", &format!("{ROUTER}/24"), "dev", "lan"]);
        router.ip(&["link", "set", "lan", "up"]);
        let devices = (0..devices).map(|number| {
            let device = Namespace::new("device");
            let port = format!("port{number}");
            let peer = ["peer", "eth0", "netns", device.name()];
            router.ip(&[&["link", "add", &port, "type", "veth"], &peer[..]].concat());
            router.ip(&["link", "set", &port, "master", "lan", "up"]);
            device.ip(&["link", "set", "eth0", "up"]);
            device
        });
        let devices: Vec<_> = devices.collect();
        let directory = TempDir::new().unwrap();
        let script = "#!/bin/sh\n[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\n\
                      ip address replace \"$ip/$mask\" dev \"$interface\"\n\
                      ip route replace default via \"$router\"\n";
        fs::write(directory.path().join("bound"), script).unwrap();
        tool(
            Command::new("chmod")
                .args(["755", "bound"])
                .current_dir(&directory),
        );
        let leases = format!("--dhcp-leasefile={}/leases", directory.path().display());
        let mut dnsmasq = command("dnsmasq");
        dnsmasq
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--user=root",
            ])
            .args([
                "--interface=lan",
                "--bind-interfaces",
                "--no-resolv",
                "--no-hosts",
            ])
            .args(["--no-ping", "--dhcp-authoritative", &leases])
            .args([
                "--dhcp-range=192.168.77.50,192.168.77.99,10m",
                "--domain=lan",
            ])
            .arg(format!("--address=/www.example.org/{SERVER}"))
            .stderr(Stdio::null());
        let dnsmasq = router.run(|| dnsmasq.spawn().unwrap());
        Self {
            dnsmasq,
            router,
            devices,
            directory,
        }
    }

    /// Has a device ask for an address under this name. Returns the address.
    #[track_caller]
    fn join(&self, device: usize, name: &str) -> Ipv4Addr {
        let host_name = format!("hostname:{name}");
        let script = self.directory.path().join("bound");
        let mut client = Command::new("busybox");
        client
            .args([
                "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "20", "-T", "1",
            ])
            .args(["-x", &host_name, "-s", script.to_str().unwrap()]);
        self.devices[device].run(|| tool(&mut client));
        eventually("the lease", || {
            let leases = fs::read_to_string(self.leases()).ok()?;
            let lease = leases
                .lines()
                .find(|lease| lease.contains(&format!(" {name} ")))?;
            lease.split(' ').nth(2)?.parse().ok()
        })
    }

    fn leases(&self) -> String {
        format!("{}/leases", self.directory.path().display())
    }

    /// Has a device ask for the address of `www.example.org`, and send a datagram there.
    fn browse(&self, device: usize) {
        let query = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\
                      \x03www\x07example\x03org\x00\x00\x01\x00\x01";
        self.devices[device].run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            socket.send_to(query, (ROUTER, 53)).unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).unwrap();
            assert!(answer[..length].ends_with(&SERVER.octets()));
            socket.send_to(&[0; 100], (SERVER, 443)).unwrap();
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.dnsmasq.kill();
        let _ = self.dnsmasq.wait();
    }
}

/// Mirrors all frames at the router's ports to a UDP port of this host, until it is dropped.
struct Mirror {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Mirror {
    #[track_caller]
    fn start(site: &Site, port: u16) -> Self {
        // Of this host, not of the router.
        let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
        collector.connect(("127.0.0.1", port)).unwrap();
        let collector = Arc::new(collector);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..site.devices.len()).map(|number| {
            let link = format!("port{number}");
            let socket = site.router.run(|| packet_socket(&link));
            let (frames, stop) = (Arc::clone(&frames), Arc::clone(&stop));
            let collector = Arc::clone(&collector);
            thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                    else {
                        continue;
                    };
                    let frame = &buffer[..length];
                    let mut frames = frames.lock().unwrap();
                    frames.push(frame.to_vec());
                    collector.send(&[&TZSP, frame].concat()).unwrap();
                }
            })
        });
        let threads = threads.collect();
        Self {
            frames,
            stop,
            threads,
        }
    }

    /// How many frames were mirrored.
    fn frames(&self) -> usize {
        self.frames.lock().unwrap().len()
    }

    /// The IPv4 bytes that each address sent, and that it received, by the total lengths in the
    /// headers of what was mirrored.
    fn bytes(&self) -> [BTreeMap<Ipv4Addr, f64>; 2] {
        let mut bytes = [BTreeMap::new(), BTreeMap::new()];
        for frame in self.frames.lock().unwrap().iter() {
            if frame[12..14] != [0x08, 0x00] {
                continue;
            }
            let length = f64::from(u16::from_be_bytes([frame[16], frame[17]]));
            for (sums, offset) in bytes.iter_mut().zip([26, 30]) {
                let octets: [u8; 4] = frame[offset..][..4].try_into().unwrap();
                *sums.entry(Ipv4Addr::from(octets)).or_insert(0.0) += length;
            }
        }
        bytes
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A socket that receives all frames of an interface, in both directions.
fn packet_socket(link: &str) -> std::os::fd::OwnedFd {
    let (family, kind) = (AddressFamily::Packet, SockType::Raw);
    let socket = socket(family, kind, SockFlag::empty(), SockProtocol::EthAll).unwrap();
    let addresses = nix::ifaddrs::getifaddrs().unwrap();
    let address = addresses
        .filter(|interface| interface.interface_name == link)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .unwrap();
    bind(socket.as_raw_fd(), &address).unwrap();
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 100_000)).unwrap();
    socket
}

/// Scrapes until the exporter has received everything that was mirrored.
#[track_caller]
fn all_of(mirror: &Mirror, exporter: &Exporter<'_>) -> Scrape {
    exporter.scrape_until("all mirrored frames", |scrape| {
        scrape.value("tzsp_frames_received_total") == mirror.frames() as f64
    })
}

#[test]
fn devices_have_the_names_that_they_give_to_dnsmasq() {
    let site = Site::new(2);
    let mut exporter =
        Exporter::start(&["--listen-port", "0", "--names", "dhcp", "--names", "dns"]);
    let mirror = Mirror::start(&site, exporter.udp_port());
    let devices = [(0, "laptop"), (1, "phone")];
    let devices = devices.map(|(device, name)| (site.join(device, name), name));
    for device in 0..2 {
        site.browse(device);
    }
    all_of(&mirror, &exporter);
    let prometheus = Prometheus::start(exporter.port, "");
    let [sent, received] = mirror.bytes();
    let check = |family: &str, label: &str, name: &str, expected: f64| {
        let join = format!(
            "sum by ({label}_name) ({family} * on (instance, {label}) group_left ({label}_name) \
             tzsp_{label}_info{{{label}_name=\"{name}\"}})"
        );
        eventually(&join, || {
            let bytes = prometheus.query(&url_encoded(&join))?;
            (bytes == expected).then_some(())
        });
    };
    for (address, name) in devices {
        let [sent, received] = [sent[&address], received[&address]];
        check(
            "tzsp_host_bytes_total{direction=\"sent\"}",
            "host",
            name,
            sent,
        );
        check(
            "tzsp_host_bytes_total{direction=\"received\"}",
            "host",
            name,
            received,
        );
        check("tzsp_observed_bytes_total", "from", name, sent);
        check("tzsp_observed_bytes_total", "to", name, received);
    }
    // The queries of docs/names.md.
    let names = page("docs/names.md");
    let queries = names.split("```promql\n").skip(1);
    let queries = queries.map(|block| block.split_once("```").unwrap().0);
    let [by_device, by_server] = queries.collect::<Vec<_>>()[..] else {
        panic!("{names}");
    };
    let by_server = by_server.replace("192.168.88.50", &devices[0].0.to_string());
    eventually("all names", || {
        let by_device = label_values(&prometheus, by_device, "host_name");
        let by_server = label_values(&prometheus, &by_server, "to_name");
        let is_complete = ["laptop", "phone"]
            .iter()
            .all(|name| by_device.contains(*name))
            && by_server.contains("www.example.org");
        is_complete.then_some(())
    });

    let server = "tzsp_to_info{to=\"203.0.113.7\",to_name=\"www.example.org\"}";
    exporter.scrape().value(server);

    // The same device under another name.
    let address = site.join(0, "tablet");
    assert_eq!(address, devices[0].0);
    let scrape = all_of(&mirror, &exporter);
    scrape.value(&format!(
        "tzsp_from_info{{from=\"{address}\",from_name=\"tablet\"}}"
    ));
    assert_eq!(scrape.text.matches("from_name=\"laptop\"").count(), 0);
}

/// The values of a label in the result of a query.
fn label_values(prometheus: &Prometheus, query: &str, label: &str) -> BTreeSet<String> {
    let answer = prometheus.ask("query", &[("query", query)]);
    let results = answer["result"].as_array().unwrap().iter();
    let values = results.filter_map(|result| result["metric"][label].as_str());
    values.map(str::to_owned).collect()
}

fn url_encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// The exporter runs on the router, reads the leases of dnsmasq, and asks it for names.
#[test]
fn leases_and_reverse_dns_of_dnsmasq_give_names() {
    let site = Site::new(1);
    let address = site.join(0, "laptop");
    let resolv_conf = site.directory.path().join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {ROUTER}\n")).unwrap();
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec \"$@\"",
        resolv_conf.display()
    );
    let leases = format!("leases={}", site.leases());
    let check = |source: &str, name: &str| {
        let launch = LaunchOptions {
            host: Some(&site.router),
            wrapper: &["unshare", "--mount", "sh", "-c", &script, "sh"],
            ..LaunchOptions::default()
        };
        let exporter = Exporter::start_with(&launch, &["--listen-port", "0", "--names", source]);
        let mut exporter = exporter;
        let port = exporter.udp_port();
        // A mirrored packet of 20 bytes from the device to the router.
        let header = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0];
        let packet = [&header[..], &address.octets(), &ROUTER.octets()].concat();
        let datagram = [&TZSP[..], &[0; 12], &[0x08, 0x00], &packet].concat();
        site.router.run(|| crate::live::send(port, &datagram));
        let sample = format!("tzsp_from_info{{from=\"{address}\",from_name=\"{name}\"}} 1");
        exporter.scrape_until(&sample, |scrape| scrape.text.contains(&sample));
    };
    check(&leases, "laptop");
    check("resolve", "laptop.lan");
}
