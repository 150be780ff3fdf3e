//! Scrapes of many flows: clients that read them slowly or not at all, and how many run at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::{connect, refused};
use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, eventually, fake_tshark, tool};

/// Starts an exporter with 40,000 flows. A scrape of it has some 12 MB, more than socket buffers
/// hold, so a client that does not read stalls its response.
pub(crate) fn exporter_with_many_flows(
    arguments: &[&str],
) -> (tempfile::TempDir, Exporter<'static>) {
    wrapped_exporter_with_many_flows(&[], arguments)
}

/// The same, started through a wrapper command.
fn wrapped_exporter_with_many_flows(
    wrapper: &[&str],
    arguments: &[&str],
) -> (tempfile::TempDir, Exporter<'static>) {
    let (tools, exporter) = start_with_many_flows(wrapper, arguments);
    exporter.scrape_until("all flows", |scrape| scrape.value("tzsp_flows") == 40_000.0);
    (tools, exporter)
}

/// The same, without waiting for the flows: 40,000 packets that count, one in each flow.
fn start_with_many_flows(
    wrapper: &[&str],
    arguments: &[&str],
) -> (tempfile::TempDir, Exporter<'static>) {
    let tools = fake_tshark("cat load; exec sleep 60");
    let load = tools.path().join("load");
    let generate = [
        "xtask",
        "generate",
        load.to_str().unwrap(),
        "--format",
        "pcapng",
    ];
    let size = ["--packets", "40000", "--flows", "40000", "--snaplen", "128"];
    tool(Command::new(env!("CARGO")).args(generate).args(size));
    let launch = LaunchOptions {
        tools: Some(tools.path()),
        wrapper,
        ..LaunchOptions::default()
    };
    let own = [
        "--interface",
        "eth0",
        "--listen-port",
        "37008",
        "--max-flows",
        "50000",
    ];
    let exporter = Exporter::start_with(&launch, &[&own, arguments].concat());
    (tools, exporter)
}

fn ask_for_metrics(exporter: &Exporter<'_>) -> TcpStream {
    let mut stream = connect(exporter);
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream
}

#[test]
fn stalled_scrapes_are_evicted_for_new_ones() {
    let (_tools, exporter) = exporter_with_many_flows(&["--web.max-requests", "3"]);
    let stalled: Vec<_> = (0..3).map(|_| ask_for_metrics(&exporter)).collect();
    eventually("a scrape of one's own", || {
        (exporter.get("/metrics").0 == 200).then_some(())
    });
    eventually("an evicted scrape", || {
        let (status, body) = exporter.get("/metrics");
        (status == 200)
            .then(|| Scrape::parse(&body))
            .filter(|scrape| refused(scrape, "slow_response") >= 1.0)
    });
    drop(stalled);
}

#[test]
fn flows_stay_when_the_scrape_that_shows_them_is_aborted() {
    const IDLE: Duration = Duration::from_secs(1);

    let (_tools, exporter) = start_with_many_flows(&[], &["--flow-idle-timeout", "1s"]);
    eventually("all packets", || {
        // The API is not a scrape: flows that only it has shown do not become idle.
        let (_, overview) = exporter.get("/api/flows");
        overview.contains("\"counted\": 40000,").then_some(())
    });
    let idle_from = Instant::now();
    while idle_from.elapsed() <= 2 * IDLE {
        let mut client = ask_for_metrics(&exporter);
        client.read_exact(&mut [0; 1024]).unwrap();
        // Closing with unread data makes this a reset.
        drop(client);
    }
    assert_eq!(exporter.scrape().value("tzsp_flows"), 40_000.0);
    // Only the completed scrape has shown the flows, so now the idle ones are removed.
    assert_eq!(exporter.scrape().value("tzsp_flows"), 0.0);
}

#[test]
fn memory_limits_the_number_of_concurrent_scrapes() {
    let never_idle = ["--flow-idle-timeout", "0"];
    let (_tools, mut exporter) =
        wrapped_exporter_with_many_flows(&["prlimit", "--data=73400320"], &never_idle);
    // Of 70 MiB, 32 MiB, 50,000 * 128 bytes and 1000 * 736 bytes for hosts are reserved. The rest is
    // enough for three scrapes of 4 MiB, 50,000 * 120 bytes and 1000 * 640 bytes each.
    exporter.wait_for_line(
        "answering at most 3 concurrent scrapes instead of 40: ulimit -d allows 70 MiB",
    );
    let stalled: Vec<_> = (0..40).map(|_| ask_for_metrics(&exporter)).collect();
    let scrape = eventually("a scrape", || {
        let (status, body) = exporter.get("/metrics");
        (status == 200).then(|| Scrape::parse(&body))
    });
    assert!(refused(&scrape, "max_requests") >= 1.0);
    drop(stalled);
}

#[test]
fn scrapes_beyond_the_limit_are_refused_and_counted() {
    let (_tools, exporter) = exporter_with_many_flows(&["--web.max-requests", "1"]);
    let mut busy = ask_for_metrics(&exporter);
    // This client reads slowly but steadily, so it must not be evicted.
    let refusal = loop {
        let mut piece = [0; 16 * 1024];
        let size = busy.read(&mut piece).unwrap();
        let text = String::from_utf8_lossy(&piece[..size]);
        assert!(
            !text.ends_with("0\r\n\r\n"),
            "the response ended before a client was refused"
        );
        let (status, body) = exporter.get("/metrics");
        if status == 503 {
            break body;
        }
    };
    assert_eq!(
        refusal,
        "Too many concurrent scrapes: the limit is --web.max-requests. Try again later.\n"
    );
    // Other pages do not count as scrapes.
    assert_eq!(exporter.get("/-/healthy").0, 200);
    drop(busy);
    eventually("a scrape", || {
        let (status, body) = exporter.get("/metrics");
        let scrape = (status == 200).then(|| Scrape::parse(&body))?;
        (refused(&scrape, "max_requests") >= 1.0).then_some(())
    });
}
