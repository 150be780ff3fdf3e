//! Counters of refused connections and requests, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Refused;

/// One counter for each reason.
#[derive(Default)]
pub(super) struct Refusals([AtomicU64; Refused::ALL.len()]);

impl Refusals {
    pub(super) fn count(&self, reason: Refused) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> [u64; Refused::ALL.len()] {
        Refused::ALL.map(|reason| self.0[reason as usize].load(Ordering::Relaxed))
    }
}
