//! The landing page in a real browser.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::jq;
use crate::browser::{Browser, Tab};
use crate::live::{DATAGRAM, send};
use crate::support::{Exporter, LaunchOptions, eventually, fake_tshark, testdata};
use crate::website::{HASH, Website};

/// A flow: from, to, protocol, bytes of each packet, packets.
type Load = (&'static str, &'static str, u8, u16, u32);

/// 8,890,000 bytes in 8,300 packets. The comments give the bytes of each flow and its share of the
/// sum.
const OFFICE: [Load; 9] = [
    ("142.250.74.110", "192.168.88.50", 6, 1400, 3000), // 4,200,000: 47.2 %
    ("151.101.1.140", "192.168.88.23", 17, 1250, 2000), // 2,500,000: 28.1 %
    ("192.168.88.51", "192.168.88.10", 6, 1000, 1200),  // 1,200,000: 13.5 %
    ("192.168.88.50", "203.0.113.80", 6, 1500, 400),    //   600,000:  6.7 %
    ("192.168.88.31", "198.51.100.7", 47, 600, 400),    //   240,000:  2.7 %
    ("192.168.88.50", "142.250.74.110", 6, 100, 1000),  //   100,000:  1.1 %
    ("192.168.88.53", "224.0.0.251", 17, 250, 100),     //    25,000:  0.3 %
    ("192.168.88.50", "192.168.88.1", 17, 150, 100),    //    15,000:  0.2 %
    ("192.168.88.50", "8.8.8.8", 1, 100, 100),          //    10,000:  0.1 %
];

/// A datagram as RouterOS sends it, cut after the inner IPv4 header, which states the full length.
fn datagram((from, to, protocol, bytes, _): Load) -> Vec<u8> {
    let mut datagram = DATAGRAM[..5 + 14].to_vec();
    let [high, low] = bytes.to_be_bytes();
    datagram.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0]);
    for address in [from, to] {
        datagram.extend(address.parse::<std::net::Ipv4Addr>().unwrap().octets());
    }
    datagram
}

#[track_caller]
pub(crate) fn load(exporter: &mut Exporter<'_>) {
    let port = exporter.udp_port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for load in OFFICE {
        let datagram = datagram(load);
        for _ in 0..load.4 {
            socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
        }
    }
    // A mirrored ARP request, and a keepalive.
    send(port, &[&DATAGRAM[..5 + 12], &[8, 6, 0, 1]].concat());
    send(port, &[1, 4, 0, 0]);
    exporter.scrape_until("all packets", |scrape| {
        scrape.value("tzsp_frames_received_total") == 8302.0
    });
}

fn text_of(browser: &mut Browser, tab: &Tab, selector: &str) -> String {
    let text = browser.evaluate(
        tab,
        &format!("document.querySelector('{selector}').innerText"),
    );
    text.as_str().unwrap().to_owned()
}

/// The content of the page. Waits for it, because without scripts the page reloads repeatedly.
pub(crate) fn shown(browser: &mut Browser, tab: &Tab) -> Value {
    // The rates are left out, because they depend on the time.
    let shown = "document.querySelector('footer') && [
        ...['state', 'received', 'skipped', 'dropped', 'flows'].map(
            name => document.getElementById(name).textContent),
        [...document.querySelectorAll('section:has(#window) tbody tr')].map(row =>
            [0, 1, 2, 4, 5, 6].map(cell => row.cells[cell].textContent).join(' '))]";
    eventually("the page", || {
        Some(browser.evaluate(tab, shown)).filter(|shown| !shown.is_null())
    })
}

const OFFICE_ROWS: [&str; 9] = [
    "142.250.74.110public 192.168.88.50private tcp 4.20 MB 3,000 47.2 %",
    "151.101.1.140public 192.168.88.23private udp 2.50 MB 2,000 28.1 %",
    "192.168.88.51private 192.168.88.10private tcp 1.20 MB 1,200 13.5 %",
    "192.168.88.50private 203.0.113.80reserved tcp 600.00 kB 400 6.7 %",
    "192.168.88.31private 198.51.100.7reserved gre 240.00 kB 400 2.7 %",
    "192.168.88.50private 142.250.74.110public tcp 100.00 kB 1,000 1.1 %",
    "192.168.88.53private 224.0.0.251multicast udp 25.00 kB 100 0.3 %",
    "192.168.88.50private 192.168.88.1private udp 15.00 kB 100 0.2 %",
    "192.168.88.50private 8.8.8.8public icmp 10.00 kB 100 0.1 %",
];

