//! The counters of hosts, within a limit.
//!
//! A host is an address whose class is one of the [`HostClasses`](super::HostClasses). Each host
//! counts what it sent and what it received, by the class of the other side. Addresses are chosen
//! by senders, so the number of hosts is limited. All hosts beyond the limit count together as
//! `other`.
//!
//! A host is exposed (scrapes show it) or hidden (its counters are kept). A hidden host gives its
//! slot to a new host when all slots are taken, the longest idle first.

mod recent;
mod series;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::class::{Class, Classes};
use super::clock::Moment;
use super::hold::Holds;
use super::snapshot::{Counters, Direction, HostKey, HostTraffic};
use crate::wire::Ip;
pub(super) use recent::HostTotals;
use series::{HostSeries, SeriesId};

/// The highest limit of hosts. A flow has 16 bits for the number of a host. And so many hosts have
/// some 400,000 series, about as many as one target of Prometheus may have.
pub const MOST_HOSTS: u32 = 50_000;
const _: () = assert!(MOST_HOSTS < HostNumber::UNKNOWN.0 as u32);

/// Counts the packets of hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The maximum number of hosts besides `other`. With 0, nothing is counted.
    limit: usize,
    /// The hosts by number. The first is `other`.
    entries: Vec<Host>,
    series: HostSeries,
    /// The numbers of the hosts by address.
    numbers: HashTable<u16>,
    /// Senders choose addresses. The seed keeps them from choosing addresses that collide.
    seed: RandomState,
    /// The hidden hosts, the longest idle first.
    hidden: BTreeSet<(Moment, u16)>,
    /// For how long a new series, or one of a returning host, shows its earlier counters.
    hold: Duration,
    holds: Holds<SeriesId>,
    was_full: bool,
    /// The number of hosts that have lost their slot.
    forgotten: u64,
    /// The sum of the counters of these hosts, as [sent, received].
    forgotten_counters: [Counters; 2],
}

/// The number of a host as a flow stores it: an index of [`Hosts::entries`], or that of no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostNumber(u16);

/// The hosts at both ends of a flow: the numbers of the sending and of the receiving one, in one
/// word that a slot has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostPair(u32);

/// One host, without its counters.
#[derive(Debug)]
struct Host {
    /// `None` for all hosts beyond the limit.
    address: Option<Ip>,
    /// If hidden: when its last packet arrived.
    hidden: Option<Moment>,
    /// The number of its series that are held. A host with such a series is not hidden: scrapes
    /// have not shown its last values.
    held: u32,
    /// Distinguishes the hosts that have had the same number.
    generation: u64,
}

impl HostNumber {
    /// All hosts beyond the limit.
    const OTHER: Self = Self(0);
    /// The host of a flow that has to be looked up.
    const UNKNOWN: Self = Self(u16::MAX - 1);
    /// An address that is no host.
    pub(super) const NONE: Self = Self(u16::MAX);

    fn index(self) -> usize {
        self.0.into()
    }
}

impl HostPair {
    pub(super) const UNKNOWN: Self = Self::new(HostNumber::UNKNOWN, HostNumber::UNKNOWN);
    pub(super) const NONE: Self = Self::new(HostNumber::NONE, HostNumber::NONE);

