//! What changed in which step, sorted by series and step in bounded memory: an external merge sort.
//! Whenever memory is full, its changes are sorted and appended to a temporary file as a *run*.
//! Reading merges all runs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::mem;

use super::series::{SIZE, SeriesBytes};
use crate::flow::Counters;

/// How many changes are kept in memory: about 10 MiB.
const MAX_IN_MEMORY: usize = 100_000;
/// How many runs are merged at a time. Each has a buffer: 16 MiB in all.
const MAX_RUNS: usize = 512;
/// Bytes of the buffer for reading or writing a run.
const BUFFER: usize = 32 * 1024;

/// A series and a step as bytes, which sort by series, then by step.
type SortKey = [u8; SIZE + 8];
/// Bytes of a change in a run: its key, bytes and packets.
const RECORD: usize = SIZE + 8 + 16;

/// What a series counted in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) series: SeriesBytes,
    pub(super) step: u64,
    pub(super) counters: Counters,
}

/// Collects changes in any order, and sums up those of the same series and step.
#[derive(Debug)]
pub(super) struct ChangeLog {
    changes: Vec<(SortKey, Counters)>,
    max_in_memory: usize,
    max_runs: usize,
    file: Option<File>,
    /// The offsets in the file at which each run begins and ends.
    runs: Vec<(u64, u64)>,
}

impl Default for ChangeLog {
    fn default() -> Self {
        Self::with_limits(MAX_IN_MEMORY, MAX_RUNS)
    }
}

impl ChangeLog {
    fn with_limits(max_in_memory: usize, max_runs: usize) -> Self {
        Self {
            changes: Vec::new(),
            max_in_memory,
            max_runs,
            file: None,
            runs: Vec::new(),
        }
    }

    /// Adds what a series counted in a step, or in a part of it. An error is one of the temporary
    /// file.
    pub(super) fn add(
        &mut self,
        series: SeriesBytes,
        step: u64,
        counters: Counters,
    ) -> io::Result<()> {
        self.changes.push((key(&series, step), counters));
        if self.changes.len() < self.max_in_memory {
            return Ok(());
        }
        sort_and_sum_up(&mut self.changes);
        // If most changes were of the same series and steps, the next ones may be so too.
        if self.changes.len() <= self.max_in_memory / 2 {
            return Ok(());
        }
        self.store()
    }

    /// Ends the collection.
    pub(super) fn finish(mut self) -> Sorted {
        sort_and_sum_up(&mut self.changes);
        Sorted {
            in_memory: self.changes,
            file: self.file,
            runs: self.runs,
        }
    }

    /// Appends the changes in memory, which are sorted, to the file as a run.
    fn store(&mut self) -> io::Result<()> {
        let changes = mem::take(&mut self.changes);
        if self.runs.len() >= self.max_runs {
            self.merge_runs()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let run = write_run(&mut file, changes.iter().copied().map(Ok))?;
        self.changes = changes;
        self.changes.clear();
        self.file = Some(file);
        self.runs.push(run);
        Ok(())
    }

    /// Merges all runs into one, in a new file. Temporary files have no name: the old one disappears.
    fn merge_runs(&mut self) -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        let before = Sorted {
            in_memory: Vec::new(),
            file: self.file.take(),
            runs: mem::take(&mut self.runs),
        };
        let run = write_run(&mut file, before.records()?)?;
        self.file = Some(file);
        self.runs.push(run);
        Ok(())
    }
}

/// All changes in order, which can be read several times.
#[derive(Debug)]
pub(super) struct Sorted {
    in_memory: Vec<(SortKey, Counters)>,
    file: Option<File>,
    runs: Vec<(u64, u64)>,
}

impl Sorted {
    /// Reads all changes from the first.
    pub(super) fn changes(&self) -> io::Result<impl Iterator<Item = io::Result<Change>>> {
        let records = self.records()?;
        Ok(records.map(|record| {
            let (key, counters) = record?;
            let (series, step) = key.split_first_chunk().expect("a key begins with a series");
            let step = step.first_chunk().expect("a key ends with a step");
            Ok(Change {
                series: *series,
                step: u64::from_be_bytes(*step),
                counters,
            })
        }))
    }

    fn records(&self) -> io::Result<impl Iterator<Item = io::Result<(SortKey, Counters)>>> {
        let mut sources = Sources {
            runs: self.runs.iter().map(|&run| RunReader::new(run)).collect(),
            file: self.file.as_ref(),
            in_memory: self.in_memory.iter(),
        };
        let mut heads = BinaryHeap::new();
        for source in 0..=self.runs.len() {
            heads.extend(sources.next(source)?.map(|record| Head { record, source }));
        }
        let mut merge = Merge { sources, heads };
        Ok(std::iter::from_fn(move || merge.next().transpose()))
    }
}

/// Merges sorted sources.
struct Merge<'a> {
    sources: Sources<'a>,
    /// The next record of each source, the smallest key on top.
    heads: BinaryHeap<Head>,
}

