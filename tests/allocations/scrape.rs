//! Scrapes of a web server over TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tzsp_packetstream_exporter::aggregator::Aggregator;
use tzsp_packetstream_exporter::http::{self, Configuration, ListenAddress, Listeners, Pages};
use tzsp_packetstream_exporter::metrics::{
    self, CaptureState, Format, OwnState, ProcessState, WallClock, WebState,
};
use tzsp_packetstream_exporter::report::Overview;
use tzsp_packetstream_exporter::wire::ListenPorts;

use crate::{aggregator, allocations, datagram};

/// The metrics of an aggregator, written as the daemon writes them.
struct Metrics(Mutex<Aggregator>);

impl Pages for Metrics {
    fn metrics(&self, format: Format, web: &WebState, out: &mut dyn Write) -> io::Result<Duration> {
        let mut aggregator = self.0.lock().unwrap();
        let flows = aggregator.scrape(Duration::ZERO);
        let own = OwnState {
            frames: &aggregator.frames().clone(),
            sensors: &aggregator.sensors().snapshot(),
            capture: &CaptureState::default(),
            web,
            process: &ProcessState::default(),
            names: None,
            databases: &[],
            clock: &WallClock::new(Duration::ZERO),
            created_series: false,
        };
        drop(aggregator);
        metrics::write_scrape(&mut { out }, format, flows, &own)?;
        Ok(Duration::ZERO)
    }

    fn delivered(&self, _: Duration) {}

    fn overview(&self, _: usize) -> Overview {
        unreachable!("the landing page is not requested")
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// More than a scrape allocates for everything but the flows: about 1,600 blocks, most of them for
/// the samples that the prometheus crate collects.
const EACH_SCRAPE: u64 = 2_000;
/// The size of the pieces in which a body is sent, in bytes, and more than the allocations for each.
const PIECE: u64 = 64 * 1024;
const EACH_PIECE: u64 = 2;

/// Covers the snapshot, its text, and the web server. The number of allocations depends on the number
/// of flows only through the size of the body, which is sent in pieces.
pub(crate) fn flows_are_scraped() {
    const PROTOBUF: &str = "application/vnd.google.protobuf";
    for (format, encoding) in [
        ("text/plain", "identity"),
        ("text/plain", "gzip"),
        (PROTOBUF, "identity"),
    ] {
        for flows in [10, 1_000, 100_000] {
            let mut client = Client::of(serve(flows));
            // What the server allocates once, and for a connection.
            client.scrape(format, encoding);
            let mut size = 0;
            let allocations = allocations(|| size = client.scrape(format, encoding));
            dhat::assert!(
                allocations <= EACH_SCRAPE + EACH_PIECE * size.div_ceil(PIECE),
                "{allocations} for {flows} flows in {size} bytes, {format}, {encoding}"
            );
        }
    }
}

/// Serves the metrics of this many flows, and returns the address.
fn serve(flows: u32) -> SocketAddr {
    let mut aggregator = aggregator(ListenPorts::Only(vec![37008]));
    let mut batch = aggregator.batch();
    for flow in 0..flows {
        let datagram = datagram(flow);
        batch.datagram(
            Duration::ZERO,
            Duration::ZERO,
            Ipv4Addr::LOCALHOST.into(),
            37008,
            &datagram,
        );
        if batch.is_full() {
            aggregator.record_batch(&mut batch);
        }
    }
    aggregator.record_batch(&mut batch);
    assert_eq!(aggregator.flows().occupancy().flows, flows as usize);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let pages = Arc::new(Metrics(Mutex::new(aggregator)));
    let (address, bound) = std::sync::mpsc::channel();
    // Serves until the process ends.
    thread::spawn(move || {
        runtime.block_on(async {
            let listen_address = ListenAddress {
                address: Some(Ipv4Addr::LOCALHOST.into()),
                port: 0,
            };
            let listener = listen_address.bind().unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let listeners = Listeners::new(vec![listener]);
            let configuration = Configuration::read(None).unwrap();
            http::serve(listeners, pages, configuration, 40, std::future::pending()).await;
        });
    });
    bound.recv().unwrap()
}

/// An open connection to a server. Reading from it allocates nothing.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn of(server: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(server).unwrap(),
            buffer: vec![0; 1 << 20],
        }
    }

    /// Requests the metrics, and returns the size of the response.
    fn scrape(&mut self, format: &str, encoding: &str) -> u64 {
        /// The end of a body that is sent in chunks.
        const END: &[u8] = b"\r\n0\r\n\r\n";

        let stream = &mut self.stream;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: ")
            .unwrap();
        stream.write_all(format.as_bytes()).unwrap();
        stream.write_all(b"\r\nAccept-Encoding: ").unwrap();
        stream.write_all(encoding.as_bytes()).unwrap();
        stream.write_all(b"\r\n\r\n").unwrap();
        let mut size = 0;
        // The last bytes of the response, at the start of the buffer.
        let mut kept = 0;
        while !self.buffer[..kept].ends_with(END) {
            let read = stream.read(&mut self.buffer[kept..]).unwrap();
            assert_ne!(read, 0, "the server closed the connection");
            size += read as u64;
            let end = kept + read;
            kept = end.min(END.len());
            self.buffer.copy_within(end - kept..end, 0);
        }
        size
    }
}