    const fn new(from: HostNumber, to: HostNumber) -> Self {
        Self((to.0 as u32) << 16 | from.0 as u32)
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// Returns the series in which a packet has counted that was [resolved](Hosts::resolve) to this pair.
    pub(super) fn keys(
        self,
        addresses: [IpAddr; 2],
        [from_class, to_class]: [Class; 2],
    ) -> impl Iterator<Item = HostKey> {
        let peers = [
            (Direction::Sent, to_class),
            (Direction::Received, from_class),
        ];
        let ends = self.numbers().into_iter().zip(addresses).zip(peers);
        ends.filter(|((number, _), _)| *number != HostNumber::NONE)
            .map(|((number, address), (direction, peer_class))| HostKey {
                host: (number != HostNumber::OTHER).then_some(address),
                direction,
                peer_class,
            })
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half is a number")]
    #[inline]
    fn numbers(self) -> [HostNumber; 2] {
        [HostNumber(self.0 as u16), HostNumber((self.0 >> 16) as u16)]
    }
}

impl Hosts {
    /// Creates an account for at most `limit` hosts whose peers are of these classes.
    pub(super) fn new(limit: u32, classes: &Classes, seed: RandomState, hold: Duration) -> Self {
        let mut hosts = Self {
            limit: limit.min(MOST_HOSTS) as usize,
            entries: Vec::new(),
            series: HostSeries::new(classes.names().count()),
            numbers: HashTable::new(),
            seed,
            hidden: BTreeSet::new(),
            hold,
            holds: Holds::default(),
            was_full: false,
            forgotten: 0,
            forgotten_counters: Default::default(),
        };
        if hosts.is_on() {
            hosts.push(None);
        }
        hosts
    }

    /// Whether hosts are counted at all.
    pub(super) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Whether a new host has ever found all slots taken.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }

    /// Whether a new host would find no slot.
    #[inline]
    pub(super) fn has_no_room(&self) -> bool {
        self.len() >= self.limit && self.hidden.is_empty()
    }

    /// Returns the number of exposed hosts.
    pub(super) fn exposed(&self) -> usize {
        self.len() - self.hidden.len()
    }

    /// Returns the packets of hosts beyond the limit.
    pub(super) fn other_packets(&self) -> u64 {
        let series = self.series.of(HostNumber::OTHER);
        series.map(|(_, counters)| counters.packets).sum()
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Returns the host at each end of a flow or of a packet, given the address there, if it is a
    /// host, and the class there. Exposes hosts that are new or hidden, if there is a slot.
    ///
    /// The pair is valid until a host is hidden.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        [from, to]: [Option<Ip>; 2],
        [from_class, to_class]: [Class; 2],
        now: Moment,
    ) -> HostPair {
        let from = from.map_or(HostNumber::NONE, |from| self.expose(from, now));
        let to = to.map_or(HostNumber::NONE, |to| self.expose(to, now));
        self.begin(from, Direction::Sent, to_class, now);
        self.begin(to, Direction::Received, from_class, now);
        HostPair::new(from, to)
    }

    /// Counts a packet that arrived at `at`.
    #[expect(clippy::inline_always, reason = "called for each packet")]
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        pair: HostPair,
        [from_class, to_class]: [Class; 2],
        bytes: u64,
        at: Moment,
    ) {
        if pair == HostPair::NONE {
            return;
        }
        let [from, to] = pair.numbers();
        let sent = SeriesId {
            host: from,
            direction: Direction::Sent,
            peer_class: to_class,
        };
        let received = SeriesId {
            host: to,
            direction: Direction::Received,
            peer_class: from_class,
        };
        self.series.add(sent, bytes, at);
        self.series.add(received, bytes, at);
    }

    /// Hides the hosts that `may_be_hidden`, given the time of their last packet. Returns whether
    /// there were any. If so, pairs that were resolved before must be resolved again if they are
    /// [`outdated`](Self::is_outdated).
    pub(super) fn hide(&mut self, may_be_hidden: impl Fn(Moment) -> bool) -> bool {
        let mut is_any_hidden = false;
        for (number, host) in (0..).zip(&mut self.entries).skip(1) {
            if host.hidden.is_some() || host.held > 0 {
                continue;
            }
            let last = self.series.last(HostNumber(number));
            if may_be_hidden(last) {
                host.hidden = Some(last);
                self.hidden.insert((last, number));
                is_any_hidden = true;
            }
        }
        is_any_hidden
    }

    /// Whether a pair must be resolved again after hosts were hidden: it has a hidden host, whose
    /// number may soon be that of another, or one beyond the limit, for which there may be a slot
    /// now.
    pub(super) fn is_outdated(&self, pair: HostPair) -> bool {
        pair.numbers().into_iter().any(|number| {
            let host = self.entries.get(number.index());
            number == HostNumber::OTHER || host.is_some_and(|host| host.hidden.is_some())
        })
    }

    /// Releases all series that were held for long enough: they show their true counters from now
    /// on.
    pub(super) fn release_holds(&mut self, now: Moment) {
        while let Some(hold) = self.holds.pop(self.hold, now) {
            self.entries[hold.held.host.index()].held -= 1;
        }
    }

    /// Returns the series of all exposed hosts that have counted a packet, as a scrape shows them.
    pub(super) fn series(&self) -> Vec<HostTraffic> {
        let holds = self.holds.iter().map(|hold| (hold.held, hold.base));
        let mut held: Vec<_> = holds.collect();
        held.sort_unstable_by_key(|(id, _)| *id);
        let base = |id| {
            let position = held.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            Some(held[position].1)
        };
        let mut shown = Vec::with_capacity(self.series.len());
        let hosts = (0..).map(HostNumber).zip(&self.entries);
        for (number, host) in hosts.filter(|(_, host)| host.hidden.is_none()) {
            shown.extend(self.series.of(number).map(|(id, counters)| HostTraffic {
                key: HostKey {
                    host: host.address.map(Into::into),
                    direction: id.direction,
                    peer_class: id.peer_class,
                },
                counters: base(id).unwrap_or(counters),
                start: self.series.start(id),
            }));
        }
        shown
    }

