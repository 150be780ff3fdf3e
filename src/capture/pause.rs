//! The pause between two reads of a socket.
//!
//! Without a pause, at ordinary rates, the reading thread wakes up for nearly every datagram, and a
//! wake-up costs several times as much as counting the datagram. A pause of some milliseconds after
//! each read that emptied the socket lets datagrams gather in the kernel's buffer. Nothing may be
//! dropped meanwhile, so the pause depends on the size of that buffer and on how fast it fills.
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

/// The longest pause. At 1,000 datagrams/s, one wake-up then serves ten of them; and a scrape still
/// shows what arrived 50 ms before it, even if the thread has to wait for a processor and a lock.
const LONGEST: Duration = Duration::from_millis(10);
/// The shortest pause. A shorter one would cost about as much as it saves.
const SHORTEST: Duration = Duration::from_millis(1);

/// The rate, in bytes a second, that is always expected even if the stream has been slower so far,
/// because a burst comes without warning. It is a million of the smallest datagrams a second, each
/// of which takes about 1 KB of the buffer.
const EXPECTED: u64 = 1_000_000_000;
/// At most 1/`SHARE` of the buffer may fill during a pause. The rest is for the
/// time until the thread gets a processor, and for bursts that are faster than [`EXPECTED`].
const SHARE: u64 = 4;

/// How long it takes until a rate above [`EXPECTED`] is forgotten.
const MEMORY: Duration = Duration::from_secs(1);

/// Decides how long to pause before the next read of one socket.
///
/// Sizes are in the kernel's accounting (see [`ReceiveBuffer`](super::ReceiveBuffer)), where a
/// small datagram takes many times the bytes of its payload.
#[derive(Debug)]
pub struct Pause {
    /// How many bytes may gather during a pause.
    budget: u64,
    /// The fastest rate at which the buffer filled lately, in bytes a second; at least
    /// [`EXPECTED`].
    rate: u64,
}

impl Pause {
    /// Creates a pause for a socket whose receive buffer has `limit` bytes, as the kernel granted
    /// them. With 0, for an unknown size, there is never a pause.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            budget: u64::try_from(limit).unwrap_or(u64::MAX) / SHARE,
            rate: EXPECTED,
        }
    }

    /// Returns how long to pause after a read; `None` means no pause.
    ///
    /// There is none after a full batch, because more datagrams are waiting already, and none at
    /// all with a small buffer.
    #[must_use]
    pub fn after_read(&self, batch_is_full: bool) -> Option<Duration> {
        if batch_is_full {
            return None;
        }
        let micros = self.budget.saturating_mul(1_000_000) / self.rate;
        let wait = Duration::from_micros(micros).min(LONGEST);
        (wait >= SHORTEST).then_some(wait)
    }

    /// Updates the rate: `queued` bytes gathered in the buffer `within` this time since the read
    /// that emptied it.
    pub fn filled(&mut self, queued: usize, within: Duration) {
        let nanos = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX).max(1);
        let queued = u64::try_from(queued).unwrap_or(u64::MAX);
        let rate = queued.saturating_mul(1_000_000_000) / nanos;
        self.rate = rate.max(self.remembered(within)).max(EXPECTED);
    }

    /// Returns the old rate, reduced in proportion to the time since it was measured.
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
    fn there_is_no_wait_after_a_full_batch() {
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
    fn a_full_buffer_after_a_long_time_is_not_a_fast_stream() {
        let mut pause = Pause::new(40_000_000);
        pause.filled(40_000_000, Duration::from_secs(10));
        check(&pause, Some(10_000));
        pause.filled(usize::MAX, Duration::ZERO);
        check(&pause, None);
    }
}
