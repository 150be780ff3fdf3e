//! Generated captures of every encapsulation, truncated and damaged, compared with tshark frame by
//! frame.

use std::array;
use std::iter::StepBy;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tzsp_packetstream_exporter::wire::{ListenPorts, Observation, Skipped};

use crate::support::tool;
use crate::tshark::{MODES, TsharkPacket, agree, fields, observations, parse_packet_line};

/// The default seeds. The environment variable [`OTHER_SEEDS`] overrides them: `2000` means all up to
/// this one, `500-2000` only these.
const SEEDS: RangeInclusive<u32> = 1..=8;
const OTHER_SEEDS: &str = "DIFFERENTIAL_SEEDS";
const FRAMES: &str = "1000";

/// Intended differences between tshark and the program. The test fails on any other difference, and
/// on one in [`Difference::FREQUENT`] that no seed shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// tshark decodes every type of TZSP packet.
    UnsupportedType,
    /// tshark does not check the version.
    Version,
    /// tshark shows no destination if the options of the header are cut. We need only 20 bytes.
    OptionsCut,
    /// tshark replaces a total length of 0 by the bytes captured, we by the length in the UDP
    /// header. tshark also accepts a header that is longer than this length.
    TotalLengthZero,
    /// tshark refuses a UDP length of 0.
    UdpLengthZero,
    /// tshark decodes IPv6 options, and reports padding that is longer than the options.
    Ipv6Options,
    /// tshark reads the two bytes after an 802.11 header without LLC as an EtherType.
    WlanWithoutLlc,
    /// tshark goes by the version field of a packet, we by the announced protocol.
    OtherVersion,
    /// tshark decodes the protocol after authentication headers and shim6.
    AuthenticationHeader,
    /// tshark decodes UDP-Lite like UDP.
    UdpLite,
    /// tshark also chooses the protocol by the source port of a datagram.
    SourcePort,
    /// tshark assumes that a Prism header has 144 bytes and ignores its length field.
    PrismLength,
    /// tshark uses the length of IEEE 802.3, but not above 1,500 and not after a provider tag. We
    /// use the length of the inner packet.
    Ieee8023Length,
    /// tshark stops at a tag of unexpected length.
    TagLength,
    /// tshark decodes frames that the sensor marks as having a wrong check sequence.
    FcsError,
    /// tshark uses the length of PPPoE, we use the length of the inner packet.
    PppoeLength,
    /// tshark assumes that a PPI header ends after its last field, however long that claims to be,
    /// and ignores the length of the header.
    PpiLength,
    /// tshark reads more link types in PPI.
    PpiLinkType,
    /// tshark decodes some invalid protocols of PPP, which are even, as EtherTypes.
    PppProtocol,
    /// tshark restores headers that are compressed (RFC 1144, RFC 2508). We do not read them.
    HeaderCompression,
}

impl Difference {
    /// The differences that the default seeds show. The others need hundreds of seeds.
    const FREQUENT: [Self; 16] = [
        Self::UnsupportedType,
        Self::Version,
        Self::OptionsCut,
        Self::TotalLengthZero,
        Self::UdpLengthZero,
        Self::Ipv6Options,
        Self::WlanWithoutLlc,
        Self::OtherVersion,
        Self::AuthenticationHeader,
        Self::UdpLite,
        Self::SourcePort,
        Self::PrismLength,
        Self::Ieee8023Length,
        Self::TagLength,
        Self::FcsError,
        Self::PppoeLength,
    ];