    /// Returns the allocated bytes, including spare capacity.
    pub(super) fn allocated(&self) -> usize {
        self.series.allocated()
            + self.entries.capacity() * size_of::<Host>()
            + self.numbers.allocation_size()
            + self.holds.allocated()
    }

    /// The number of hosts with a slot.
    fn len(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    #[inline]
    fn find(&self, address: Ip) -> Option<u16> {
        let hash = hash(&self.seed, address);
        let is_this = |number: &u16| self.entries[usize::from(*number)].address == Some(address);
        self.numbers.find(hash, is_this).copied()
    }

    /// Returns the number of the host with this address, and exposes it if it is not exposed.
    // Inlined: the address stays in registers. From memory, to which it was written in parts, it could
    // only be loaded after all earlier writes, such as those of a new flow.
    #[inline]
    fn expose(&mut self, address: Ip, now: Moment) -> HostNumber {
        if let Some(number) = self.find(address) {
            self.expose_again(HostNumber(number), now);
            return HostNumber(number);
        }
        if self.has_no_room() {
            self.was_full = true;
            return HostNumber::OTHER;
        }
        self.insert(address)
    }

    /// Gives a slot to a new host. There must be one.
    #[inline(never)]
    fn insert(&mut self, address: Ip) -> HostNumber {
        let number = if self.len() < self.limit {
            self.push(Some(address))
        } else {
            self.was_full = true;
            let (_, number) = self.hidden.pop_first().expect("a host is hidden");
            self.forget(HostNumber(number));
            self.entries[usize::from(number)] = Host::new(Some(address), self.forgotten);
            number
        };
        let Self { entries, seed, .. } = self;
        let hash_of = |number: &u16| {
            let address = entries[usize::from(*number)].address;
            hash(seed, address.expect("`other` is not in the index"))
        };
        let hash = hash(seed, address);
        self.numbers.insert_unique(hash, number, hash_of);
        HostNumber(number)
    }

    /// Exposes a host and holds its series, if it is hidden.
    #[inline(never)]
    fn expose_again(&mut self, host: HostNumber, now: Moment) {
        let Some(last) = self.entries[host.index()].hidden.take() else {
            return;
        };
        self.hidden.remove(&(last, host.0));
        if !self.hold.is_zero() {
            let series: Vec<_> = self.series.of(host).collect();
            for (id, counters) in series {
                self.hold(id, counters, now);
            }
        }
    }

    /// Adds a host with the next number, and returns that.
    fn push(&mut self, address: Option<Ip>) -> u16 {
        let number = u16::try_from(self.entries.len()).expect("the limit of hosts fits");
        self.entries.push(Host::new(address, 0));
        self.series.push_host(self.limit + 1);
        number
    }

    /// Removes a hidden host from the index, and sets its counters to 0.
    fn forget(&mut self, host: HostNumber) {
        let address = self.entries[host.index()].address;
        let hash = hash(&self.seed, address.expect("`other` is never hidden"));
        let entry = self.numbers.find_entry(hash, |number| *number == host.0);
        entry.expect("every host is in the index").remove();
        self.forgotten += 1;
        let totals = self.series.totals(host);
        for (sum, counters) in self.forgotten_counters.iter_mut().zip(totals) {
            *sum = sum.plus(counters);
        }
        self.series.clear(host);
    }

    /// Begins a series that is about to count its first packet, and holds it.
    fn begin(&mut self, host: HostNumber, direction: Direction, peer_class: Class, now: Moment) {
        let id = SeriesId {
            host,
            direction,
            peer_class,
        };
        if host == HostNumber::NONE || self.series.counters(id).packets > 0 {
            return;
        }
        self.series.begin(id, now);
        if !self.hold.is_zero() {
            self.hold(id, Counters::default(), now);
        }
    }

    fn hold(&mut self, id: SeriesId, base: Counters, now: Moment) {
        self.entries[id.host.index()].held += 1;
        self.holds.push(now, base, id);
    }
}

impl Host {
    fn new(address: Option<Ip>, generation: u64) -> Self {
        Self {
            address,
            hidden: None,
            held: 0,
            generation,
        }
    }
}

#[inline]
fn hash(seed: &RandomState, address: Ip) -> u64 {
    let mut hasher = seed.build_hasher();
    match address {
        Ip::V4(bits) => hasher.write_u32(bits),
        Ip::V6(high, low) => hasher.write_u128(u128::from(high) << 64 | u128::from(low)),
    }
    hasher.finish()
}
