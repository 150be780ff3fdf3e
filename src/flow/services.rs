//! Names of services, by protocol and port.

use std::collections::HashMap;

use etherparse::IpNumber;
use thiserror::Error;

use super::network::OTHER;

/// IANA's registry of services, written by `cargo xtask services`.
const REGISTRY: &str = include_str!("services/iana.txt");
/// The protocols with registered ports, and their names in files.
const PROTOCOLS: [(&str, IpNumber); 4] = [
    ("tcp", IpNumber::TCP),
    ("udp", IpNumber::UDP),
    ("sctp", IpNumber::SCTP),
    ("dccp", IpNumber::DCCP),
];
/// A protocol without IP, of AppleTalk. Debian's /etc/services has its ports.
const NOT_OVER_IP: &str = "ddp";
/// The length of the longest names in bytes, so that a label stays readable.
const LONGEST_NAME: usize = 64;

/// The names of services by protocol and port. The default has none.
///
/// Packets ask for their services one by one, so each port has an entry of 2 bytes, up to the
/// highest with a name: about 100 KiB for TCP, and as much for UDP.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// In alphabetical order. The number of a service is its position, from 1.
    names: Vec<Box<str>>,
    /// Services by port, for each of [`PROTOCOLS`].
    by_port: [Vec<Service>; PROTOCOLS.len()],
}

/// The number of a service's name, or none. Services are in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Service(pub(super) u16);

/// Why a file of services cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ServicesError {
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: LineError },
    #[error("it has too many names: 65535 services can be distinguished")]
    TooManyNames,
}

/// What is wrong with a line of a file of services.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LineError {
    #[error("no port behind '{0}': write a name, a port and a protocol, such as 'nas 5000/tcp'")]
    NoPort(String),
    #[error("'{0}' is not a port and a protocol: write them such as 5000/tcp")]
    Ports(String),
    #[error("'{0}' is not a protocol with services: write tcp, udp, sctp or dccp")]
    Protocol(String),
    #[error(
        "'{0}' is not a name: write 1 to {LONGEST_NAME} printable ASCII characters, without quotes \
         and backslashes"
    )]
    Name(String),
    #[error("the name '{OTHER}' is reserved for flows beyond the limit")]
    Other,
}

impl Service {
    pub(super) const NONE: Self = Self(0);
}

impl Services {
    /// Reads IANA's registry.
    #[must_use]
    pub fn registered() -> Self {
        Self::with_file("").expect("a test reads the registry")
    }

    /// Reads IANA's registry and a file in the format of services(5), which adds names and replaces
    /// those of the registry. As in the C library, the first name of a port in the file wins.
    ///
    /// # Errors
    /// A line of the file cannot be understood, or there are too many names.
    pub fn with_file(content: &str) -> Result<Self, ServicesError> {
        Self::parse(&[content, REGISTRY])
    }

    /// Reads a file without IANA's registry.
    #[cfg(test)]
    pub(super) fn only(content: &str) -> Self {
        Self::parse(&[content]).expect("a file of services")
    }

    /// Reads files, of which the first with a port names it.
    fn parse(files: &[&str]) -> Result<Self, ServicesError> {
        let mut names = HashMap::new();
        for text in files {
            for (index, line) in text.lines().enumerate() {
                let line_of = |problem| ServicesError::Line {
                    line: index + 1,
                    problem,
                };
                let Some(line) = Line::parse(line).map_err(line_of)? else {
                    continue;
                };
                for (protocol, port) in line.ports() {
                    names.entry((protocol, port)).or_insert(line.name);
                }
            }
        }
        Self::of(&names)
    }

    /// Creates services from their names by the position of the protocol and by port.
    fn of(by_port: &HashMap<(usize, u16), &str>) -> Result<Self, ServicesError> {
        let mut names: Vec<&str> = by_port.values().copied().collect();
        names.sort_unstable();
        names.dedup();
        let mut services = Self::default();
        for (&(protocol, port), name) in by_port {
            let position = names.binary_search(name).expect("all names are listed");
            let number = u16::try_from(position + 1).map_err(|_| ServicesError::TooManyNames)?;
            let ports = &mut services.by_port[protocol];
            let port = usize::from(port);
            if ports.len() <= port {
                ports.resize(port + 1, Service::NONE);
            }
            ports[port] = Service(number);
        }
        services.names = names.into_iter().map(Box::from).collect();
        Ok(services)
    }

    /// Returns the service of a packet: that of its lower port, if this has a name, or else that of
    /// its higher port. A port below 1024 therefore comes before all others. Packets of other
    /// protocols and later fragments have none.
    #[inline]
    pub(super) fn of_packet(&self, protocol: IpNumber, ports: Option<(u16, u16)>) -> Service {
        let Some((from_port, to_port)) = ports else {
            return Service::NONE;
        };
        let Some(protocol) = position(protocol) else {
            return Service::NONE;
        };
        let by_port = &self.by_port[protocol];
        let service = |port: u16| by_port.get(usize::from(port)).copied().unwrap_or_default();
        match service(from_port.min(to_port)) {
            Service::NONE => service(from_port.max(to_port)),
            service => service,
        }
    }

