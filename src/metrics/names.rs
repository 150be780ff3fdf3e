//! The families that give addresses their names. Queries join them with the counters.

use std::io::{self, Write};
use std::net::IpAddr;

use super::catalog::{FROM_INFO, Family, HOST_INFO, TO_INFO};
use super::format::Encoding;
use super::labels;
use super::series::{LabelValues, LabelWords, Series, Sink, Source, ValueWriter};
use super::stream;
use crate::flow::{Address, Counters, Key, Label, OTHER, Snapshot, Start, WHOLE};
use crate::names::NameTable;

/// An address with its prefix length, as a label shows it.
type Shown = (IpAddr, u8);

/// Returns each single address that flows and hosts show, once.
#[must_use]
pub fn addresses(flows: &Snapshot) -> Vec<IpAddr> {
    let labels = [Label::From, Label::To].map(|label| {
        let is_shown = flows.shape.labels.contains(label);
        is_shown.then_some(label)
    });
    let labels = || labels.iter().flatten();
    let capacity = labels().count() * (flows.narrow.len() + flows.wide.len());
    let mut addresses = Vec::with_capacity(capacity + flows.hosts.len());
    for label in labels() {
        addresses.extend(
            flows
                .narrow
                .iter()
                .filter_map(|flow| single(&flow.key, *label)),
        );
        addresses.extend(
            flows
                .wide
                .iter()
                .filter_map(|flow| single(&flow.key, *label)),
        );
    }
    addresses.extend(flows.hosts.iter().filter_map(|host| host.key.host));
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Returns an address of a flow, unless it is shown as a prefix.
fn single<A: Address>(key: &Key<A>, label: Label) -> Option<IpAddr> {
    let (address, prefix) = end(key, label);
    (prefix == WHOLE).then_some(address)
}

/// Writes `tzsp_host_info`, if hosts are counted, and `tzsp_from_info` and `tzsp_to_info`, if these
/// labels were chosen: a series for each of their values.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    flows: &Snapshot,
    names: &NameTable,
) -> io::Result<()> {
    if flows.occupancy.host_limit > 0 {
        write_hosts(out, encoding, flows, names)?;
    }
    let has_other = !flows.overflow.is_empty();
    for (family, label) in [(FROM_INFO, Label::From), (TO_INFO, Label::To)] {
        if flows.shape.labels.contains(label) {
            write_family(out, encoding, family, shown(flows, label), has_other, names)?;
        }
    }
    Ok(())
}

fn write_hosts(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    flows: &Snapshot,
    names: &NameTable,
) -> io::Result<()> {
    let hosts = || flows.hosts.iter().map(|host| host.key.host);
    let mut shown: Vec<_> = hosts().flatten().map(|host| (host, WHOLE)).collect();
    shown.sort_unstable();
    shown.dedup();
    let has_other = hosts().any(|host| host.is_none());
    write_family(out, encoding, HOST_INFO, shown, has_other, names)
}

fn write_family(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    family: Family,
    shown: impl IntoIterator<Item = Shown>,
    has_other: bool,
    names: &NameTable,
) -> io::Result<()> {
    let shown = shown.into_iter().map(|shown| Info(Some(shown)));
    let infos = Infos {
        family,
        shown: shown.chain(has_other.then_some(Info(None))).collect(),
        names,
    };
    stream::write(out, encoding, &infos, &[(family, |_| 1)])
}

/// The series of one family.
struct Infos<'a> {
    family: Family,
    shown: Vec<Info>,
    names: &'a NameTable,
}

/// A series: an address, or `other`. Its value is always 1.
struct Info(Option<Shown>);

impl Source for Infos<'_> {
    fn labels(&self) -> Vec<LabelWords<'_>> {
        let words = || vec![OTHER];
        let labels = self.family.labels.iter();
        labels
            .map(|name| LabelWords {
                name,
                words: words(),
            })
            .collect()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        sink.push_all(&self.shown, self)
    }
}

impl Series for Info {
    fn counters(&self) -> &Counters {
        const NONE: &Counters = &Counters {
            bytes: 0,
            packets: 0,
        };
        NONE
    }

