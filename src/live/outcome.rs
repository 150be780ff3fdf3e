use std::time::Duration;

/// How one run of a capture went.
pub(super) enum Outcome {
    /// It ended because the daemon was asked to stop.
    Stopped,
    /// It failed before it captured anything. Contains the reason.
    NeverStarted(String),
    Ended {
        reason: String,
        /// How long it captured.
        ran: Duration,
    },
}
