//! Compares the decoder with tshark, frame by frame, over all captures.

use std::path::{Path, PathBuf};
use std::process::Command;

use tzsp_packetstream_exporter::capture::CaptureReader;
use tzsp_packetstream_exporter::wire::{self, DecodeOptions, ListenPorts, Observation, Skipped};

use crate::support::{captures, file_name, tool};

/// The innermost IPv4 header after a TZSP header, as tshark decodes it.
#[derive(Debug, PartialEq)]
pub(crate) struct TsharkPacket {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) protocol: u8,
    pub(crate) bytes: u64,
    pub(crate) port: u16,
}

/// Captures for which the program differs from tshark on purpose, with the reason. The test fails
/// on any other difference, and on an entry without a difference.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    (
        "--plain ipv4_options_cut_outside.pcap",
        "tshark shows no addresses of a header whose options are cut; 20 bytes are enough for us",
    ),
    (
        "--plain pcapng_blocks_between_packets.pcapng",
        "tshark counts custom blocks as frames",
    ),
    (
        "first_fragment_with_total_length_zero_inside.pcap",
        "tshark replaces a total length of 0 by what is there, we by what the UDP header claims",
    ),
    (
        "ipv4_options_cut_away_inside.pcap",
        "tshark shows no header whose options are cut; 20 bytes are enough for us",
    ),
    (
        "ipv4_total_length_zero_outside.pcap",
        "tshark refuses a UDP length of 0",
    ),
    ("not_tzsp.pcap", "tshark does not check the version"),
    (
        "null_families_of_ipv6.pcap",
        "tshark does not know AF_INET6 of Linux",
    ),
    (
        "pcapng_blocks_between_packets.pcapng",
        "tshark counts custom blocks as frames",
    ),
    (
        "tzsp_fcs_error.pcap",
        "tshark looks into frames whose check sequence was wrong, says the sensor",
    ),
    (
        "tzsp_radio_headers_malformed_inside.pcap",
        "tshark takes 144 bytes for a Prism header, whatever its length says",
    ),
    (
        "tzsp_unsupported_types.pcap",
        "tshark looks into every type of packet",
    ),
    ("udp_length_zero.pcap", "tshark refuses a UDP length of 0"),
    (
        "wlan_aggregate_inside.pcap",
        "tshark takes an A-MSDU apart, which holds several packets",
    ),
];

/// Captures that tshark takes for damaged, because it knows no captures behind each other.
const UNREADABLE: &[&str] = &[
    "pcap_appended.pcap",
    "pcap_appended_in_other_byte_order.pcap",
    "pcap_followed_by_pcapng.pcap",
    "pcapng_followed_by_pcap.pcapng",
];

/// Returns the captures that tshark can read.
pub(crate) fn readable_captures() -> Vec<PathBuf> {
    let mut captures = captures();
    let all = captures.len();
    captures.retain(|capture| !UNREADABLE.contains(&file_name(capture)));
    assert_eq!(captures.len() + UNREADABLE.len(), all);
    captures
}

/// The two modes: counting mirrored packets, or with `--plain` the packets of the frames
/// themselves.
pub(crate) const MODES: [(&str, ListenPorts); 2] =
    [("", ListenPorts::Any), ("--plain ", ListenPorts::Plain)];

#[test]
fn tshark_decodes_every_capture_alike() {
    let captures = readable_captures();
    let (left, right) = captures.split_at(captures.len() / 2);
    let compared = |half: &[PathBuf]| {
        let pairs = half.iter().map(|capture| compare(capture));
        pairs.fold(
            (0, Vec::new()),
            |(sum, mut all), (compared, differences)| {
                all.extend(differences);
                (sum + compared, all)
            },
        )
    };
    let (compared, differences) = std::thread::scope(|scope| {
        let other = scope.spawn(|| compared(left));
        let (compared, mut differences) = compared(right);
        let (more, others) = other.join().unwrap();
        differences.extend(others);
        (compared + more, differences)
    });
    let known = |difference: &str| {
        let capture = difference.split(',').next();
        KNOWN_DIFFERENCES
            .iter()
            .any(|(name, _)| Some(*name) == capture)
    };
    let (known, unknown): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|difference| known(difference));
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    for (name, reason) in KNOWN_DIFFERENCES {
        let shown = known.iter().any(|difference| difference.starts_with(name));
        assert!(shown, "no longer a difference: {name}: {reason}");
    }
    assert!(compared > 650, "only {compared} frames were compared");
}