/// The expected content of the page, with this number of frames received and this first row.
fn office(received: &str, first: &str) -> Value {
    let rows = [&[first], &OFFICE_ROWS[1..]].concat();
    json!(["Receiving", received, "2", "0", "9 of 10,000", rows])
}

/// Checks that the page does not scroll sideways: no element reaches into the margin.
#[track_caller]
pub(crate) fn check_width(browser: &mut Browser, tab: &Tab, width: u32) {
    let widest = "[innerWidth, Math.max(...[...document.querySelectorAll('body *')].map(part =>
        part.getBoundingClientRect().right)) <= innerWidth - 16]";
    assert_eq!(browser.evaluate(tab, widest), json!([width, true]));
}

/// Saves screenshots in target/tmp.
#[test]
fn a_browser_shows_the_numbers_and_refreshes_them() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    load(&mut exporter);
    let mut browser = Browser::start();
    let wide = browser.tab(1100, 760);
    let plain = browser.tab(1100, 760);
    let off = json!({"value": true});
    browser.ask(&plain, "Emulation.setScriptExecutionDisabled", &off);
    let phone = browser.tab(360, 740);
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.ask(&phone, "Emulation.setEmulatedMedia", &dark);
    for (tab, name) in [(&wide, "wide"), (&plain, "plain"), (&phone, "phone")] {
        browser.open(tab, &exporter.url("/"));
        let expected = office("8,302", OFFICE_ROWS[0]);
        assert_eq!(shown(&mut browser, tab), expected, "{name}");
        check_width(&mut browser, tab, if name == "phone" { 360 } else { 1100 });
        let picture = browser.picture(tab);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("landing-{name}.png"));
        fs::write(path, picture).unwrap();
    }
    // After another packet of 1,400 bytes, the pages refresh on their own.
    let port = exporter.udp_port();
    send(port, &datagram(OFFICE[0]));
    for tab in [&plain, &phone, &wide] {
        // A page in the background does not refresh.
        browser.ask(tab, "Page.bringToFront", &json!({}));
        let first = "142.250.74.110public 192.168.88.50private tcp 4.20 MB 3,001 47.3 %";
        let expected = office("8,303", first);
        eventually("the new packet", || {
            (shown(&mut browser, tab) == expected).then_some(())
        });
    }
    let requests = browser.requests();
    let foreign: Vec<_> = requests
        .iter()
        .filter(|url| !url.starts_with(&exporter.url("/")))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(requests.len() > 8, "{requests:?}");
    assert_eq!(browser.console_messages(), Vec::<&Value>::new());

    exporter.signal(nix::sys::signal::Signal::SIGTERM);
    exporter.wait_for_exit();
    eventually("the word that all this is old", || {
        let stale = browser.evaluate(&wide, "!document.getElementById('stale').hidden");
        (stale == true).then_some(())
    });
    assert_eq!(text_of(&mut browser, &wide, "#received"), "8,303");
}

/// Sends 200 frames, among them this many that are not TZSP and this many with IPv6.
#[track_caller]
fn load_with_skipped(exporter: &mut Exporter<'_>, not_tzsp: usize, ipv6: usize) {
    let port = exporter.udp_port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sixth = DATAGRAM[..5 + 12].to_vec();
    sixth.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64]);
    sixth.extend([0; 32]);
    let arp = [&DATAGRAM[..5 + 12], &[8, 6, 0, 1]].concat();
    let skipped = [vec![&b"hello"[..]; not_tzsp], vec![&sixth[..]; ipv6]].concat();
    // Frames that are skipped in normal operation cause no warning, however many there are.
    let ordinary = [vec![&arp[..]; 50], vec![&[1, 4, 0, 0][..]; 50]].concat();
    let counted = vec![&DATAGRAM[..]; 100 - skipped.len()];
    for datagram in [skipped, ordinary, counted].concat() {
        socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
    }
    exporter.scrape_until("all packets", |scrape| {
        scrape.value("tzsp_frames_received_total") == 200.0
    });
}

