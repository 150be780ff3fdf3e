//! Files that are read again when they change.
//!
//! Editors and copying programs write a file piece by piece, so a poll may find a part of it. So what
//! polls find is debounced: it is used once two polls in a row have found the same.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// How often files are polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Calls `poll` once a second, on a thread that may block: a file may be on a slow disk, or on one of
/// the network. Never completes.
pub async fn poll_regularly(mut poll: impl FnMut() + Send + 'static) {
    let mut polls = interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let polled = spawn_blocking(move || {
            poll();
            poll
        });
        let Ok(returned) = polled.await else {
            // The program is shutting down.
            return std::future::pending().await;
        };
        poll = returned;
    }
}

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// No change, or one that only one poll has found so far.
    None,
    /// The files have what is in use again, after a problem was reported.
    Reverted,
    New(T),
    /// The files cannot be used. Returned once for each problem.
    Problem(String),
}

/// What successive polls find: the content of files, or whatever tells two contents apart.
#[derive(Debug)]
pub struct Debounce<C> {
    /// `None` if nothing was used so far.
    in_use: Option<C>,
    /// What the last poll found, or why the files cannot be read.
    last: Option<Result<C, String>>,
    /// Whether `last` was tried, and cannot be used.
    was_tried: bool,
    /// The problem that was reported last, until it is solved.
    reported: Option<String>,
}

impl<C: PartialEq> Debounce<C> {
    #[must_use]
    pub fn new(in_use: Option<C>) -> Self {
        Self {
            in_use,
            last: None,
            was_tried: false,
            reported: None,
        }
    }

    /// Compares what a poll has found with the poll before and with what is in use. `open` makes
    /// something usable of what was found, which it may compare with what is in use; it is called
    /// once for each change.
    pub fn compare<T>(
        &mut self,
        found: Result<C, String>,
        open: impl FnOnce(&C, Option<&C>) -> Result<T, String>,
    ) -> Change<T> {
        let is_settled = self.last.as_ref() == Some(&found);
        self.was_tried &= is_settled;
        let found = self.last.insert(found);
        if let (Ok(found), Some(in_use)) = (&*found, &self.in_use)
            && found == in_use
        {
            return match self.reported.take() {
                Some(_) => Change::Reverted,
                None => Change::None,
            };
        }
        if !is_settled || self.was_tried {
            return Change::None;
        }
        let opened = match found {
            Ok(found) => open(found, self.in_use.as_ref()),
            Err(problem) => Err(problem.clone()),
        };
        match opened {
            Ok(opened) => {
                self.in_use = self.last.take().and_then(Result::ok);
                self.reported = None;
                Change::New(opened)
            }
            Err(problem) => {
                self.was_tried = true;
                if self.reported.as_ref() == Some(&problem) {
                    return Change::None;
                }
                self.reported = Some(problem.clone());
                Change::Problem(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_tried_once() {
        let mut debounce = Debounce::new(Some("good"));
        let mut tried = 0;
        let mut poll = |found: &'static str| {
            debounce.compare(Ok(found), |found, in_use| {
                tried += 1;
                assert_eq!(in_use, Some(&"good"));
                Err::<(), _>(format!("{found} cannot be used"))
            })
        };
        assert_eq!(poll("good"), Change::None);
        assert_eq!(poll("bad"), Change::None);
        assert_eq!(poll("bad"), Change::Problem("bad cannot be used".into()));
        assert_eq!(poll("bad"), Change::None);
        assert_eq!(poll("worse"), Change::None);
        assert_eq!(
            poll("worse"),
            Change::Problem("worse cannot be used".into())
        );
        assert_eq!(poll("good"), Change::Reverted);
        // The same again is another change.
        assert_eq!(poll("bad"), Change::None);
        assert_eq!(poll("bad"), Change::Problem("bad cannot be used".into()));
        assert_eq!(tried, 3);
    }
}