    /// The intended difference that explains the two results for a frame, if any.
    fn of(
        ours: &Result<Observation, Skipped>,
        theirs: Option<&TsharkPacket>,
        line: &str,
    ) -> Option<Self> {
        let shown = Shown::parse(line);
        let layers = shown.layers;
        // The headers that carry the datagram, and the headers inside it.
        let (carrier, _) = layers.split_once(":udp").unwrap_or((layers, ""));
        match (ours, theirs) {
            (Err(Skipped::TzspUnsupportedType), Some(_)) => Some(Self::UnsupportedType),
            (Err(Skipped::TzspFcsError), Some(_)) => Some(Self::FcsError),
            (Err(Skipped::NotTzsp), Some(_)) => Some(Self::Version),
            (Err(Skipped::NotUdp), Some(_)) if layers.contains(":udplite:") => Some(Self::UdpLite),
            (Err(Skipped::NotUdp), Some(_))
                if carrier.ends_with(":ah") || carrier.ends_with(":shim6") =>
            {
                Some(Self::AuthenticationHeader)
            }
            (Err(Skipped::OuterMalformed | Skipped::InnerMalformed), Some(_))
                if layers.starts_with("ip:ipv6:") || layers.starts_with("null:ip:ipv6:") =>
            {
                Some(Self::OtherVersion)
            }
            (Err(Skipped::InnerNotIp), Some(_)) if layers.contains("wlan:llc:ip") => {
                Some(Self::WlanWithoutLlc)
            }
            (Ok(_), None) if layers.ends_with(":udp") => Some(Self::UdpLengthZero),
            (Ok(_), None) if layers.contains("udp:") && !layers.contains(":tzsp") => {
                Some(Self::SourcePort)
            }
            (Ok(_), None) if layers.ends_with("tzsp") => Some(Self::TagLength),
            (Ok(_), None) if layers.contains("pppoes:ppp") => Some(Self::PppoeLength),
            (Ok(_), None) | (Err(_), Some(_)) if layers.contains("prism:") => {
                Some(Self::PrismLength)
            }
            (Ok(_), None) | (Err(_), Some(_)) if shown.ppi_ends_elsewhere() => {
                Some(Self::PpiLength)
            }
            (Err(Skipped::UnsupportedLink), Some(_))
                if layers.starts_with("ppi:pcap_pktdata:juniper:") =>
            {
                Some(Self::PpiLinkType)
            }
            (Err(Skipped::NotIp | Skipped::InnerNotIp), Some(_))
                if shown.has_even_ppp_protocol() =>
            {
                Some(Self::PppProtocol)
            }
            (Err(Skipped::NotIp | Skipped::InnerNotIp), Some(_))
                if layers.contains(":vjc:ip") || layers.contains(":crtp:ip") =>
            {
                Some(Self::HeaderCompression)
            }
            (Ok(_), None)
                if shown.is_802_3()
                    || layers.contains("ieee8021ad:ethertype:")
                    || layers.ends_with("ieee8021ad:ethertype")
                    || layers.ends_with(":data") =>
            {
                Some(Self::Ieee8023Length)
            }
            (Ok(_), None) if layers.contains(":ipv6.") && !layers.contains("udp") => {
                Some(Self::Ipv6Options)
            }
            (Ok(_), None) if shown.lacks_destination() => Some(Self::OptionsCut),
            (Err(Skipped::InnerMalformed), Some(_)) if shown.has_longer_header() => {
                Some(Self::TotalLengthZero)
            }
            (Ok(ours), Some(theirs)) => {
                let with_their_length = Observation {
                    bytes: theirs.bytes,
                    ..*ours
                };
                if theirs.bytes >= ours.bytes || !agree(&with_their_length, theirs) {
                    return None;
                }
                if ours.truncated.is_some() {
                    return Some(Self::TotalLengthZero);
                }
                if shown.is_802_3() {
                    return Some(Self::Ieee8023Length);
                }
                layers.contains("pppoes:ppp:").then_some(Self::PppoeLength)
            }
            _ => None,
        }
    }
}

/// What tshark shows of a frame. A field has a value for each header of its kind, outer ones first.
struct Shown<'a> {
    layers: &'a str,
    sources: Vec<&'a str>,
    destinations: Vec<&'a str>,
    /// The lengths of IPv4 packets, and of their headers.
    lengths: Vec<&'a str>,
    headers: Vec<&'a str>,
    ppi_lengths: Vec<&'a str>,
    /// The lengths of the fields in a PPI header.
    ppi_fields: Vec<&'a str>,
    ppp_protocols: Vec<&'a str>,
}

impl<'a> Shown<'a> {
    fn parse(line: &'a str) -> Self {
        let mut columns = line.split('\t').map(|column| {
            let values = column.split(',').filter(|value| !value.is_empty());
            values.collect::<Vec<_>>()
        });
        let mut next = || columns.next().unwrap();
        let layers = next()[0];
        let [sources, destinations, _, lengths, headers] = array::from_fn(|_| next());
        let [_, ppi_lengths, ppi_fields, ppp_protocols] = array::from_fn(|_| next());
        Self {
            layers,
            sources,
            destinations,
            lengths,
            headers,
            ppi_lengths,
            ppi_fields,
            ppp_protocols,
        }
    }