/// The heading, its colour, and the warnings below it.
fn health(browser: &mut Browser, tab: &Tab) -> Value {
    let health = "[
        document.getElementById('state').textContent,
        getComputedStyle(document.getElementById('state')).color,
        [...document.querySelectorAll('.state .warning')].map(hint => hint.textContent)]";
    browser.evaluate(tab, health)
}

const AMBER: &str = "rgb(180, 83, 9)";

const GREEN: &str = "rgb(21, 128, 61)";

#[test]
fn the_page_explains_skipped_frames_and_turns_amber() {
    let ipv6 = "of the frames of the last minute are skipped as inner_ipv6: a mirrored IPv6 packet, \
                without --ipv6. Remedy: count IPv6 too: start with --ipv6.";
    let not_tzsp = "4.0 % of the frames of the last minute are skipped as not_tzsp: an empty \
                    datagram, or one that is not TZSP version 1. Remedy: find out who sends it, and \
                    let only the routers send to this port.";
    let mut browser = Browser::start();
    let tab = browser.tab(800, 600);
    for (counts, expected) in [
        // 1.0 % of IPv6 and 4 % of other frames cause no warning.
        ((8, 2), json!(["Receiving", GREEN, []])),
        // 1.5 % of IPv6 cause one.
        (
            (0, 3),
            json!(["Receiving", GREEN, [format!("1.5 % {ipv6}")]]),
        ),
        (
            (0, 10),
            json!(["Receiving", GREEN, [format!("5.0 % {ipv6}")]]),
        ),
        (
            (8, 3),
            json!([
                "Receiving, but 5.5 % of the frames are skipped",
                AMBER,
                [not_tzsp, format!("1.5 % {ipv6}")]
            ]),
        ),
    ] {
        let mut exporter = Exporter::start(&["--listen-port", "0"]);
        load_with_skipped(&mut exporter, counts.0, counts.1);
        browser.open(&tab, &exporter.url("/"));
        assert_eq!(health(&mut browser, &tab), expected, "{counts:?}");
    }
}

/// Long addresses, all labels, and names of a network and of a host of the greatest length.
#[test]
fn no_label_makes_the_page_scroll_sideways() {
    let long = "n".repeat(64);
    let host = "h".repeat(253);
    let names = TempDir::new().unwrap();
    let hosts = names.path().join("hosts");
    let line = format!("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff02 {host}\n");
    fs::write(&hosts, line).unwrap();
    let mut exporter = Exporter::start(&[
        "--listen-port",
        "0",
        "--ipv6",
        "--network",
        &format!("{long}=2001:db8::/32"),
        "--hosts",
        &format!("private,{long}"),
        "--names",
        &format!("hosts={}", hosts.display()),
        "--labels",
        "from,from_type,to,to_type,protocol,listen_port,sensor,from_port,to_port,vlan,dscp,\
         ip_version",
    ]);
    let port = exporter.udp_port();
    let mut sixth = [
        &DATAGRAM[..5 + 12],
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64],
    ]
    .concat();
    for end in [1, 2] {
        sixth.extend([0x20, 0x01, 0x0d, 0xb8, 0xaa, 0xaa, 0xbb, 0xbb]);
        sixth.extend([0xcc, 0xcc, 0xdd, 0xdd, 0xee, 0xee, 0xff, end]);
    }
    sixth.extend(&DATAGRAM[5 + 14 + 20..]);
    send(port, &sixth);
    send(port, &DATAGRAM);
    exporter.scrape_until("two flows", |scrape| scrape.value("tzsp_flows") == 2.0);
    let mut browser = Browser::start();
    for width in [320, 390, 700, 960, 1100] {
        let tab = browser.tab(width, 700);
        browser.open(&tab, &exporter.url("/"));
        let text = text_of(&mut browser, &tab, "main");
        let address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff02";
        for part in [address, &long, &host, "54321"] {
            assert!(text.contains(part), "{text}");
        }
        check_width(&mut browser, &tab, width);
    }
    assert_eq!(browser.console_messages(), Vec::<&Value>::new());
}

