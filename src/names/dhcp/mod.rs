//! Names of DHCP clients, from the messages between them and their server.
//!
//! A client says its name when it asks for an address, and the server says which address it gets.
//! The two messages belong together by the client and its transaction.

mod v4;
mod v6;

use std::net::IpAddr;
use std::time::Duration;

use super::dns;
use super::recent::Recent;
use super::text::Name;

/// The ports of servers and of clients. Relays use those of servers.
pub(super) const V4_PORTS: [u16; 2] = [67, 68];
pub(super) const V6_PORTS: [u16; 2] = [547, 546];

/// The maximum number of clients that wait for an address. Each waits for seconds.
const MAX_REQUESTS: usize = 4096;
/// The maximum number of addresses: as many as a large site has devices.
const MAX_ADDRESSES: usize = 32_768;
/// The maximum number of addresses that one reply assigns.
const MAX_LEASES: usize = 16;

/// What a message says about names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exchange {
    /// A client says its name.
    Request { client: Client, name: Name },
    /// A server assigns addresses, each for this many seconds.
    Reply {
        client: Client,
        /// The name that the server has for the client.
        name: Option<Name>,
        leases: Vec<(IpAddr, u32)>,
    },
    /// Nothing.
    Other,
}

/// A client in one of its transactions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    transaction: u32,
    /// Its hardware address or its unique identifier.
    identifier: Box<[u8]>,
}

impl Exchange {
    fn request(client: Client, name: Option<Name>) -> Self {
        name.map_or(Self::Other, |name| Self::Request { client, name })
    }

    fn reply(client: Client, name: Option<Name>, leases: Vec<(IpAddr, u32)>) -> Self {
        if leases.is_empty() {
            return Self::Other;
        }
        Self::Reply {
            client,
            name,
            leases,
        }
    }
}

/// Parses the payload of a datagram of DHCPv4; `None` if it is malformed or cut short.
pub(super) fn parse_v4(payload: &[u8]) -> Option<Exchange> {
    v4::parse(payload)
}

/// Parses the payload of a datagram of DHCPv6; `None` if it is malformed or cut short.
pub(super) fn parse_v6(payload: &[u8]) -> Option<Exchange> {
    v6::parse(payload)
}

/// Returns the name in option 81 or 39, which is encoded as in DNS. It may lack its end, if the
/// client does not know its domain.
fn encoded_name(bytes: &[u8]) -> Option<Name> {
    let mut labels = Vec::new();
    let mut rest = bytes;
    while let [length, tail @ ..] = rest
        && *length > 0
    {
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        labels.push(label);
        rest = tail;
    }
    dns::name(labels)
}

/// The addresses that servers have assigned, and the names of their clients.
#[derive(Debug)]
pub(super) struct Leases {
    requests: Recent<Client, Name>,
    leases: Recent<IpAddr, Lease>,
}

#[derive(Debug)]
struct Lease {
    name: Name,
    /// The client, without its transaction.
    identifier: Box<[u8]>,
    /// When the lease ends.
    end: Duration,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            requests: Recent::new(MAX_REQUESTS),
            leases: Recent::new(MAX_ADDRESSES),
        }
    }
}

impl Leases {
    pub(super) fn learn(&mut self, at: Duration, exchange: Exchange) {
        match exchange {
            Exchange::Request { client, name } => self.requests.insert(client, name),
            Exchange::Reply {
                client,
                name,
                leases,
            } => {
                // The server's name first: an administrator may have chosen it.
                let name = name.or_else(|| self.requests.get(&client).cloned());
                for (address, seconds) in leases {
                    let end = at.saturating_add(Duration::from_secs(seconds.into()));
                    self.assign(address, &client, name.clone(), end);
                }
            }
            Exchange::Other => {}
        }
    }

    fn assign(&mut self, address: IpAddr, client: &Client, name: Option<Name>, end: Duration) {
        if let Some(name) = name {
            let identifier = client.identifier.clone();
            self.leases.insert(
                address,
                Lease {
                    name,
                    identifier,
                    end,
                },
            );
            return;
        }
        match self.leases.get(&address) {
            // A renewal that does not repeat the name.
            Some(lease) if lease.identifier == client.identifier => lease.end = end,
            // The name is that of the client before.
            Some(_) => self.leases.remove(&address),
            None => {}
        }
    }

