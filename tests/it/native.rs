//! Packet sockets on real interfaces of the tests' own hosts, for what they alone do.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::captures::hand_worked;
use crate::live::DATAGRAM;
use crate::namespace::{COLLECTOR_LINK, Network, SENSOR_LINK};
use crate::network::{PORT, capture, frames_of, received, stream, wait_for};
use crate::support::{Exporter, Place, program, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tzsp_packetstream_exporter");

#[track_caller]
fn native<'a>(network: &'a Network, arguments: &[&str]) -> Exporter<'a> {
    capture(
        network,
        &[],
        &[&["--capture", "native"], arguments].concat(),
    )
}

#[track_caller]
fn native_on_cable(network: &Network) -> Exporter<'_> {
    native(network, &["--interface", COLLECTOR_LINK])
}

/// Every shape of outer packet, as testdata/README.md has it. Frames that are no stream stay out.
const OUTER: [&str; 22] = [
    "routeros_ephemeral_source_port.pcap",
    "routeros_source_port_equals_destination_port.pcap",
    "vlan_tags_of_each_type_outside.pcap",
    "vlan_stack_of_two_outside.pcap",
    "vlan_stack_of_five_outside.pcap",
    "vlan_tag_around_ipv6_outside.pcap",
    "ethernet_padding_outside.pcap",
    "ipv4_options_outside.pcap",
    "ipv4_flag_dont_fragment_outside.pcap",
    "ipv4_total_length_zero_outside.pcap",
    "lone_first_fragment.pcap",
    "lone_first_fragment_of_a_jumbo_packet.pcap",
    "datagram_in_two_fragments.pcap",
    "datagram_in_three_fragments_out_of_order.pcap",
    "first_fragment_with_the_inner_packet_whole.pcap",
    "later_fragment_like_a_datagram.pcap",
    "ipv6_outside.pcap",
    "ipv6_extension_headers_outside.pcap",
    "ipv6_fragments_outside.pcap",
    "ipv6_without_udp.pcap",
    "not_udp.pcap",
    "udp_checksum_wrong.pcap",
];

#[test]
fn every_shape_of_outer_packet_is_counted() {
    let network = Network::new();
    // The filter reaches whatever arrives on the cable.
    let exporter = native_on_cable(&network);
    let table = hand_worked();
    let (mut packets, mut bytes) = (0.0, 0.0);
    for capture in OUTER {
        let [of_packets, of_bytes, ..] = &table[capture];
        packets += of_packets.parse::<f64>().unwrap();
        bytes += of_bytes.parse::<f64>().unwrap();
    }
    network.sensor.send_frames(SENSOR_LINK, &frames_of(&OUTER));
    let scrape = exporter.scrape_until("all streams", |scrape| {
        scrape.sum("tzsp_observed_packets_total") >= packets
    });
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), packets);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), bytes);
    // A keepalive is for the port as well; nothing else gets past the filter.
    assert_eq!(received(&scrape), packets + 1.0);
}

/// Puts something between the Ethernet addresses and the IP packet of a frame.
fn under(frame: &[u8], headers: &[u8]) -> Vec<u8> {
    [&frame[..12], headers, &frame[14..]].concat()
}

#[test]
fn streams_under_pppoe_and_any_tags_are_counted() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    let frame = &frames_of(&["vlan_tags_of_each_type_outside.pcap"])[0];
    // Without its tag.
    let frame = [&frame[..12], &frame[16..]].concat();
    let length = u8::try_from(frame.len() - 14 + 2).unwrap();
    let session = [0x88, 0x64, 0x11, 0, 0, 7, 0, length, 0, 0x21];
    let compressed = [0x88, 0x64, 0x11, 0, 0, 7, 0, length - 1, 0x21];
    let frames = [
        frame.clone(),
        // A priority tag.
        under(&frame, &[0x81, 0, 0xa0, 0, 8, 0]),
        under(&frame, &session),
        under(&frame, &compressed),
        under(&frame, &[&[0x81, 0, 0, 5], &session[..]].concat()),
        under(
            &frame,
            &[&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], &session[..]].concat(),
        ),
        // Inner tags that look like the beginning of IPv4 and of PPPoE.
        under(&frame, &[0x88, 0xa8, 0, 5, 0x81, 0, 0x45, 5, 8, 0]),
        under(
            &frame,
            &[&[0x88, 0xa8, 0, 5, 0x81, 0, 0x11, 0], &session[..]].concat(),
        ),
        // Tags that Linux does not know.
        under(&frame, &[0x91, 0, 0, 5, 0x92, 0, 0, 6, 8, 0]),
        under(&frame, &[0x81, 0, 0, 5, 0x91, 0, 0, 6, 8, 0]),
    ];
    network.sensor.send_frames(SENSOR_LINK, &frames);
    let scrape = wait_for(&exporter, 10.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 10.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 520.0);
}