/// Returns the number of frames that both decode, and a description of each difference.
fn compare(capture: &Path) -> (usize, Vec<String>) {
    let output = fields(capture);
    let mut compared = 0;
    let mut differences = Vec::new();
    for (mode, listen_ports) in MODES {
        let is_plain = listen_ports == ListenPorts::Plain;
        let name = format!("{mode}{}", file_name(capture));
        let ours = observations(capture, listen_ports);
        let theirs: Vec<_> = output
            .lines()
            .map(|line| parse_packet_line(line, is_plain))
            .collect();
        if ours.len() != theirs.len() {
            differences.push(format!(
                "{name}, {} frames, of which tshark sees {}",
                ours.len(),
                theirs.len()
            ));
            continue;
        }
        for (index, pair) in ours.iter().zip(&theirs).enumerate() {
            let difference = match pair {
                (Ok(ours), Some(theirs)) => {
                    compared += 1;
                    !agree(ours, theirs)
                }
                (Ok(_), None) | (Err(_), Some(_)) => true,
                (Err(_), None) => false,
            };
            if difference {
                let frame = index + 1;
                differences.push(format!("{name}, frame {frame}: ours, tshark's: {pair:?}"));
            }
        }
    }
    (compared, differences)
}

pub(crate) fn agree(ours: &Observation, theirs: &TsharkPacket) -> bool {
    // tshark shows a total length of 0 unchanged. We take the length from the UDP header then.
    let same_length = theirs.bytes == 0 || theirs.bytes == ours.bytes;
    same_length
        && theirs.source == ours.source.to_string()
        && theirs.destination == ours.destination.to_string()
        && theirs.protocol == ours.protocol.0
        && theirs.port == ours.listen_port
}

pub(crate) fn observations(
    capture: &Path,
    listen_ports: ListenPorts,
) -> Vec<Result<Observation, Skipped>> {
    let mut reader = CaptureReader::new(std::fs::File::open(capture).unwrap());
    let mut observations = Vec::new();
    let options = DecodeOptions {
        listen_ports,
        ipv6: false,
    };
    while reader.fill().unwrap() {
        while let Some(frame) = reader.next_frame().unwrap() {
            let outcome = wire::decode_full(frame.link, frame.captured(), &options);
            observations.push(outcome);
        }
    }
    observations
}

/// tshark's decoding, one line for each frame. Like the program, it does not reassemble fragments.
pub(crate) fn fields(capture: &Path) -> String {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture);
    for port in [37008, 37009, 1234, 31337, 65535] {
        command.args(["-d", &format!("udp.port=={port},tzsp")]);
    }
    command.args(["-d", "ethertype==0x9200,vlan"]);
    for protocol in ["ip", "ipv6", "wlan"] {
        command.args(["-o", &format!("{protocol}.defragment:FALSE")]);
    }
    command.args(["-T", "fields", "-e", "frame.protocols"]);
    for field in ["src", "dst", "proto", "len", "hdr_len"] {
        command.args(["-e", &format!("ip.{field}")]);
    }
    for field in ["udp.dstport", "ppi.length", "ppi.field_len", "ppp.protocol"] {
        command.args(["-e", field]);
    }
    tool(&mut command)
}

pub(crate) fn parse_packet_line(line: &str, is_plain: bool) -> Option<TsharkPacket> {
    let fields: Vec<Vec<&str>> = line
        .split('\t')
        .map(|field| field.split(',').collect())
        .collect();
    let [
        protocols,
        sources,
        destinations,
        protocol_numbers,
        lengths,
        _,
        ports,
        ..,
    ] = &fields[..]
    else {
        panic!("not the fields that were asked for: {line}");
    };
    let layers: Vec<_> = protocols[0].split(':').collect();
    let start = if is_plain {
        0
    } else {
        layers.iter().position(|name| *name == "tzsp")?
    };
    let (outer, inner) = layers.split_at(start);
    if *inner.iter().find(|name| ["ip", "ipv6"].contains(name))? != "ip" {
        return None;
    }
    // Each field lists the outer header first, if that is IPv4 too.
    let position = usize::from(outer.contains(&"ip"));
    // Without an outer header there is no carrying datagram.
    let port = match outer {
        [] => 0,
        _ => ports[0].parse().ok()?,
    };
    Some(TsharkPacket {
        source: sources.get(position)?.to_string(),
        // The field is empty if the header is cut before it.
        destination: destinations
            .get(position)
            .filter(|text| !text.is_empty())?
            .to_string(),
        protocol: protocol_numbers.get(position)?.parse().ok()?,
        bytes: lengths.get(position)?.parse().ok()?,
        port,
    })
}