    pub(super) fn name_of(&mut self, now: Duration, address: IpAddr) -> Option<Name> {
        let lease = self.leases.get(&address).filter(|lease| now < lease.end)?;
        Some(lease.name.clone())
    }

    /// Returns all names.
    pub(super) fn iter(&self, now: Duration) -> impl Iterator<Item = (IpAddr, &Name)> {
        let leases = self.leases.iter();
        leases
            .filter(move |(_, lease)| now < lease.end)
            .map(|(address, lease)| (*address, &lease.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 10));

    fn client(number: u8, transaction: u32) -> Client {
        Client {
            transaction,
            identifier: [2, 0, 0, 0, 0, number].into(),
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect("a name")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    impl Leases {
        fn request(&mut self, at: u64, client: Client, text: &str) {
            let name = name(text);
            self.learn(seconds(at), Exchange::Request { client, name });
        }

        fn reply(&mut self, at: u64, client: Client, text: Option<&str>, lease: u32) {
            let exchange = Exchange::Reply {
                client,
                name: text.map(name),
                leases: vec![(ADDRESS, lease)],
            };
            self.learn(seconds(at), exchange);
        }

        #[track_caller]
        fn check(&mut self, at: u64, expected: Option<&str>) {
            let found = self.name_of(seconds(at), ADDRESS);
            assert_eq!(found, expected.map(name));
            assert_eq!(
                self.iter(seconds(at)).count(),
                usize::from(expected.is_some())
            );
        }
    }

    #[test]
    fn a_name_holds_for_the_assigned_address_until_the_lease_ends() {
        let mut leases = Leases::default();
        leases.request(100, client(1, 7), "laptop");
        leases.check(100, None);
        leases.reply(101, client(1, 7), None, 60);
        leases.check(160, Some("laptop"));
        leases.check(161, None);
    }

    #[test]
    fn a_request_and_a_reply_belong_together_by_client_and_transaction() {
        for other in [client(1, 8), client(2, 7)] {
            let mut leases = Leases::default();
            leases.request(0, client(1, 7), "laptop");
            leases.reply(1, other, None, 60);
            leases.check(2, None);
        }
    }

    #[test]
    fn the_name_that_the_server_has_comes_first() {
        let mut leases = Leases::default();
        leases.request(0, client(1, 7), "laptop");
        leases.reply(1, client(1, 7), Some("printer"), 60);
        leases.check(2, Some("printer"));
    }

    #[test]
    fn a_renewal_without_a_name_extends_the_lease() {
        let mut leases = Leases::default();
        leases.reply(0, client(1, 7), Some("laptop"), 60);
        leases.reply(30, client(1, 8), None, 60);
        leases.check(89, Some("laptop"));
        leases.check(90, None);
    }

    #[test]
    fn a_new_name_replaces_the_one_before() {
        let mut leases = Leases::default();
        leases.reply(0, client(1, 7), Some("laptop"), 60);
        leases.request(10, client(1, 8), "tablet");
        leases.reply(11, client(1, 8), None, 60);
        leases.check(12, Some("tablet"));
    }

    #[test]
    fn the_next_client_of_an_address_does_not_inherit_its_name() {
        let mut leases = Leases::default();
        leases.reply(0, client(1, 7), Some("laptop"), 60);
        leases.reply(10, client(2, 8), None, 60);
        leases.check(11, None);
    }

    #[test]
    fn a_released_address_has_no_name() {
        let mut leases = Leases::default();
        leases.reply(0, client(1, 7), Some("laptop"), 60);
        // DHCPv6 ends a lease with a lifetime of 0.
        leases.reply(10, client(1, 8), None, 0);
        leases.check(10, None);
    }

    #[test]
    fn clients_that_never_get_an_address_take_no_more_than_their_limit() {
        let mut leases = Leases::default();
        for transaction in 0..10_000 {
            leases.request(0, client(1, transaction), "flood");
        }
        assert_eq!(leases.requests.iter().count(), MAX_REQUESTS);
        leases.reply(1, client(1, 9_999), None, 60);
        leases.check(2, Some("flood"));
    }
}