    fn start(&self) -> Start {
        Start::default()
    }
}

impl LabelValues<Info> for Infos<'_> {
    fn write<W: ValueWriter>(&self, info: &Info, label: usize, out: W) -> W::Output {
        match (info, label) {
            (Info(None), _) => out.word(0),
            (Info(Some((address, prefix))), 0) => out.address((*address).into(), *prefix),
            (Info(Some((address, prefix))), _) => write_name(out, *address, *prefix, self.names),
        }
    }
}

/// Writes the name of an address, or the address itself.
#[expect(
    clippy::inline_always,
    reason = "a reference to the line of a series would keep the line out of registers"
)]
#[inline(always)]
pub(super) fn write_name<W: ValueWriter>(
    out: W,
    address: IpAddr,
    prefix: u8,
    names: &NameTable,
) -> W::Output {
    match labels::name_of(names, address, prefix) {
        Some(name) => out.text(name),
        None => out.address(address.into(), prefix),
    }
}

/// Returns the distinct values of `from` or `to`, sorted.
fn shown(flows: &Snapshot, label: Label) -> Vec<Shown> {
    let mut shown = Vec::new();
    if flows.shape.labels.contains(label) {
        // Neighbours often have the same source, so most repetitions need no sorting.
        let mut push = |value| {
            if shown.last() != Some(&value) {
                shown.push(value);
            }
        };
        flows
            .narrow
            .iter()
            .for_each(|flow| push(end(&flow.key, label)));
        flows
            .wide
            .iter()
            .for_each(|flow| push(end(&flow.key, label)));
    }
    shown.sort_unstable();
    shown.dedup();
    shown
}

