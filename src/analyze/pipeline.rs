//! Several threads that count captures together, with the result of a single thread.
//!
//! Each thread repeats four steps:
//!
//! 1. **Load** the next bytes of a file. Several threads do this at the same time. Pipes and
//!    compressed files are read by one thread at a time.
//! 2. **Walk** from record to record, in the order of the file, because each record determines where
//!    the next one begins. This takes little time, and gives a block of frames, which gets the next
//!    number.
//! 3. **Decode** the frames into a batch. This needs no lock.
//! 4. **Count** the batch, or leave it to another thread. Batches are counted one at a time in the
//!    order of their numbers. The thread that finishes the next batch counts it, and then all that
//!    wait behind it.
//!
//! Thus the flow table sees the packets in the order in which they were walked. With
//! [`Reading::InOrder`], that is the order of the input, and the result is that of a single thread
//! for every option, limit and damage.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use super::input::{SharedFile, Stream};
use super::queue::{FrameClock, Queue, QueuedFile, RunSummary};
use super::survey::SkippedContents;
use crate::aggregator::{Aggregator, FrameBatch};
use crate::capture::{Block, BlockReader};
use crate::wire::DecodeOptions;

/// Batches for each thread: one that it fills, and others that wait to be counted. Their number is
/// fixed: when all wait for one slow thread, the others wait too instead of filling memory.
const BATCHES: usize = 3;

/// How several files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One after the other. All threads read the same file.
    InOrder,
    /// Each thread reads a file of its own. When no more files are left, it helps with one of
    /// another thread.
    InAnyOrder,
}

/// Reads all files with this many threads, and counts their frames.
///
/// In any order, returns `None` as soon as the result depends on the order. The counts are then
/// incomplete: discard them.
pub(super) fn run(
    reading: Reading,
    threads: usize,
    queue: &Queue<'_>,
    decode: &DecodeOptions,
    core: &mut Aggregator,
) -> Option<RunSummary> {
    let files = match reading {
        Reading::InOrder => 1,
        Reading::InAnyOrder => threads,
    };
    let pipeline = Pipeline {
        reading,
        queue,
        decode,
        lanes: (0..files).map(|_| Lane::default()).collect(),
        blocks: AtomicU64::new(0),
        counting: Mutex::new(Counting {
            next: 0,
            decoded: BTreeMap::new(),
            empty: (0..threads * BATCHES).map(|_| core.batch()).collect(),
            enough: threads * BATCHES / 2,
            core: Some(core),
        }),
        emptied: Condvar::new(),
        has_counted: AtomicBool::new(false),
        is_cancelled: AtomicBool::new(false),
        summary: Mutex::default(),
    };
    thread::scope(|scope| {
        let pipeline = &pipeline;
        // If the system refuses some threads, the others do their work.
        let others: Vec<_> = (1..threads)
            .map_while(|thread| {
                let work = move || pipeline.work(thread);
                thread::Builder::new().spawn_scoped(scope, work).ok()
            })
            .collect();
        pipeline.work(0);
        for thread in others {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let is_complete = !pipeline.is_cancelled.into_inner();
    // After a signal nothing is read again: what was counted so far is the result.
    let is_final = is_complete || queue.stop.is_requested();
    is_final.then_some(pipeline.summary.into_inner().expect(NO_PANIC))
}

/// Why no lock is poisoned.
const NO_PANIC: &str = "a panic in any thread ends the process";

struct Pipeline<'a> {
    reading: Reading,
    queue: &'a Queue<'a>,
    decode: &'a DecodeOptions,
    lanes: Vec<Lane<'a>>,
    /// How many blocks were walked.
    blocks: AtomicU64,
    counting: Mutex<Counting<'a>>,
    /// Notified when a batch was counted.
    emptied: Condvar,
    /// Whether a frame counts in a flow.
    has_counted: AtomicBool,
    /// Whether the files have to be read again in order.
    is_cancelled: AtomicBool,
    summary: Mutex<RunSummary>,
}

/// Reads one file after the other.
#[derive(Default)]
struct Lane<'a> {
    /// The file that is being read.
    open: Mutex<Option<OpenFile<'a>>>,
    /// Notified when a block was walked.
    walked: Condvar,
}

struct OpenFile<'a> {
    file: QueuedFile<'a>,
    stream: Stream,
    reader: BlockReader,
    clock: FrameClock,
    /// How many blocks threads load or have loaded.
    loaded: u64,
    /// How many blocks were walked.
    walked: u64,
}

/// The batches between decoding and counting.
struct Counting<'a> {
    /// `None` while a thread counts.
    core: Option<&'a mut Aggregator>,
    /// The number of the batch that is counted next.
    next: u64,
    /// Batches that wait for those before them, by number.
    decoded: BTreeMap<u64, FrameBatch>,
    empty: Vec<FrameBatch>,
    /// Threads that wait for an empty batch are woken when there are so many, not for each one:
    /// sleeping and waking takes about as long as decoding a batch.
    enough: usize,
}

/// A block of frames.
#[derive(Default)]
struct Work {
    block: Block,
    /// The clock at the first frame.
    clock: FrameClock,
    /// Its number among the blocks of all files.
    number: u64,
}

impl<'a> Pipeline<'a> {
    /// Reads, decodes and counts until no block is left. Each thread begins with another file.
    fn work(&self, thread: usize) {
        let mut contents = SkippedContents::default();
        let mut work = Work::default();
        let mut batch = self.empty_batch(lock(&self.counting));
        let (before, own) = self.lanes.split_at(thread % self.lanes.len());
        for lane in own.iter().chain(before) {
            while self.read(lane, &mut work) {
                self.decode(&work, &mut batch, &mut contents);
                batch = self.count(work.number, batch);
            }
        }
        lock(&self.summary).contents.merge(contents);
    }

