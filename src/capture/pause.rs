//! How long to wait between two reads of a socket.
//!
//! At ordinary rates, a thread that reads whatever is there is woken for nearly every datagram, and
//! waking costs several times what counting does. A wait of some milliseconds after a read that
//! emptied the socket lets datagrams gather in the kernel's buffer. Meanwhile nothing may be
//! dropped, so the wait depends on how much that buffer holds and how fast it fills.
//!
//! ```text
//! loop {
//!     read a batch and count it;
//!     if let Some(wait) = pause.after_read(batch.is_full()) {
//!         sleep(wait);
//!         pause.filled(ReceiveBuffer::of(&socket)?.queued, time since the read);
//!     }
//! }
//! ```

use std::time::Duration;

/// Long enough that at 1,000 datagrams/s one wake-up serves ten of them. Short enough that a scrape
/// shows what arrived 50 ms before it, even if the thread then waits for a processor and a lock.
const LONGEST: Duration = Duration::from_millis(10);
/// Below this, the wait itself costs about as much as it saves.
const SHORTEST: Duration = Duration::from_millis(1);

/// Bytes a second that may arrive at any time, even if far fewer arrived so far: a burst gives no
/// warning. A million datagrams/s of the smallest size, which take about 1 KB of the buffer each.
const EXPECTED: u64 = 1_000_000_000;
/// The part of the buffer that may fill during a wait. The rest is for the time until the thread
/// gets a processor, and for bursts that are faster than [`EXPECTED`].
const SHARE: u64 = 4;

/// A rate beyond [`EXPECTED`] is forgotten after this time.
const MEMORY: Duration = Duration::from_secs(1);

/// Decides how long to wait before the next read of one socket.
///
/// Sizes are in the kernel's accounting (see [`ReceiveBuffer`](super::ReceiveBuffer)), where a
/// small datagram takes many times the bytes of its payload.
#[derive(Debug)]
pub struct Pause {
    /// What may gather during a wait.
    budget: u64,
    /// The fastest that the buffer filled lately, in bytes a second; at least [`EXPECTED`].
    rate: u64,
}

impl Pause {
    /// `limit` is the size of the receive buffer that the kernel granted; 0 if it is not known,
    /// and then there is never a wait.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            budget: u64::try_from(limit).unwrap_or(u64::MAX) / SHARE,
            rate: EXPECTED,
        }
    }

    /// How long to wait after a read; `None`: not at all.
    ///
    /// A full batch did not empty the socket, so more is waiting already. With a small buffer, there
    /// is never a wait.
    #[must_use]
    pub fn after_read(&self, batch_is_full: bool) -> Option<Duration> {
        if batch_is_full {
            return None;
        }
        let micros = self.budget.saturating_mul(1_000_000) / self.rate;
        let wait = Duration::from_micros(micros).min(LONGEST);
        (wait >= SHORTEST).then_some(wait)
    }

    /// Takes into account that `queued` bytes gathered in the buffer `within` this time, since the
    /// read that emptied it.
    pub fn filled(&mut self, queued: usize, within: Duration) {
        let nanos = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX).max(1);
        let queued = u64::try_from(queued).unwrap_or(u64::MAX);
        let rate = queued.saturating_mul(1_000_000_000) / nanos;
        self.rate = rate.max(self.remembered(within)).max(EXPECTED);
    }

    /// What is left of the rate after this time.
    fn remembered(&self, time: Duration) -> u64 {
        let left = MEMORY.saturating_sub(time).as_micros();
        let left = u128::from(self.rate) * left / MEMORY.as_micros();
        u64::try_from(left).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[track_caller]
    fn check(pause: &Pause, expected_micros: Option<u64>) {
        let expected = expected_micros.map(Duration::from_micros);
        assert_eq!(pause.after_read(false), expected);
    }

    /// A fourth of the buffer at a gigabyte a second. Linux grants twice what is asked for.
    #[test]
    fn the_wait_depends_on_the_buffer() {
        check(&Pause::new(2 * 1023 * MIB), Some(10_000));
        check(&Pause::new(40_000_000), Some(10_000));
        check(&Pause::new(2 * 16 * MIB), Some(8_388));
        check(&Pause::new(2 * 4 * MIB), Some(2_097));
        check(&Pause::new(4_000_000), Some(1_000));
    }

    #[test]
    fn with_a_small_or_unknown_buffer_there_is_no_wait() {
        check(&Pause::new(3_999_999), None);
        check(&Pause::new(2 * MIB), None);
        check(&Pause::new(212_992), None);
        check(&Pause::new(0), None);
    }

    #[test]
    fn what_is_waiting_already_is_read_at_once() {
        let pause = Pause::new(32 * MIB);
        assert_eq!(pause.after_read(true), None);
        assert!(pause.after_read(false).is_some());
    }

    /// 1,000 and 8,000 datagrams/s of 1 KB fill far less than what is expected anyway.
    #[test]
    fn an_ordinary_rate_does_not_shorten_the_wait() {
        let mut pause = Pause::new(40_000_000);
        for queued in [0, 10_240, 81_920] {
            pause.filled(queued, Duration::from_millis(10));
            check(&pause, Some(10_000));
        }
    }

    /// Datagrams of 66 KB, 40,000/s: 2.64 GB a second. A budget of 10 MB lasts for 3.787 ms.
    #[test]
    fn a_faster_stream_shortens_the_wait_so_that_it_still_fits() {
        let mut pause = Pause::new(40_000_000);
        pause.filled(26_400_000, Duration::from_millis(10));
        check(&pause, Some(3_787));
        // 100 GB a second: a wait would be shorter than the shortest.
        pause.filled(40_000_000, Duration::from_micros(400));
        check(&pause, None);
    }

    /// 4 GB a second: 2.5 ms. After 0.5 s, half is left: 5 ms. After 0.5 s more, a half of that.
    #[test]
    fn a_fast_stream_is_forgotten() {
        let mut pause = Pause::new(40_000_000);
        pause.filled(40_000_000, Duration::from_millis(10));
        check(&pause, Some(2_500));
        pause.filled(1_000, Duration::from_millis(500));
        check(&pause, Some(5_000));
        pause.filled(1_000, Duration::from_millis(500));
        check(&pause, Some(10_000));
    }

    /// The thread was stopped for ten seconds, and the buffer is full.
    #[test]
    fn a_buffer_that_filled_slowly_is_no_fast_stream() {
        let mut pause = Pause::new(40_000_000);
        pause.filled(40_000_000, Duration::from_secs(10));
        check(&pause, Some(10_000));
        pause.filled(usize::MAX, Duration::ZERO);
        check(&pause, None);
    }
}