fn end<A: Address>(key: &Key<A>, label: Label) -> Shown {
    match label {
        Label::To => (key.destination.into(), key.destination_prefix),
        _ => (key.source.into(), key.source_prefix),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use etherparse::IpNumber;

    use super::super::format::Format;
    use super::*;
    use crate::flow::{
        Class, Counters, Direction, Flow, HostKey, HostTraffic, Occupancy, Place, Service, Shape,
        Sum,
    };
    use crate::names::Name;

    fn key<A: Address>(source: A, destination: A, sensor: A) -> Key<A> {
        Key {
            source,
            source_prefix: WHOLE,
            source_class: Class::default(),
            destination,
            destination_prefix: WHOLE,
            destination_class: Class::default(),
            protocol: IpNumber(6),
            listen_port: 37008,
            sensor,
            from_port: None,
            to_port: None,
            vlan: None,
            dscp: 0,
            service: Service::default(),
            source_place: Place::default(),
            destination_place: Place::default(),
        }
    }

    fn flow<A: Address>(key: Key<A>) -> Flow<A> {
        let counters = Counters::default();
        Flow {
            key,
            counters,
            start: Start::default(),
        }
    }

    fn ipv4(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn snapshot(labels: &str, narrow: &[Key<Ipv4Addr>], wide: &[Key<IpAddr>]) -> Snapshot {
        Snapshot {
            shape: Arc::new(Shape {
                labels: labels.parse().expect("labels"),
                ..Shape::default()
            }),
            narrow: narrow.iter().map(|key| flow(*key)).collect(),
            wide: wide.iter().map(|key| flow(*key)).collect(),
            overflow: Vec::new(),
            traffic: Vec::new(),
            hosts: Vec::new(),
            occupancy: Occupancy {
                flows: narrow.len() + wide.len(),
                limit: 10,
                overflow_packets: 0,
                demand: 0,
                idle: 0,
                idle_limit: 0,
                forgotten: 0,
                hosts: 0,
                host_limit: 0,
                other_host_packets: 0,
                forgotten_hosts: 0,
                operators: 0,
                operator_limit: 0,
            },
        }
    }

    fn names() -> NameTable {
        let name = |text: &str| Name::new(text.as_bytes()).expect("a name");
        NameTable::of([
            (ipv4(1).into(), name("laptop")),
            (ipv4(2).into(), name("say \"hi\"")),
            (IpAddr::from([10, 0, 0, 0]), name("network")),
        ])
    }

    /// Compares the samples without their `tzsp_` and `_info`.
    #[track_caller]
    fn check(flows: &Snapshot, expected: &[&str]) {
        let mut out = Vec::new();
        let encoding = Encoding {
            format: Format::Text,
            clock: None,
            threads: 1,
        };
        write(&mut out, encoding, flows, &names()).expect("a Vec takes it");
        let text = String::from_utf8(out).expect("text");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples: Vec<_> = samples
            .map(|sample| sample.replace("tzsp_", "").replace("_info", ""))
            .collect();
        assert_eq!(samples, expected);
    }

    #[test]
    fn each_address_has_one_series() {
        let [one, two, three] = [1, 2, 3].map(ipv4);
        let ipv6: IpAddr = "2001:db8::1".parse().expect("an address");
        let narrow = [key(two, one, one), key(one, three, one), key(one, two, one)];
        // The sensor is IPv6, so the flow is wide although its addresses are not.
        let wide = [key(one.into(), two.into(), ipv6), key(ipv6, ipv6, ipv6)];
        let flows = snapshot("from,to,sensor", &narrow, &wide);
        check(
            &flows,
            &[
                r#"from{from="10.0.0.1",from_name="laptop"} 1"#,
                r#"from{from="10.0.0.2",from_name="say \"hi\""} 1"#,
                r#"from{from="2001:db8::1",from_name="2001:db8::1"} 1"#,
                r#"to{to="10.0.0.1",to_name="laptop"} 1"#,
                r#"to{to="10.0.0.2",to_name="say \"hi\""} 1"#,
                r#"to{to="10.0.0.3",to_name="10.0.0.3"} 1"#,
                r#"to{to="2001:db8::1",to_name="2001:db8::1"} 1"#,
            ],
        );
        let expected = [one.into(), two.into(), three.into(), ipv6];
        assert_eq!(addresses(&flows), expected);
    }

    #[test]
    fn prefixes_and_other_have_no_names() {
        let mut prefix = key(ipv4(0), ipv4(1), ipv4(9));
        prefix.source_prefix = 24;
        let whole = key(ipv4(0), ipv4(1), ipv4(9));
        let mut flows = snapshot("from", &[prefix, whole], &[]);
        flows.overflow.push(Sum {
            key: None,
            counters: Counters::default(),
            start: Start::default(),
        });
        check(
            &flows,
            &[
                r#"from{from="10.0.0.0/24",from_name="10.0.0.0/24"} 1"#,
                r#"from{from="10.0.0.0",from_name="network"} 1"#,
                r#"from{from="other",from_name="other"} 1"#,
            ],
        );
        assert_eq!(addresses(&flows), [IpAddr::from([10, 0, 0, 0])]);
    }

    #[test]
    fn addresses_that_are_not_labels_have_no_family() {
        let flows = snapshot("protocol", &[key(ipv4(0), ipv4(0), ipv4(0))], &[]);
        check(&flows, &[]);
        assert_eq!(addresses(&flows), Vec::<IpAddr>::new());
    }

    #[test]
    fn each_host_has_one_series() {
        let mut flows = snapshot("protocol", &[], &[]);
        flows.occupancy.host_limit = 2;
        let host = |host: Option<u8>, direction| HostTraffic {
            key: HostKey {
                host: host.map(|last| ipv4(last).into()),
                direction,
                peer_class: Class::default(),
            },
            counters: Counters::default(),
            start: Start::default(),
        };
        flows.hosts = vec![
            host(None, Direction::Sent),
            host(Some(3), Direction::Sent),
            host(Some(1), Direction::Sent),
            host(Some(1), Direction::Received),
        ];
        check(
            &flows,
            &[
                r#"host{host="10.0.0.1",host_name="laptop"} 1"#,
                r#"host{host="10.0.0.3",host_name="10.0.0.3"} 1"#,
                r#"host{host="other",host_name="other"} 1"#,
            ],
        );
        assert_eq!(
            addresses(&flows),
            [1, 3].map(|last| IpAddr::from(ipv4(last)))
        );
    }
}
