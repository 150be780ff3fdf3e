//! The counters of hosts, in one array: counting a packet takes one index for each of its hosts.

use super::super::class::Class;
use super::super::clock::{Moment, Start};
use super::super::snapshot::{Counters, Direction};
use super::HostNumber;

/// The series of all hosts: by number, direction and the class of the peer.
#[derive(Debug)]
pub(super) struct HostSeries {
    /// The number of classes.
    classes: usize,
    all: Vec<Series>,
    /// The starts of all series. Apart from them, because counting a packet does not need them.
    starts: Vec<Start>,
}

/// One series of a host.
#[derive(Debug, Clone, Copy, Default)]
struct Series {
    counters: Counters,
    /// When its last packet arrived.
    last: Moment,
}

/// The place of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesId {
    pub(super) host: HostNumber,
    pub(super) direction: Direction,
    pub(super) peer_class: Class,
}

impl HostSeries {
    /// Creates series without hosts, whose peers may be of so many classes.
    pub(super) fn new(classes: usize) -> Self {
        Self {
            classes,
            all: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Adds the series of the host with the next number. There will be at most `limit` hosts.
    pub(super) fn push_host(&mut self, limit: usize) {
        let each = 2 * self.classes;
        if self.all.capacity() < self.all.len() + each {
            // Doubles the capacity as `Vec` does, but never beyond the limit.
            let hosts = self.all.len() / each;
            let more = hosts.clamp(1, (limit - hosts).max(1));
            self.all.reserve_exact(more * each);
            self.starts.reserve_exact(more * each);
        }
        self.all.resize(self.all.len() + each, Series::default());
        self.starts.resize(self.all.len(), Start::default());
    }

    /// Notes when a series counts its first packet. There must be a host.
    pub(super) fn begin(&mut self, id: SeriesId, now: Moment) {
        let index = self.index(id);
        self.starts[index] = Start::at(now);
    }

    /// Returns when the counters of a series were 0.
    pub(super) fn start(&self, id: SeriesId) -> Start {
        self.starts[self.index(id)]
    }

    /// Counts a packet that arrived at `at`. Without a host, counts nothing.
    #[expect(clippy::inline_always, reason = "called for each packet")]
    #[inline(always)]
    pub(super) fn add(&mut self, id: SeriesId, bytes: u64, at: Moment) {
        // The index of a host that does not exist is out of bounds.
        let index = self.index(id);
        if let Some(series) = self.all.get_mut(index) {
            series.counters.add(bytes);
            series.last = series.last.max(at);
        }
    }

    /// Returns the counters of a series; 0 without a host.
    pub(super) fn counters(&self, id: SeriesId) -> Counters {
        let series = self.all.get(self.index(id));
        series.map_or(Counters::default(), |series| series.counters)
    }

    /// Returns the series of a host that have counted a packet.
    pub(super) fn of(&self, host: HostNumber) -> impl Iterator<Item = (SeriesId, Counters)> + '_ {
        let ids = Direction::ALL.into_iter().flat_map(move |direction| {
            (0..)
                .map(Class)
                .take(self.classes)
                .map(move |peer_class| SeriesId {
                    host,
                    direction,
                    peer_class,
                })
        });
        ids.map(|id| (id, self.counters(id)))
            .filter(|(_, counters)| counters.packets > 0)
    }

    /// Returns what a host sent and what it received.
    pub(super) fn totals(&self, host: HostNumber) -> [Counters; 2] {
        let mut totals = [Counters::default(); 2];
        for (id, counters) in self.of(host) {
            let total = &mut totals[id.direction as usize];
            *total = total.plus(counters);
        }
        totals
    }

    /// Returns when the last packet of a host arrived.
    pub(super) fn last(&self, host: HostNumber) -> Moment {
        let series = self.block(host).iter();
        series.map(|series| series.last).max().unwrap_or_default()
    }

    /// Sets all series of a host to 0, for the next host with its number.
    pub(super) fn clear(&mut self, host: HostNumber) {
        let each = 2 * self.classes;
        self.all[host.index() * each..][..each].fill(Series::default());
    }

    /// Returns the number of series that have counted a packet.
    pub(super) fn len(&self) -> usize {
        let counting = self.all.iter().filter(|series| series.counters.packets > 0);
        counting.count()
    }

    /// Returns the allocated bytes, including spare capacity.
    pub(super) fn allocated(&self) -> usize {
        self.all.capacity() * size_of::<Series>() + self.starts.capacity() * size_of::<Start>()
    }

    fn block(&self, host: HostNumber) -> &[Series] {
        let each = 2 * self.classes;
        &self.all[host.index() * each..][..each]
    }

    #[inline]
    fn index(&self, id: SeriesId) -> usize {
        let direction = 2 * id.host.index() + id.direction as usize;
        direction * self.classes + id.peer_class.number()
    }
}
