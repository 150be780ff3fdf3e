//! What systemd is told when it started this program: sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// A capture runs and metrics are served.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells the watchdog, as often as systemd asks for, that `check` came back.
pub(super) async fn watchdog(check: impl Fn()) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut interval = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        interval.tick().await;
        check();
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        debug!(%error, "cannot notify systemd");
    }
}