    /// Returns a protocol whose packets between these ports have the same service as those of
    /// `protocol`, the same one for all such protocols. `None` for no service.
    pub(super) fn protocol_of(
        &self,
        protocol: IpNumber,
        ports: Option<(u16, u16)>,
    ) -> Option<IpNumber> {
        let service = self.of_packet(protocol, ports);
        let mut protocols = PROTOCOLS.into_iter().map(|(_, protocol)| protocol);
        protocols
            .find(|&protocol| self.of_packet(protocol, ports) == service)
            .filter(|_| service != Service::NONE)
    }

    /// Returns the name of a service; `None` for none.
    #[must_use]
    pub fn name(&self, service: Service) -> Option<&str> {
        let position = usize::from(service.0).checked_sub(1)?;
        self.names.get(position).map(AsRef::as_ref)
    }

    /// Returns all names, in the order of their services.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

/// Returns the position of a protocol in [`PROTOCOLS`].
#[inline]
fn position(protocol: IpNumber) -> Option<usize> {
    match protocol {
        IpNumber::TCP => Some(0),
        IpNumber::UDP => Some(1),
        IpNumber::SCTP => Some(2),
        IpNumber::DCCP => Some(3),
        _ => None,
    }
}

/// One line of a file: a name, the ports it is for, and the positions of their protocols.
///
/// Besides a single port and protocol, a line may have a range of ports and several protocols, as in
/// Wireshark's file: `x11 6000-6063/tcp/udp`.
struct Line<'a> {
    name: &'a str,
    first: u16,
    last: u16,
    protocols: Vec<usize>,
}

impl<'a> Line<'a> {
    /// Parses a line. `None` if it has nothing but a comment. Aliases are ignored.
    fn parse(line: &'a str) -> Result<Option<Self>, LineError> {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else {
            return Ok(None);
        };
        let name = checked(name)?;
        let word = words
            .next()
            .ok_or_else(|| LineError::NoPort(name.to_owned()))?;
        let not_ports = || LineError::Ports(word.escape_debug().to_string());
        let (ports, protocols) = word.split_once('/').ok_or_else(not_ports)?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
        let (first, last) = port(first)
            .zip(port(last))
            .filter(|(first, last)| first <= last)
            .ok_or_else(not_ports)?;
        let mut positions = Vec::new();
        for protocol in protocols.split('/') {
            let mut known = PROTOCOLS.iter().map(|(name, _)| name);
            match known.position(|name| protocol.eq_ignore_ascii_case(name)) {
                Some(position) => positions.push(position),
                None if protocol == NOT_OVER_IP => {}
                None => return Err(LineError::Protocol(protocol.escape_debug().to_string())),
            }
        }
        Ok(Some(Self {
            name,
            first,
            last,
            protocols: positions,
        }))
    }

    fn ports(&self) -> impl Iterator<Item = (usize, u16)> {
        let protocols = self.protocols.iter();
        protocols.flat_map(|&protocol| (self.first..=self.last).map(move |port| (protocol, port)))
    }
}

