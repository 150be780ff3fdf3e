//! Writes many lines with several threads. The output is that of a single thread.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::text::{Line, Text};

/// Number of lines that a thread renders at a time, tens of kilobytes.
const CHUNK: usize = 512;
/// Number of rendered chunks of each thread that wait to be written.
const AHEAD: usize = 2;

/// Writes a line for each of `items`.
///
/// This thread renders every `threads`th chunk, and writes all of them in their order. The other
/// threads render the chunks in between.
pub(super) fn write<T: Sync>(
    out: &mut impl Write,
    threads: usize,
    items: &[T],
    fill: impl Fn(&mut Line<'_>, &T) + Sync,
) -> io::Result<()> {
    let threads = threads.min(items.len().div_ceil(CHUNK));
    if threads < 2 {
        return render(out, items, &fill);
    }
    let chunks = || items.chunks(CHUNK);
    let fill = &fill;
    thread::scope(|scope| {
        let others: Vec<Option<Receiver<Vec<u8>>>> = (1..threads)
            .map(|thread| {
                let (rendered, receiver) = mpsc::sync_channel(AHEAD);
                let work = move || {
                    for chunk in chunks().skip(thread).step_by(threads) {
                        let mut text = Vec::new();
                        render(&mut text, chunk, fill).expect("writing to a Vec does not fail");
                        // Without a receiver, writing has failed.
                        if rendered.send(text).is_err() {
                            return;
                        }
                    }
                };
                let thread = thread::Builder::new().spawn_scoped(scope, work);
                thread.is_ok().then_some(receiver)
            })
            .collect();
        for (position, chunk) in chunks().enumerate() {
            let other = (position % threads).checked_sub(1);
            match other.and_then(|other| others[other].as_ref()) {
                Some(receiver) => {
                    let text = receiver.recv().expect("the thread renders all its chunks");
                    out.write_all(&text)?;
                }
                // A chunk of this thread, or of one that the system refused.
                None => render(out, chunk, fill)?,
            }
        }
        Ok(())
    })
}

fn render<T>(
    out: &mut impl Write,
    items: &[T],
    fill: &impl Fn(&mut Line<'_>, &T),
) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let mut text = Text::new(out);
    for item in items {
        text.push(|line| fill(line, item))?;
    }
    text.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails once this number of bytes was written.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_in_order_with_any_number_of_threads() {
        for count in [0, 1, 511, 512, 513, 10_000] {
            let numbers: Vec<u64> = (0..count).collect();
            let mut expected = Vec::new();
            for number in &numbers {
                writeln!(expected, "{number}").expect("writing to a Vec does not fail");
            }
            for threads in [1, 2, 3, 8] {
                let mut out = Vec::new();
                write(&mut out, threads, &numbers, |line, &number| {
                    line.push_number(number);
                })
                .expect("writing to a Vec does not fail");
                assert!(out == expected, "{count}, {threads} threads");
            }
        }
    }

    #[test]
    fn a_failure_to_write_ends_all_threads() {
        let numbers = vec![7; 100_000];
        for threads in [1, 2, 3] {
            let mut out = Full(50_000);
            write(&mut out, threads, &numbers, |line, &number| {
                line.push_number(number);
            })
            .expect_err("the output is full");
        }
    }
}