#[test]
fn the_page_refreshes_with_a_password_in_its_url() {
    let site = Website::new(&format!("basic_auth_users: {{alice: {HASH}}}"));
    let mut exporter = site.start(&[]);
    let mut browser = Browser::start();
    let tab = browser.tab(800, 600);
    let url = format!("http://alice:secret@localhost:{}/", exporter.port);
    browser.open(&tab, &url);
    assert_eq!(
        text_of(&mut browser, &tab, "#state"),
        "Waiting: nothing has arrived yet"
    );
    let port = exporter.udp_port();
    send(port, &DATAGRAM);
    eventually("the packet", || {
        (text_of(&mut browser, &tab, "#received") == "1").then_some(())
    });
    assert_eq!(browser.console_messages(), Vec::<&Value>::new());
}

#[test]
fn page_responses_have_a_content_type_and_a_strict_policy() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    for (path, content_type, cache) in [
        ("/", "text/html; charset=utf-8", "no-store"),
        ("/api/hosts", "application/json", "no-store"),
        ("/api/flows", "application/json", "no-store"),
        ("/app.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/style.css", "text/css; charset=utf-8", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
    ] {
        let url = exporter.url(path);
        for response in [ureq::get(&url).call(), ureq::head(&url).call()] {
            let response = response.unwrap();
            assert_eq!(response.headers()["content-type"], content_type);
            assert_eq!(response.headers()["cache-control"], cache);
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
        let put = Command::new("curl")
            .args(["--silent", "--include", "--request", "PUT", &url])
            .output()
            .unwrap();
        let put = String::from_utf8(put.stdout).unwrap();
        assert!(
            put.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
            "{put}"
        );
    }
    let response = ureq::get(exporter.url("/")).call().unwrap();
    assert_eq!(
        response.headers()["content-security-policy"],
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
}

#[test]
fn page_and_api_require_the_password() {
    let site = Website::new(&format!("basic_auth_users: {{alice: {HASH}}}"));
    let exporter = site.start(&[]);
    for path in [
        "/",
        "/api/hosts",
        "/api/flows",
        "/api/flows?top=x",
        "/app.js",
        "/style.css",
        "/icon.svg",
    ] {
        let url = exporter.url(path);
        let status = |arguments: &[&str]| site.curl_url(&url, arguments).status;
        assert_eq!(status(&[]), 401, "{path}");
        assert_eq!(status(&["--user", "alice:wrong"]), 401, "{path}");
        let expected = if path.ends_with('x') { 400 } else { 200 };
        assert_eq!(status(&["--user", "alice:secret"]), expected, "{path}");
    }
}

/// The name of an interface is the only text of the page that does not come from the program.
#[test]
fn html_in_an_interface_name_is_escaped() {
    let tools = fake_tshark("cat capture; exec sleep 60");
    let capture = testdata().join("pcapng_little_endian.pcapng");
    fs::copy(capture, tools.path().join("capture")).unwrap();
    let name = "<img src=x onerror=alert(1)>";
    let launch = LaunchOptions {
        tools: Some(tools.path()),
        ..LaunchOptions::default()
    };
    let arguments = ["--interface", name, "--listen-port", "37008"];
    let exporter = Exporter::start_with(&launch, &arguments);
    let page = exporter.get("/").1;
    assert!(!page.contains("<img"), "{page}");
    let escaped = "on &lt;img src=x onerror=alert(1)&gt; through tshark";
    assert!(page.contains(escaped), "{page}");
    let source = jq(&exporter, "/api/flows", ".capture.source");
    let expected = format!("capturing TZSP to UDP port 37008 on {name} through tshark");
    assert_eq!(source, json!(expected));
}