#[test]
fn what_this_host_sends_to_itself_counts_once() {
    for interface in ["lo", "any"] {
        let network = Network::new();
        let exporter = native(&network, &["--interface", interface]);
        network.collector.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..10 {
                socket
                    .send_to(&DATAGRAM, (Ipv4Addr::LOCALHOST, PORT))
                    .unwrap();
            }
        });
        stream(&network, 5);
        let others = if interface == "any" { 5.0 } else { 0.0 };
        exporter.signal(Signal::SIGTERM);
        let (_, said) = exporter.ended();
        assert!(
            said.contains(&format!("stopped frames={} ", 10.0 + others)),
            "{said}"
        );
    }
}

#[test]
fn a_burst_beyond_the_capture_buffer_is_counted_as_received_or_dropped() {
    const SENT: u32 = 20_000;

    let network = Network::new();
    let exporter = native(
        &network,
        &["--interface", COLLECTOR_LINK, "--capture-buffer", "1"],
    );
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(1000, 0);
    let burst = || {
        // While it is stopped, nothing leaves the buffer.
        exporter.signal(Signal::SIGSTOP);
        network.sensor.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..SENT {
                socket
                    .send_to(&datagram, (crate::namespace::COLLECTOR, PORT))
                    .unwrap();
            }
        });
        exporter.signal(Signal::SIGCONT);
    };
    burst();
    let all_of = |sent: u32| {
        exporter.scrape_until("all that was sent", |scrape| {
            received(scrape) + scrape.value("tzsp_capture_dropped_total") == f64::from(sent)
        })
    };
    let scrape = all_of(SENT);
    assert!(scrape.value("tzsp_capture_dropped_total") > 0.0);
    assert!(received(&scrape) > 0.0);

    // Another run of the capture adds to it.
    network.pull_out();
    exporter.scrape_until("the capture is down", |scrape| {
        scrape.value("tzsp_capture_up") == 0.0
    });
    network.plug_in();
    exporter.scrape_until("the next capture", |scrape| {
        scrape.value("tzsp_capture_iterations_total") == 2.0
    });
    burst();
    let scrape = all_of(2 * SENT);

    exporter.signal(Signal::SIGTERM);
    let (_, said) = exporter.ended();
    let dropped = scrape.value("tzsp_capture_dropped_total");
    assert!(said.contains(&format!("dropped={dropped} ")), "{said}");
}

#[test]
fn what_is_in_the_socket_at_the_end_is_counted() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    exporter.signal(Signal::SIGSTOP);
    stream(&network, 3000);
    exporter.signal(Signal::SIGTERM);
    exporter.signal(Signal::SIGCONT);
    let (status, said) = exporter.ended();
    assert!(status.success(), "{said}");
    assert!(said.contains("stopped frames=3000 counted=3000 "), "{said}");
}

#[test]
fn an_interface_that_goes_down_and_up_loses_nothing_that_it_received() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    stream(&network, 10);
    wait_for(&exporter, 10.0);
    network
        .collector
        .ip(&["link", "set", COLLECTOR_LINK, "down"]);
    network.collector.ip(&["link", "set", COLLECTOR_LINK, "up"]);
    stream(&network, 10);
    let scrape = wait_for(&exporter, 20.0);
    assert_eq!(scrape.value("tzsp_capture_iterations_total"), 1.0);
}

#[test]
fn an_interface_of_the_same_name_is_another_one() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    // It is down when it goes, so the kernel does not tell.
    network
        .collector
        .ip(&["link", "set", COLLECTOR_LINK, "down"]);
    network.pull_out();
    network.plug_in();
    exporter.scrape_until("the next capture", |scrape| {
        scrape.value("tzsp_capture_iterations_total") == 2.0
            && scrape.value("tzsp_capture_up") == 1.0
    });
    stream(&network, 10);
    wait_for(&exporter, 10.0);
}