    fn is_802_3(&self) -> bool {
        self.layers.contains("eth:llc") || self.layers.contains("vlan:llc")
    }

    /// Whether an IPv4 header is cut before the destination.
    fn lacks_destination(&self) -> bool {
        self.destinations.len() < self.sources.len()
    }

    /// Whether an IPv4 header is longer than its packet.
    fn has_longer_header(&self) -> bool {
        let mut pairs = self.headers.iter().zip(&self.lengths);
        pairs.any(|(header, length)| number(header) > number(length))
    }

    /// Whether the length of a PPI header is not that of its fields.
    fn ppi_ends_elsewhere(&self) -> bool {
        // The header has 8 bytes, and before each field 4 bytes of type and length.
        let fields = self.ppi_fields.iter().map(|length| 4 + number(length));
        let end = 8 + fields.sum::<u32>();
        self.layers.starts_with("ppi")
            && self.ppi_lengths.iter().any(|length| number(length) != end)
    }

    fn has_even_ppp_protocol(&self) -> bool {
        let hexadecimals = self
            .ppp_protocols
            .iter()
            .filter_map(|text| text.strip_prefix("0x"));
        let mut protocols = hexadecimals.map(|text| u16::from_str_radix(text, 16).unwrap());
        protocols.any(|protocol| protocol % 2 == 0)
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

/// The results of several seeds.
#[derive(Default)]
struct Tally {
    /// Frames that both decode to the same result.
    agreed: usize,
    explained: Vec<Difference>,
    unexplained: Vec<String>,
}

#[test]
fn tshark_decodes_generated_captures_alike() {
    let seeds = std::env::var(OTHER_SEEDS).map_or(SEEDS, |text| {
        let (first, last) = text.split_once('-').unwrap_or(("1", &text));
        first.parse().unwrap()..=last.parse().unwrap()
    });
    let directory = TempDir::new().unwrap();
    let tally = |seeds: StepBy<RangeInclusive<u32>>| {
        let mut tally = Tally::default();
        for seed in seeds {
            compare(seed, directory.path(), &mut tally);
        }
        tally
    };
    let (some, others) = std::thread::scope(|scope| {
        let others = scope.spawn(|| tally((seeds.start() + 1..=*seeds.end()).step_by(2)));
        (tally(seeds.clone().step_by(2)), others.join().unwrap())
    });
    let unexplained = [some.unexplained, others.unexplained].concat();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let explained = [some.explained, others.explained].concat();
    for difference in Difference::FREQUENT {
        assert!(
            explained.contains(&difference) || !seeds.contains(SEEDS.start()),
            "no longer a difference: {difference:?}"
        );
    }
    let agreed = some.agreed + others.agreed;
    assert!(
        agreed > 600 * seeds.count(),
        "only {agreed} frames were compared"
    );
}

fn compare(seed: u32, directory: &Path, tally: &mut Tally) {
    let capture = directory.join(format!("{seed}.pcapng"));
    let mut generate = Command::new(env!("CARGO"));
    generate.args(["xtask", "generate", "--hostile", "--packets", FRAMES]);
    tool(generate.args(["--seed", &seed.to_string()]).arg(&capture));
    let output = fields(&capture);
    let lines: Vec<_> = output.lines().collect();
    for (mode, listen_ports) in MODES {
        let is_plain = listen_ports == ListenPorts::Plain;
        let all_ours = observations(&capture, listen_ports);
        assert_eq!(all_ours.len(), lines.len(), "{mode}seed {seed}");
        for (index, (ours, line)) in all_ours.iter().zip(&lines).enumerate() {
            let theirs = parse_packet_line(line, is_plain);
            match (ours, &theirs) {
                (Err(_), None) => continue,
                (Ok(ours), Some(theirs)) if agree(ours, theirs) => {
                    tally.agreed += 1;
                    continue;
                }
                _ => {}
            }
            match Difference::of(ours, theirs.as_ref(), line) {
                Some(difference) => tally.explained.push(difference),
                None => tally.unexplained.push(format!(
                    "{mode}seed {seed}, frame {}: ours {ours:?}, tshark's {theirs:?}: {line}",
                    index + 1
                )),
            }
        }
    }
}
