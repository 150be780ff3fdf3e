//! Traffic as networks of three sizes have it: whom their hosts talk to, and over which ports.

use std::net::Ipv4Addr;

use clap::ValueEnum;

use super::traffic::{Flow, PUBLIC_OCTETS, Random, Sizes};
use crate::packet::{ICMP, TCP, UDP};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// 25 hosts
    Home,
    /// 400 hosts and some local servers
    Office,
    /// 20,000 subscribers
    Provider,
}

/// A service, and how many of a hundred conversations use it.
struct Service {
    share: u64,
    protocol: u8,
    /// The port of the server; `None` if both sides have ephemeral ports.
    port: Option<u16>,
    /// The sizes of what the client sends, and the server.
    sizes: [Sizes; 2],
}

const fn service(share: u64, protocol: u8, port: Option<u16>, sizes: [Sizes; 2]) -> Service {
    Service {
        share,
        protocol,
        port,
        sizes,
    }
}

const WEB: [Sizes; 2] = [Sizes::Acknowledgements, Sizes::Download];
const TALK: [Sizes; 2] = [Sizes::Interactive, Sizes::Interactive];

const fn around(client: u16, server: u16) -> [Sizes; 2] {
    [Sizes::Around(client), Sizes::Around(server)]
}

/// The shares add up to 100.
const SERVICES: [Service; 15] = [
    // The web, over TCP and QUIC.
    service(40, TCP, Some(443), WEB),
    service(18, UDP, Some(443), around(80, 1280)),
    service(5, TCP, Some(80), WEB),
    service(12, UDP, Some(53), around(68, 160)),
    service(4, UDP, Some(123), around(76, 76)),
    service(3, ICMP, None, around(84, 84)),
    // Mail, push messages, calls, virtual private networks, remote shells.
    service(2, TCP, Some(993), TALK),
    service(1, TCP, Some(587), TALK),
    service(2, TCP, Some(5223), TALK),
    service(2, UDP, Some(3478), around(200, 200)),
    service(1, UDP, Some(4500), around(900, 900)),
    service(1, TCP, Some(22), TALK),
    service(1, TCP, Some(8443), WEB),
    // Games, calls from one client to another, file sharing.
    service(6, UDP, None, around(300, 900)),
    service(2, TCP, None, WEB),
];

impl Profile {
    /// The number of hosts, and of servers on the internet that they talk to.
    fn sizes(self) -> (u32, usize) {
        match self {
            Self::Home => (25, 1500),
            Self::Office => (400, 8000),
            Self::Provider => (20_000, 60_000),
        }
    }

    /// Returns the address of a host, by its number.
    fn host(self, number: u32) -> [u8; 4] {
        let first = match self {
            Self::Home => Ipv4Addr::new(192, 168, 88, 10),
            Self::Office => Ipv4Addr::new(10, 20, 0, 10),
            Self::Provider => Ipv4Addr::new(100, 64, 0, 10),
        };
        (u32::from(first) + number).to_be_bytes()
    }

    /// Returns a flow between a host and a server, in one of both directions. Some servers are used
    /// by most hosts, most by few.
    pub(super) fn flow(self, random: &mut Random, ports: &[u16]) -> Flow {
        let (hosts, servers) = self.sizes();
        let service = service_of(random.below(100));
        let host = |random: &mut Random| {
            let number = random.below(u64::from(hosts));
            self.host(u32::try_from(number).expect("it is below a u32"))
        };
        let client = host(random);
        let is_local = random.below(100) < 3;
        let server = if is_local {
            host(random)
        } else {
            server(random.rank_below(servers))
        };
        let client_port = random.within(32_768, 60_999);
        let server_port = service
            .port
            .unwrap_or_else(|| random.within(32_768, 60_999));
        let is_answer = random.below(2) == 1;
        let port = random.below(ports.len() as u64);
        let listen_port = ports[usize::try_from(port).expect("an index")];
        let [question, answer] = service.sizes;
        if is_answer {
            Flow {
                source: server,
                destination: client,
                protocol: service.protocol,
                ports: [server_port, client_port],
                sensor: 0,
                listen_port,
                sizes: answer,
            }
        } else {
            Flow {
                source: client,
                destination: server,
                protocol: service.protocol,
                ports: [client_port, server_port],
                sensor: 0,
                listen_port,
                sizes: question,
            }
        }
    }
}

fn service_of(mut number: u64) -> &'static Service {
    for service in &SERVICES {
        if number < service.share {
            return service;
        }
        number -= service.share;
    }
    unreachable!("the shares add up to 100")
}

/// Returns the address of a server, by its rank. The multiplication, by an odd number, spreads them
/// over all networks and gives no two ranks the same address.
fn server(rank: usize) -> [u8; 4] {
    let rank = u32::try_from(rank).expect("few servers");
    let first = PUBLIC_OCTETS[rank as usize % PUBLIC_OCTETS.len()];
    let [_, second, third, fourth] = (rank.wrapping_mul(0x009e_3779) & 0x00ff_ffff).to_be_bytes();
    [first, second, third, fourth]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_share_has_a_service() {
        let sum: u64 = SERVICES.iter().map(|service| service.share).sum();
        assert_eq!(sum, 100);
    }

    #[test]
    fn servers_have_different_addresses() {
        let servers: HashSet<_> = (0..60_000).map(server).collect();
        assert_eq!(servers.len(), 60_000);
    }

    #[test]
    fn hosts_stay_in_their_network() {
        assert_eq!(Profile::Home.host(24), [192, 168, 88, 34]);
        assert_eq!(Profile::Office.host(399), [10, 20, 1, 153]);
        assert_eq!(Profile::Provider.host(19_999), [100, 64, 78, 41]);
    }
}