/// Packets of IP are put into a tun by perl, which every Debian has.
#[test]
fn interfaces_without_a_hardware_address_work() {
    let network = Network::new();
    network
        .collector
        .ip(&["tuntap", "add", "tun0", "mode", "tun"]);
    network.collector.ip(&["link", "set", "tun0", "up"]);
    let exporter = native(&network, &["--interface", "tun0"]);
    let frame = &frames_of(&["routeros_ephemeral_source_port.pcap"])[0];
    let packet: Vec<_> = frame[14..].iter().map(u8::to_string).collect();
    // TUNSETIFF, with IFF_TUN and IFF_NO_PI.
    let script = "open(my $tun, '+<', '/dev/net/tun') or die $!;\
                  my $request = pack('a16 s x22', 'tun0', 0x1001);\
                  ioctl($tun, 0x400454ca, $request) or die $!;\
                  for (1..3) { syswrite($tun, pack('C*', @ARGV)) or die $!; }";
    let inject = || {
        network
            .collector
            .run(|| tool(Command::new("perl").args(["-e", script]).args(&packet)))
    };
    inject();
    // Also seen by a socket for all interfaces, but by this one only through its filter.
    stream(&network, 10);
    let scrape = wait_for(&exporter, 3.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 3.0);

    // Nothing but a look from time to time tells that it is gone.
    network.collector.ip(&["link", "delete", "tun0"]);
    exporter.scrape_until("the capture is down", |scrape| {
        scrape.value("tzsp_capture_up") == 0.0
    });
    network
        .collector
        .ip(&["tuntap", "add", "tun0", "mode", "tun"]);
    network.collector.ip(&["link", "set", "tun0", "up"]);
    exporter.scrape_until("the next capture", |scrape| {
        scrape.value("tzsp_capture_up") == 1.0
    });
    inject();
    wait_for(&exporter, 6.0);
}

/// An ordinary user with one right.
const WITH_NET_RAW: [&str; 8] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all,+net_raw",
    "--ambient-caps=-all,+net_raw",
    "--bounding-set=-all,+net_raw",
    "--no-new-privs",
];

#[test]
fn one_capability_is_enough() {
    let network = Network::new();
    let arguments = [
        "--capture",
        "native",
        "--interface",
        COLLECTOR_LINK,
        "--promiscuous",
        "--capture-buffer",
        "2047",
    ];
    let mut exporter = capture(&network, &WITH_NET_RAW, &arguments);
    let line = exporter.line_with("the capture buffer of cable0 has");
    assert!(
        line.contains("sysctl -w net.core.rmem_max=2146435072"),
        "{line}"
    );
    stream(&network, 100);
    let scrape = wait_for(&exporter, 100.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 4000.0);
}

#[test]
fn without_the_capability_one_message_begins_with_the_remedy() {
    let output = Command::new(PROGRAM)
        .args([
            "--interface",
            "lo",
            "--capture",
            "native",
            "--listen-port",
            "9",
        ])
        .args(["--publish-port", "0", "--log-level", "error"])
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r#"error: cannot capture: run as root, or allow the program to capture: setcap cap_net_raw+ep "$(command -v tzsp_packetstream_exporter)", or in systemd AmbientCapabilities=CAP_NET_RAW: Operation not permitted (os error 1)"#);
}

