//! What changed in which step, sorted by series and step in bounded memory: what does not fit is
//! sorted in parts, which a temporary file keeps and reading merges.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::mem;

use foldhash::quality::RandomState;

use super::series::{SIZE, SeriesBytes};
use crate::flow::Counters;

/// Changes in memory, about 24 MiB while they are sorted.
const MOST_IN_MEMORY: usize = 100_000;
/// Parts that are merged at a time, each with a buffer: 16 MiB.
const MOST_PARTS: usize = 512;
const BUFFER: usize = 32 * 1024;

/// A series and a step: bytes that sort by these.
type Place = [u8; SIZE + 8];
const RECORD: usize = SIZE + 8 + 16;

/// What a series counted in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) series: SeriesBytes,
    pub(super) step: u64,
    pub(super) counters: Counters,
}

#[derive(Debug)]
pub(super) struct Log {
    changes: HashMap<Place, Counters, RandomState>,
    most_in_memory: usize,
    most_parts: usize,
    file: Option<File>,
    /// Where each part in the file begins and ends.
    parts: Vec<(u64, u64)>,
}

impl Default for Log {
    fn default() -> Self {
        Self::with_limits(MOST_IN_MEMORY, MOST_PARTS)
    }
}

impl Log {
    fn with_limits(most_in_memory: usize, most_parts: usize) -> Self {
        Self {
            changes: HashMap::default(),
            most_in_memory,
            most_parts,
            file: None,
            parts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, change: Change) -> io::Result<()> {
        let place = place(&change);
        let counters = self.changes.entry(place).or_default();
        *counters = counters.plus(change.counters);
        if self.changes.len() < self.most_in_memory {
            return Ok(());
        }
        self.store()
    }

    /// Nothing is added from here on.
    pub(super) fn finish(mut self) -> Sorted {
        let rest = sorted(mem::take(&mut self.changes));
        Sorted {
            rest,
            file: self.file,
            parts: self.parts,
        }
    }

    /// Puts what is in memory into the file.
    fn store(&mut self) -> io::Result<()> {
        let changes = sorted(mem::take(&mut self.changes)).into_iter();
        if self.parts.len() >= self.most_parts {
            self.join_parts()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let part = write_part(&mut file, changes.map(Ok))?;
        self.file = Some(file);
        self.parts.push(part);
        Ok(())
    }

    fn join_parts(&mut self) -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        let before = Sorted {
            rest: Vec::new(),
            file: self.file.take(),
            parts: mem::take(&mut self.parts),
        };
        let part = write_part(&mut file, before.records()?)?;
        self.file = Some(file);
        self.parts.push(part);
        Ok(())
    }
}

/// All changes, to be read in order as often as is needed.
#[derive(Debug)]
pub(super) struct Sorted {
    rest: Vec<(Place, Counters)>,
    file: Option<File>,
    parts: Vec<(u64, u64)>,
}

impl Sorted {
    pub(super) fn changes(&self) -> io::Result<impl Iterator<Item = io::Result<Change>>> {
        let records = self.records()?;
        Ok(records.map(|record| {
            let (place, counters) = record?;
            let (series, step) = place.split_first_chunk().expect("a series comes first");
            let step = step.first_chunk().expect("a step comes last");
            Ok(Change {
                series: *series,
                step: u64::from_be_bytes(*step),
                counters,
            })
        }))
    }

    fn records(&self) -> io::Result<impl Iterator<Item = io::Result<(Place, Counters)>>> {
        let mut merge = Merge {
            rest: self.rest.iter(),
            file: self.file.as_ref(),
            parts: self.parts.iter().map(|&part| Part::new(part)).collect(),
            heads: BinaryHeap::new(),
        };
        for source in 0..=self.parts.len() {
            merge.advance(source)?;
        }
        Ok(std::iter::from_fn(move || merge.next().transpose()))
    }
}

struct Merge<'a> {
    rest: std::slice::Iter<'a, (Place, Counters)>,
    file: Option<&'a File>,
    parts: Vec<Part>,
    /// The next of each source: its number is that of the part, and one more for the rest.
    heads: BinaryHeap<Reverse<(Place, usize, u64, u64)>>,
}