/// Returns the name if it is valid. Such names need no escaping in the exposition.
fn checked(name: &str) -> Result<&str, LineError> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if name.len() > LONGEST_NAME || !name.bytes().all(is_allowed) {
        let shown = name.chars().take(LONGEST_NAME).collect::<String>();
        return Err(LineError::Name(shown.escape_debug().to_string()));
    }
    if name == OTHER {
        return Err(LineError::Other);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(services: &Services, protocol: IpNumber, ports: (u16, u16), expected: &str) {
        for ports in [ports, (ports.1, ports.0)] {
            let service = services.of_packet(protocol, Some(ports));
            assert_eq!(services.name(service).unwrap_or_default(), expected);
        }
    }

    /// The names are those of IANA's registry, looked up by hand.
    #[test]
    fn the_registry_names_the_side_of_the_server() {
        let services = Services::registered();
        let (tcp, udp) = (IpNumber::TCP, IpNumber::UDP);
        check(&services, tcp, (54321, 443), "https");
        check(&services, udp, (54321, 443), "https");
        check(&services, udp, (40000, 53), "domain");
        check(&services, tcp, (54321, 80), "http");
        check(&services, tcp, (54321, 465), "submissions");
        check(&services, tcp, (54321, 2049), "nfs");
        check(&services, udp, (54321, 6010), "x11");
        check(&services, IpNumber::SCTP, (54321, 22), "ssh");
        check(&services, IpNumber::DCCP, (5004, 54321), "avt-profile-1");
        // Both are registered: below 1024 comes first, which is the lower.
        check(&services, tcp, (8080, 443), "https");
        check(&services, tcp, (22, 23), "ssh");
        check(&services, udp, (5353, 1900), "ssdp");
        check(&services, udp, (123, 123), "ntp");
        // Only the higher one is registered, whatever it is.
        check(&services, tcp, (4, 443), "https");
        check(&services, tcp, (4, 8080), "http-alt");
    }

    #[test]
    fn other_packets_have_no_service() {
        let services = Services::registered();
        check(&services, IpNumber::TCP, (54321, 60000), "");
        check(&services, IpNumber::UDP, (65535, 49152), "");
        check(&services, IpNumber::TCP, (0, 65535), "");
        check(&services, IpNumber::GRE, (80, 443), "");
        // Registered for TCP alone.
        check(&services, IpNumber::SCTP, (54321, 25), "");
        let fragment = services.of_packet(IpNumber::TCP, None);
        assert_eq!(services.name(fragment), None);
        check(&Services::default(), IpNumber::TCP, (80, 443), "");
    }

    #[test]
    fn a_file_adds_and_replaces_names() {
        let file = "# ours\n\
            \n\
            nas\t5000/tcp  synology # the storage\r\n\
            web 80/tcp\n\
            web2 80/tcp\n\
            wireguard 51820/udp\n\
            cameras 554-556/tcp/UDP\n\
            rtmp 1/ddp\n";
        let services = Services::with_file(file).expect("a file of services");
        check(&services, IpNumber::TCP, (5000, 54321), "nas");
        check(&services, IpNumber::TCP, (80, 54321), "web");
        check(&services, IpNumber::UDP, (80, 54321), "http");
        check(&services, IpNumber::UDP, (51820, 51820), "wireguard");
        check(&services, IpNumber::UDP, (51820, 60000), "wireguard");
        check(&services, IpNumber::UDP, (555, 60000), "cameras");
        check(&services, IpNumber::TCP, (1, 60000), "tcpmux");
        check(&services, IpNumber::TCP, (443, 60000), "https");
    }

    #[track_caller]
    fn check_refused(content: &str, expected: &str) {
        let error = Services::with_file(content).expect_err("not a file of services");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn lines_that_cannot_be_understood_are_errors() {
        let line = "line 2: no port behind 'nas': write a name, a port and a protocol, such as \
                    'nas 5000/tcp'";
        check_refused("a 1/tcp\nnas # 5000/tcp\n", line);
        for ports in [
            "5000",
            "65536/tcp",
            "0/tcp",
            "tcp/5000",
            "9-8/tcp",
            "-1/udp",
        ] {
            let line = format!(
                "line 1: '{ports}' is not a port and a protocol: write them such as 5000/tcp"
            );
            check_refused(&format!("nas {ports}"), &line);
        }
        let line = "line 3: 'tpc' is not a protocol with services: write tcp, udp, sctp or dccp";
        check_refused("\n\nnas 5000/tcp/tpc", line);
        let line = "line 1: 'a\\\"b' is not a name: write 1 to 64 printable ASCII characters, \
                    without quotes and backslashes";
        check_refused("a\"b 1/tcp", line);
        let line = "line 1: the name 'other' is reserved for flows beyond the limit";
        check_refused("other 1/tcp", line);
    }

    #[test]
    fn too_many_names_are_refused() {
        let name = |port: u16| format!("a{port} {port}/tcp\nb{port} {port}/udp\n");
        let file: String = (1..=u16::MAX).map(name).collect();
        let expected = "it has too many names: 65535 services can be distinguished";
        check_refused(&file, expected);
    }

    /// SCTP has its own name for this port in the file, TCP and UDP share theirs.
    #[test]
    fn protocols_with_the_same_service_are_represented_by_one() {
        let file = "a 50000/tcp/udp\nb 50000/sctp\n";
        let services = Services::with_file(file).expect("a file of services");
        let protocol = |protocol| services.protocol_of(protocol, Some((50000, 60000)));
        assert_eq!(protocol(IpNumber::TCP), Some(IpNumber::TCP));
        assert_eq!(protocol(IpNumber::UDP), Some(IpNumber::TCP));
        assert_eq!(protocol(IpNumber::SCTP), Some(IpNumber::SCTP));
        assert_eq!(protocol(IpNumber::DCCP), None);
        assert_eq!(protocol(IpNumber::GRE), None);
        assert_eq!(services.protocol_of(IpNumber::TCP, None), None);
    }

    #[test]
    fn services_are_in_the_order_of_their_names() {
        let services = Services::registered();
        assert!(services.names().is_sorted());
        assert!(services.names().count() > 6000);
    }
}