/// The runs, then the changes in memory.
struct Sources<'a> {
    runs: Vec<RunReader>,
    file: Option<&'a File>,
    in_memory: std::slice::Iter<'a, (SortKey, Counters)>,
}

/// The next record of a source. Records with smaller keys are greater, for the heap.
struct Head {
    record: (SortKey, Counters),
    source: usize,
}

impl Merge<'_> {
    fn next(&mut self) -> io::Result<Option<(SortKey, Counters)>> {
        let Some((key, mut counters)) = self.pop()? else {
            return Ok(None);
        };
        // Several runs may have the same step of a series.
        while self.heads.peek().is_some_and(|head| head.record.0 == key) {
            if let Some((_, more)) = self.pop()? {
                counters = counters.plus(more);
            }
        }
        Ok(Some((key, counters)))
    }

    /// Takes the record on top, and puts the next one of its source into the heap.
    fn pop(&mut self) -> io::Result<Option<(SortKey, Counters)>> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(None);
        };
        let record = match self.sources.next(head.source)? {
            Some(next) => mem::replace(&mut head.record, next),
            None => PeekMut::pop(head).record,
        };
        Ok(Some(record))
    }
}

impl Sources<'_> {
    fn next(&mut self, source: usize) -> io::Result<Option<(SortKey, Counters)>> {
        match (self.runs.get_mut(source), self.file) {
            (Some(run), Some(file)) => run.next(file),
            _ => Ok(self.in_memory.next().copied()),
        }
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.record.0.cmp(&self.record.0)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Head {}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// Reads a run.
struct RunReader {
    /// The offset in the file from which the buffer is filled next.
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were returned.
    taken: usize,
}

impl RunReader {
    fn new((position, end): (u64, u64)) -> Self {
        Self {
            position,
            end,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    fn next(&mut self, mut file: &File) -> io::Result<Option<(SortKey, Counters)>> {
        // All runs share one file and so one offset: each read has to seek first.
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

/// Appends a run. Returns the offsets at which it begins and ends.
fn write_run(
    file: &mut File,
    records: impl Iterator<Item = io::Result<(SortKey, Counters)>>,
) -> io::Result<(u64, u64)> {
    let begin = file.seek(SeekFrom::End(0))?;
    let mut out = BufWriter::with_capacity(BUFFER, &mut *file);
    for record in records {
        let (key, counters) = record?;
        out.write_all(&key)?;
        out.write_all(&counters.bytes.to_be_bytes())?;
        out.write_all(&counters.packets.to_be_bytes())?;
    }
    out.flush()?;
    drop(out);
    Ok((begin, file.stream_position()?))
}

fn from_record(record: &[u8; RECORD]) -> (SortKey, Counters) {
    let (key, numbers) = record
        .split_first_chunk()
        .expect("a record begins with a key");
    let (bytes, packets) = numbers
        .split_first_chunk()
        .expect("a record ends with two numbers");
    let packets = packets
        .first_chunk()
        .expect("a record ends with two numbers");
    let counters = Counters {
        bytes: u64::from_be_bytes(*bytes),
        packets: u64::from_be_bytes(*packets),
    };
    (*key, counters)
}

fn key(series: &SeriesBytes, step: u64) -> SortKey {
    let mut key = [0; SIZE + 8];
    let (before, behind) = key.split_at_mut(SIZE);
    before.copy_from_slice(series);
    behind.copy_from_slice(&step.to_be_bytes());
    key
}

/// Sorts changes, and leaves one for each series and step.
fn sort_and_sum_up(changes: &mut Vec<(SortKey, Counters)>) {
    #[expect(
        clippy::unnecessary_sort_by,
        reason = "each comparison would copy two keys of 79 bytes"
    )]
    changes.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    changes.dedup_by(|(later, more), (earlier, counters)| {
        let is_same = later == earlier;
        if is_same {
            *counters = counters.plus(*more);
        }
        is_same
    });
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
    fn check(max_in_memory: usize, max_runs: usize) {
        let mut log = ChangeLog::with_limits(max_in_memory, max_runs);
        let mut expected: BTreeMap<(u8, u64), u64> = BTreeMap::new();
        for number in 0..2000_u64 {
            // Each key occurs several times, far apart and out of order.
            let (series, step) = ((number * 7 % 13) as u8, number * 31 % 60 * 300);
            *expected.entry((series, step)).or_default() += number;
            let Change {
                series,
                step,
                counters,
            } = change(series, step, number);
            log.add(series, step, counters).expect("there is room");
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
    fn changes_are_sorted_and_summed_up() {
        check(1_000_000, 4);
        check(100, 1000);
    }

    #[test]
    fn too_many_runs_are_merged_into_one() {
        check(10, 3);
        check(1, 2);
    }

    #[test]
    fn an_empty_log_has_no_changes() {
        let sorted = ChangeLog::default().finish();
        assert_eq!(sorted.changes().expect("no file is needed").count(), 0);
    }
}