    /// Loads and walks the next block with frames. Returns `false` if no file is left.
    fn read(&self, lane: &Lane<'a>, work: &mut Work) -> bool {
        while !self.is_cancelled.load(Ordering::Relaxed) {
            let mut open = lock(&lane.open);
            let Some(file) = self.current(&mut open) else {
                return false;
            };
            let (this, number) = (file.file, file.loaded);
            file.loaded += 1;
            match &mut file.stream {
                Stream::Sequential(stream) => work.block.load(|buffer| stream.read(buffer)),
                Stream::File(file) => {
                    let file = Arc::clone(file);
                    drop(open);
                    load_at(number, &file, &mut work.block);
                    open = lane.wait_to_walk(this, number);
                }
            }
            let Some(file) = open.as_mut().filter(|open| open.file == this) else {
                // It has ended in an earlier block.
                continue;
            };
            if !self.walk(file, work) {
                *open = None;
            }
            lane.walked.notify_all();
            if !work.block.is_empty() {
                return true;
            }
        }
        false
    }

    /// Returns the open file of a lane. If there is none, opens the next one of the queue.
    fn current<'o>(&self, open: &'o mut Option<OpenFile<'a>>) -> Option<&'o mut OpenFile<'a>> {
        while open.is_none() {
            match self.queue.open_next(Stream::of)? {
                Ok((file, stream)) => *open = Some(OpenFile::new(file, stream)),
                Err(problem) => lock(&self.summary).problems.push(problem),
            }
        }
        open.as_mut()
    }

    /// Finds the frames of the block that was loaded. Returns `false` if the file ends with it.
    fn walk(&self, file: &mut OpenFile<'_>, work: &mut Work) -> bool {
        let walked = file.reader.walk(&mut work.block);
        file.walked += 1;
        work.clock = file.clock;
        file.clock.skip(&work.block);
        if !work.block.is_empty() {
            work.number = self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        let result = match walked {
            Ok(true) => return true,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let mut summary = lock(&self.summary);
        summary.add(file.file, file.reader.reader(), result, self.queue.stop);
        false
    }

    /// Decodes the frames of a block. As long as no frame counts, `contents` gets them too.
    fn decode(&self, work: &Work, batch: &mut FrameBatch, contents: &mut SkippedContents) {
        let mut clock = work.clock;
        let is_surveyed = !self.has_counted.load(Ordering::Relaxed);
        for frame in work.block.frames() {
            batch.frame_without_sensor(clock.time_of(&frame), &frame);
            if is_surveyed && batch.is_empty() {
                contents.add(&frame, self.decode);
            }
        }
        if is_surveyed && !batch.is_empty() {
            self.has_counted.store(true, Ordering::Relaxed);
        }
    }

    /// Hands over a batch to be counted after those with lower numbers. Counts it, and those that
    /// wait behind it, if no other thread counts now. Returns an empty batch.
    fn count(&self, number: u64, batch: FrameBatch) -> FrameBatch {
        let mut counting = lock(&self.counting);
        counting.decoded.insert(number, batch);
        if let Some(core) = counting.core.take() {
            while let Some(mut batch) = counting.take_next() {
                drop(counting);
                core.record_batch(&mut batch);
                if self.reading == Reading::InAnyOrder && core.flows().depends_on_order() {
                    self.is_cancelled.store(true, Ordering::Relaxed);
                }
                counting = lock(&self.counting);
                counting.empty.push(batch);
                if counting.empty.len() >= counting.enough {
                    self.emptied.notify_all();
                }
            }
            counting.core = Some(core);
        }
        self.empty_batch(counting)
    }

    /// Waits for an empty batch.
    ///
    /// One always comes. Of the batches that are not empty, the one with the lowest number is being
    /// decoded or counted. Neither waits for anything.
    fn empty_batch(&self, mut counting: MutexGuard<'_, Counting<'a>>) -> FrameBatch {
        loop {
            if let Some(batch) = counting.empty.pop() {
                return batch;
            }
            counting = self.emptied.wait(counting).expect(NO_PANIC);
        }
    }
}

impl<'a> Lane<'a> {
    /// Waits until all blocks of a file before this one were walked, or the file has ended.
    fn wait_to_walk(
        &self,
        file: QueuedFile<'a>,
        number: u64,
    ) -> MutexGuard<'_, Option<OpenFile<'a>>> {
        let is_early = |open: &mut Option<OpenFile<'a>>| {
            let open = open.as_ref().filter(|open| open.file == file);
            open.is_some_and(|open| open.walked < number)
        };
        let waiting = self.walked.wait_while(lock(&self.open), is_early);
        waiting.expect(NO_PANIC)
    }
}

impl<'a> OpenFile<'a> {
    fn new(file: QueuedFile<'a>, stream: Stream) -> Self {
        Self {
            file,
            stream,
            reader: BlockReader::default(),
            clock: FrameClock::default(),
            loaded: 0,
            walked: 0,
        }
    }
}

/// Loads the block with this number.
fn load_at(number: u64, file: &SharedFile, block: &mut Block) {
    let mut position = number * Block::SIZE as u64;
    block.load(|buffer| {
        let size = file.read_at(buffer, position)?;
        position += size as u64;
        Ok(size)
    });
}

impl Counting<'_> {
    fn take_next(&mut self) -> Option<FrameBatch> {
        let batch = self.decoded.remove(&self.next)?;
        self.next += 1;
        Some(batch)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(NO_PANIC)
}