#[test]
fn an_unknown_interface_is_an_error_that_lists_the_known_ones() {
    let network = Network::new();
    let said = network.collector.run(|| {
        let run = program()
            .args(["--interface", "nope0", "--capture", "native"])
            .args(["--log-level", "error"])
            .assert()
            .code(1);
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    });
    insta::assert_snapshot!(said, @r#"error: cannot capture: there is no interface "nope0"; --interface takes one of these: lo, cable0, any"#);
}

#[test]
fn two_names_of_one_interface_are_refused() {
    let network = Network::new();
    let alternative = [
        "link",
        "property",
        "add",
        "dev",
        COLLECTOR_LINK,
        "altname",
        "lan",
    ];
    network.collector.ip(&alternative);
    let said = network.collector.run(|| {
        let run = program()
            .args(["--interface", COLLECTOR_LINK, "--interface", "lan"])
            .args(["--capture", "native", "--log-level", "error"])
            .assert()
            .code(1);
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    });
    insta::assert_snapshot!(said, @"error: cannot capture: cable0 and lan are the same interface, so everything would count twice");
}

#[test]
fn without_tshark_the_capture_is_native_and_says_why() {
    let network = Network::new();
    let nothing = TempDir::new().unwrap();
    let place = Place {
        host: Some(&network.collector),
        environment: &[("PATH", nothing.path().to_str().unwrap())],
        ..Place::default()
    };
    let mut exporter = Exporter::start_at(&place, &["--interface", COLLECTOR_LINK]);
    let line = exporter.line_with("use --capture to choose");
    assert!(
        line.contains("capturing through packet sockets, because tshark is not installed;"),
        "{line}"
    );
    exporter.line_with("capturing on cable0");
    stream(&network, 10);
    wait_for(&exporter, 10.0);
    drop(exporter);

    let place = Place {
        host: Some(&network.collector),
        ..Place::default()
    };
    let mut exporter = Exporter::start_at(&place, &["--interface", COLLECTOR_LINK]);
    let line = exporter.line_with("use --capture to choose");
    assert!(
        line.contains("capturing through tshark, because /"),
        "{line}"
    );
    assert!(line.contains("tshark is installed;"), "{line}");
}

#[test]
fn without_any_option_datagrams_to_37008_are_received() {
    let network = Network::new();
    let place = Place {
        host: Some(&network.collector),
        ..Place::default()
    };
    let mut exporter = Exporter::start_at(&place, &[]);
    assert_eq!(exporter.udp_port(), PORT);
    stream(&network, 10);
    wait_for(&exporter, 10.0);
}

#[test]
fn ports_may_be_given_as_a_list() {
    let network = Network::new();
    let arguments = [
        "--interface",
        COLLECTOR_LINK,
        "--listen-port",
        "9,37008",
        "--port",
        "10",
    ];
    let exporter = native(&network, &arguments);
    stream(&network, 10);
    let scrape = wait_for(&exporter, 10.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 10.0);
}

#[test]
fn the_snap_length_cuts_and_the_cause_is_told() {
    let network = Network::new();
    let exporter = native(
        &network,
        &["--interface", COLLECTOR_LINK, "--snaplen", "96"],
    );
    // The inner packet has 981 bytes, all of which were sent.
    let mut datagram = DATAGRAM.to_vec();
    datagram.resize(1000, 0);
    datagram[21..23].copy_from_slice(&981_u16.to_be_bytes());
    let send = |datagram: &[u8]| {
        network.sensor.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket
                .send_to(datagram, (crate::namespace::COLLECTOR, PORT))
                .unwrap();
        });
    };
    send(&datagram);
    // And one that claims a byte more than there is.
    datagram[21..23].copy_from_slice(&982_u16.to_be_bytes());
    send(&datagram);
    let scrape = wait_for(&exporter, 2.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 981.0 + 982.0);
    let truncated =
        |cause| scrape.value(&format!("tzsp_frames_truncated_total{{cause=\"{cause}\"}}"));
    assert_eq!(truncated("snaplen"), 1.0);
    assert_eq!(truncated("sensor"), 1.0);
}

#[test]
fn a_sensor_that_mirrors_its_own_stream_is_named() {
    let network = Network::new();
    let mut exporter = native_on_cable(&network);
    let mut own = DATAGRAM;
    own[5 + 14 + 9] = 17;
    own[5 + 14 + 20 + 2..][..2].copy_from_slice(&PORT.to_be_bytes());
    network.sensor.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .send_to(&own, (crate::namespace::COLLECTOR, PORT))
            .unwrap();
    });
    exporter.line_with(" WARN the sensor 192.0.2.2 mirrors its own stream");
    assert_eq!(exporter.scrape().value("tzsp_self_captured_total"), 1.0);
}

#[test]
fn an_interface_is_promiscuous_only_if_asked_and_while_it_is_captured() {
    let network = Network::new();
    let is_promiscuous = || {
        let shown = network
            .collector
            .run(|| tool(Command::new("ip").args(["-details", "link", "show", COLLECTOR_LINK])));
        !shown.contains("promiscuity 0 ")
    };
    let exporter = native_on_cable(&network);
    assert!(!is_promiscuous());
    drop(exporter);
    let exporter = native(&network, &["--interface", COLLECTOR_LINK, "--promiscuous"]);
    assert!(is_promiscuous());
    // A stream to another host.
    let mut frame = frames_of(&["routeros_ephemeral_source_port.pcap"])[0].clone();
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    network.sensor.send_frames(SENSOR_LINK, &[frame]);
    wait_for(&exporter, 1.0);
    exporter.signal(Signal::SIGTERM);
    exporter.ended();
    assert!(!is_promiscuous());
}
