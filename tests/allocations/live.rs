//! Datagrams from sockets. Each burst is sent and received in turn, so that none is lost.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use tzsp_packetstream_exporter::capture::udp::{Listener, Receiver};
use tzsp_packetstream_exporter::capture::{PacketCapture, native};
use tzsp_packetstream_exporter::wire::ListenPorts;

use crate::{FRAMES, aggregator, assert_no_allocation, datagram};

/// Datagrams that are sent before they are received: a batch of the receivers.
const BURST: usize = 64;
const FLOWS: u32 = 1_000;

/// Sends datagrams of several flows to a port of this host.
struct Sender {
    socket: UdpSocket,
    sent: u32,
}

impl Sender {
    fn to(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        Self { socket, sent: 0 }
    }

    fn burst(&mut self) {
        for _ in 0..BURST {
            self.socket.send(&datagram(self.sent % FLOWS)).unwrap();
            self.sent += 1;
        }
    }
}

/// Fills a receiver, which waits for up to 200 ms, until something has arrived.
#[track_caller]
fn wait_for(mut fill: impl FnMut() -> bool) {
    assert!((0..50).any(|_| fill()), "a datagram is missing");
}

/// Covers the receiver of UDP sockets, the batch, and the tables.
pub(crate) fn udp_datagrams_are_received() {
    let listener = Listener::bind(0).unwrap();
    let port = listener.port();
    let mut receiver = Receiver::new(listener);
    let mut sender = Sender::to(port);
    let mut aggregator = aggregator(ListenPorts::Only(vec![port]));
    let mut batch = aggregator.batch();
    let mut stream = |datagrams: usize| {
        for _ in 0..datagrams.div_ceil(BURST) {
            sender.burst();
            let mut left = BURST;
            while left > 0 {
                wait_for(|| receiver.fill().unwrap());
                for (sensor, payload) in receiver.datagrams() {
                    batch.datagram(Duration::ZERO, Duration::ZERO, sensor, port, payload);
                    left -= 1;
                }
                aggregator.record_batch(&mut batch);
            }
        }
    };
    stream(FRAMES / 10);
    assert_no_allocation(|| stream(FRAMES));
    let counted = aggregator.frames().counted();
    assert!(counted >= (FRAMES / 10 + FRAMES) as u64, "{counted}");
}

/// Covers the receiver of packet sockets, the batch, and the tables.
pub(crate) fn packets_are_captured() {
    // Bound, so that the host does not answer with ICMP errors, but never read.
    let unread = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = unread.local_addr().unwrap().port();
    let sockets = native::open(&PacketCapture {
        interfaces: vec!["lo".to_owned()],
        listen_ports: vec![port],
        buffer: 4,
        snaplen: 384,
        promiscuous: false,
    });
    let socket = sockets.unwrap().pop().unwrap();
    socket.begin().unwrap();
    let mut receiver = native::Receiver::new(socket).unwrap();
    let mut sender = Sender::to(port);
    let mut aggregator = aggregator(ListenPorts::Only(vec![port]));
    let mut batch = aggregator.batch();
    let mut stream = |packets: usize| {
        for _ in 0..packets.div_ceil(BURST) {
            sender.burst();
            let mut left = BURST;
            while left > 0 {
                wait_for(|| receiver.fill().unwrap());
                for frame in receiver.frames(Duration::ZERO) {
                    batch.frame(Duration::ZERO, &frame);
                    left -= 1;
                }
                aggregator.record_batch(&mut batch);
            }
        }
    };
    stream(FRAMES / 10);
    assert_no_allocation(|| stream(FRAMES));
    let counted = aggregator.frames().counted();
    assert!(counted >= (FRAMES / 10 + FRAMES) as u64, "{counted}");
}