impl Merge<'_> {
    fn next(&mut self) -> io::Result<Option<(Place, Counters)>> {
        let Some((place, mut counters)) = self.pop()? else {
            return Ok(None);
        };
        // The same step of a series may be in several parts.
        while self
            .heads
            .peek()
            .is_some_and(|Reverse((next, ..))| *next == place)
        {
            if let Some((_, more)) = self.pop()? {
                counters = counters.plus(more);
            }
        }
        Ok(Some((place, counters)))
    }

    fn pop(&mut self) -> io::Result<Option<(Place, Counters)>> {
        let Some(Reverse((place, source, bytes, packets))) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(source)?;
        Ok(Some((place, Counters { bytes, packets })))
    }

    fn advance(&mut self, source: usize) -> io::Result<()> {
        let next = match (self.parts.get_mut(source), self.file) {
            (Some(part), Some(file)) => part.next(file)?,
            _ => self.rest.next().copied(),
        };
        self.heads.extend(
            next.map(|(place, counters)| {
                Reverse((place, source, counters.bytes, counters.packets))
            }),
        );
        Ok(())
    }
}

/// A part of the file that is being read.
struct Part {
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
}

impl Part {
    fn new((position, end): (u64, u64)) -> Self {
        Self {
            position,
            end,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    fn next(&mut self, mut file: &File) -> io::Result<Option<(Place, Counters)>> {
        if self.taken == self.buffer.len() {
            let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(BUFFER / RECORD * RECORD), 0);
            file.seek(SeekFrom::Start(self.position))?;
            file.read_exact(&mut self.buffer)?;
            self.position += self.buffer.len() as u64;
            self.taken = 0;
        }
        let record = self.buffer.get(self.taken..).unwrap_or_default();
        self.taken += RECORD.min(record.len());
        Ok(record.first_chunk().map(from_record))
    }
}

/// Appends records; where they begin and end.
fn write_part(
    file: &mut File,
    records: impl Iterator<Item = io::Result<(Place, Counters)>>,
) -> io::Result<(u64, u64)> {
    let begin = file.seek(SeekFrom::End(0))?;
    let mut out = BufWriter::with_capacity(BUFFER, &mut *file);
    for record in records {
        let (place, counters) = record?;
        out.write_all(&place)?;
        out.write_all(&counters.bytes.to_be_bytes())?;
        out.write_all(&counters.packets.to_be_bytes())?;
    }
    out.flush()?;
    drop(out);
    Ok((begin, file.stream_position()?))
}

fn from_record(record: &[u8; RECORD]) -> (Place, Counters) {
    let (place, numbers) = record.split_first_chunk().expect("a place comes first");
    let (bytes, packets) = numbers.split_first_chunk().expect("two numbers follow");
    let packets = packets.first_chunk().expect("two numbers follow");
    let counters = Counters {
        bytes: u64::from_be_bytes(*bytes),
        packets: u64::from_be_bytes(*packets),
    };
    (*place, counters)
}

fn place(change: &Change) -> Place {
    let mut place = [0; SIZE + 8];
    let (series, step) = place.split_at_mut(SIZE);
    series.copy_from_slice(&change.series);
    step.copy_from_slice(&change.step.to_be_bytes());
    place
}

fn sorted(changes: HashMap<Place, Counters, RandomState>) -> Vec<(Place, Counters)> {
    let mut changes: Vec<_> = changes.into_iter().collect();
    changes.sort_unstable_by_key(|(place, _)| *place);
    changes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn change(series: u8, step: u64, packets: u64) -> Change {
        Change {
            series: [series; SIZE],
            step,
            counters: Counters {
                bytes: 100 * packets,
                packets,
            },
        }
    }

    #[track_caller]
    fn check(most_in_memory: usize, most_parts: usize) {
        let mut log = Log::with_limits(most_in_memory, most_parts);
        let mut expected: BTreeMap<(u8, u64), u64> = BTreeMap::new();
        for number in 0..2000_u64 {
            // Each place is met several times, far apart and in no order.
            let (series, step) = ((number * 7 % 13) as u8, number * 31 % 60 * 300);
            *expected.entry((series, step)).or_default() += number;
            log.add(change(series, step, number))
                .expect("there is room");
        }
        let sorted = log.finish();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|((series, step), packets)| change(series, step, packets))
            .collect();
        for _ in 0..2 {
            let changes = sorted.changes().expect("the file is there");
            let changes: Result<Vec<_>, _> = changes.collect();
            assert_eq!(changes.expect("the file is whole"), expected);
        }
    }

    #[test]
    fn changes_come_out_sorted_and_summed_up() {
        check(1_000_000, 4);
        check(100, 1000);
    }

    #[test]
    fn parts_are_joined_when_there_are_too_many() {
        check(10, 3);
        check(1, 2);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let sorted = Log::default().finish();
        assert_eq!(sorted.changes().expect("no file is needed").count(), 0);
    }
}
