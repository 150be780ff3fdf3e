//! Reverse DNS of private addresses: which addresses are to be looked up, and what was found.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::recent::Recent;
use super::text::Name;

/// The maximum number of addresses whose result is kept.
const MAX_ADDRESSES: usize = 32_768;
/// The maximum number of addresses that wait to be looked up. Further ones have to be asked for
/// again, as the next scrape does.
const MAX_WAITING: usize = 1024;
/// How long a name holds before it is looked up again. Changes of reverse DNS are rare, and the
/// records' own times to live would put a load on small routers.
const NAME_LIFETIME: Duration = Duration::from_hours(1);
/// How long an address without a name is left alone.
const NO_NAME_LIFETIME: Duration = Duration::from_mins(10);
/// How long after a failure the address is looked up again.
const RETRY: Duration = Duration::from_mins(1);

/// Results of look-ups, and the addresses that wait for one.
#[derive(Debug)]
pub(super) struct Lookups {
    results: Recent<IpAddr, Lookup>,
    waiting: VecDeque<IpAddr>,
    /// Those in `waiting`, and those that are being looked up.
    wanted: HashSet<IpAddr, RandomState>,
}

/// The result for an address.
#[derive(Debug)]
struct Lookup {
    name: Option<Name>,
    /// When the address should be looked up again. Until that has a result, this one holds.
    refresh: Duration,
}

/// A look-up that had no result: no server answered in time, or it could not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Default for Lookups {
    fn default() -> Self {
        Self {
            results: Recent::new(MAX_ADDRESSES),
            waiting: VecDeque::new(),
            wanted: HashSet::default(),
        }
    }
}

impl Lookups {
    /// Returns the name that was found for an address. Requests a look-up if there is no result, or
    /// an old one.
    pub(super) fn name_of(&mut self, now: Duration, address: IpAddr) -> Option<Name> {
        if !is_private(address) {
            return None;
        }
        let lookup = self.results.get(&address);
        let is_due = lookup.as_ref().is_none_or(|lookup| now >= lookup.refresh);
        let name = lookup.and_then(|lookup| lookup.name.clone());
        if is_due && self.waiting.len() < MAX_WAITING && self.wanted.insert(address) {
            self.waiting.push_back(address);
        }
        name
    }

    /// Returns the next address to look up. Its result must follow.
    pub(super) fn next(&mut self) -> Option<IpAddr> {
        self.waiting.pop_front()
    }

    /// Keeps the result for an address: its name, if it has one. A failure keeps the result before.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        address: IpAddr,
        result: Result<Option<Name>, Failed>,
    ) {
        self.wanted.remove(&address);
        let (name, lifetime) = match result {
            Ok(Some(name)) => (Some(name), NAME_LIFETIME),
            Ok(None) => (None, NO_NAME_LIFETIME),
            Err(Failed) => {
                let before = self.results.get(&address);
                (before.and_then(|lookup| lookup.name.clone()), RETRY)
            }
        };
        let refresh = now.saturating_add(lifetime);
        self.results.insert(address, Lookup { name, refresh });
    }

    /// Returns all names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Name)> {
        let results = self.results.iter();
        results.filter_map(|(address, lookup)| Some((*address, lookup.name.as_ref()?)))
    }
}

/// Whether an address belongs to a private network (RFC 1918, RFC 4193), so that a query for
/// its name does not reveal it to the internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 10));

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect("a name")
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_looked_up_once_and_again_after_an_hour() {
        let mut lookups = Lookups::default();
        assert_eq!(lookups.name_of(at(0), ADDRESS), None);
        assert_eq!(lookups.name_of(at(1), ADDRESS), None);
        assert_eq!(lookups.next(), Some(ADDRESS));
        assert_eq!(lookups.next(), None);
        // It is being looked up.
        assert_eq!(lookups.name_of(at(2), ADDRESS), None);
        assert_eq!(lookups.next(), None);
        lookups.finish(at(3), ADDRESS, Ok(Some(name("nas"))));
        assert_eq!(lookups.name_of(at(3602), ADDRESS), Some(name("nas")));
        assert_eq!(lookups.next(), None);
        // The name holds while it is looked up again.
        assert_eq!(lookups.name_of(at(3603), ADDRESS), Some(name("nas")));
        assert_eq!(lookups.next(), Some(ADDRESS));
        lookups.finish(at(3604), ADDRESS, Ok(Some(name("tv"))));
        assert_eq!(lookups.name_of(at(3605), ADDRESS), Some(name("tv")));
    }

    #[test]
    fn that_an_address_has_no_name_is_remembered_too() {
        let mut lookups = Lookups::default();
        lookups.finish(at(0), ADDRESS, Ok(None));
        assert_eq!(lookups.name_of(at(599), ADDRESS), None);
        assert_eq!(lookups.next(), None);
        assert_eq!(lookups.name_of(at(600), ADDRESS), None);
        assert_eq!(lookups.next(), Some(ADDRESS));
    }

    #[test]
    fn a_failure_keeps_the_name_and_is_repeated_after_a_minute() {
        let mut lookups = Lookups::default();
        lookups.finish(at(0), ADDRESS, Ok(Some(name("nas"))));
        lookups.finish(at(3600), ADDRESS, Err(Failed));
        assert_eq!(lookups.name_of(at(3659), ADDRESS), Some(name("nas")));
        assert_eq!(lookups.next(), None);
        assert_eq!(lookups.name_of(at(3660), ADDRESS), Some(name("nas")));
        assert_eq!(lookups.next(), Some(ADDRESS));
    }

    #[test]
    fn only_private_addresses_are_looked_up() {
        let mut lookups = Lookups::default();
        for address in [
            "8.8.8.8",
            "100.64.0.1",
            "2001:db8::1",
            "fe80::1",
            "127.0.0.1",
        ] {
            lookups.name_of(at(0), address.parse().expect("an address"));
        }
        assert_eq!(lookups.next(), None);
        for address in ["10.1.2.3", "172.31.0.1", "192.168.0.1", "fd00::1"] {
            let address = address.parse().expect("an address");
            lookups.name_of(at(0), address);
            assert_eq!(lookups.next(), Some(address));
        }
    }

    #[test]
    fn an_address_scan_waits_within_the_limit() {
        let mut lookups = Lookups::default();
        for number in 0..65_536 {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + number).into();
            lookups.name_of(at(0), address);
        }
        assert_eq!(lookups.waiting.len(), MAX_WAITING);
        assert_eq!(lookups.wanted.len(), MAX_WAITING);
    }
}
