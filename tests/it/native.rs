//! `--capture native` on the interfaces of virtual hosts: behaviour specific to packet sockets.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::captures::expected_by_hand;
use crate::live::DATAGRAM;
use crate::namespace::{COLLECTOR_LINK, Network, SENSOR_LINK};
use crate::network::{PORT, capture, frames_of, received, stream, wait_for};
use crate::support::{Exporter, tool};

#[track_caller]
pub(crate) fn native<'a>(network: &'a Network, arguments: &[&str]) -> Exporter<'a> {
    capture(
        network,
        &[],
        &[&["--capture", "native"], arguments].concat(),
    )
}

#[track_caller]
pub(crate) fn native_on_cable(network: &Network) -> Exporter<'_> {
    native(network, &["--interface", COLLECTOR_LINK])
}

/// The captures of testdata/README.md that cover every form of outer packet, without those whose
/// frames are not TZSP.
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
    // On the cable itself, every form of outer packet passes the filter.
    let exporter = native_on_cable(&network);
    let table = expected_by_hand();
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
    // A keepalive goes to the port as well. Nothing else passes the filter.
    assert_eq!(received(&scrape), packets + 1.0);
}

/// Inserts headers between the Ethernet addresses and the IP packet of a frame.
fn under(frame: &[u8], headers: &[u8]) -> Vec<u8> {
    [&frame[..12], headers, &frame[14..]].concat()
}

#[test]
fn streams_under_pppoe_and_any_tags_are_counted() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    let frame = &frames_of(&["vlan_tags_of_each_type_outside.pcap"])[0];
    // The frame without its VLAN tag.
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
        // Inner tags whose bytes look like the beginning of IPv4 and of PPPoE.
        under(&frame, &[0x88, 0xa8, 0, 5, 0x81, 0, 0x45, 5, 8, 0]),
        under(
            &frame,
            &[&[0x88, 0xa8, 0, 5, 0x81, 0, 0x11, 0], &session[..]].concat(),
        ),
        // Tags that Linux does not recognise as VLAN tags.
        under(&frame, &[0x91, 0, 0, 5, 0x92, 0, 0, 6, 8, 0]),
        under(&frame, &[0x81, 0, 0, 5, 0x91, 0, 0, 6, 8, 0]),
    ];
    network.sensor.send_frames(SENSOR_LINK, &frames);
    let scrape = wait_for(&exporter, 10.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 10.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 520.0);
}

#[test]
fn loopback_traffic_counts_once() {
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
        let (_, log) = exporter.wait_for_exit();
        assert!(
            log.contains(&format!("stopped frames={} ", 10.0 + others)),
            "{log}"
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
        // While the exporter is stopped, nothing leaves the buffer.
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

    // The drops of the next capture are added to the same counter.
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
    let (_, log) = exporter.wait_for_exit();
    let dropped = scrape.value("tzsp_capture_dropped_total");
    assert!(log.contains(&format!("dropped={dropped} ")), "{log}");
}

#[test]
fn packets_in_the_socket_at_shutdown_are_counted() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    exporter.signal(Signal::SIGSTOP);
    stream(&network, 3000);
    exporter.signal(Signal::SIGTERM);
    exporter.signal(Signal::SIGCONT);
    let (status, log) = exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped frames=3000 counted=3000 "), "{log}");
}

#[test]
fn packets_before_and_after_a_link_down_are_counted() {
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
fn a_recreated_interface_is_captured_again() {
    let network = Network::new();
    let exporter = native_on_cable(&network);
    // The interface is down when it is removed, so the kernel reports no error on the socket.
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

/// IP packets are written into a tun device with perl, which every Debian has.
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
    // The ioctl TUNSETIFF with IFF_TUN and IFF_NO_PI.
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
    // These arrive on another interface, so a socket bound to tun0 must not see them.
    stream(&network, 10);
    let scrape = wait_for(&exporter, 3.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 3.0);

    // The exporter notices only by polling that the interface has been removed.
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
fn frames_cut_by_the_snap_length_and_by_the_sensor_are_counted_apart() {
    let network = Network::new();
    let exporter = native(
        &network,
        &["--interface", COLLECTOR_LINK, "--snaplen", "96"],
    );
    // The inner packet has 981 bytes, and the sensor sends all of them: the snap length cuts it.
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
    // This packet claims one byte more than the sensor sends: the sensor has cut it.
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
    exporter.wait_for_line(" WARN the sensor 192.0.2.2 mirrors its own stream");
    assert_eq!(exporter.scrape().value("tzsp_self_captured_total"), 1.0);
}
