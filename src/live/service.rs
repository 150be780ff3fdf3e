//! Notifications to systemd, if it started this program: sd_notify(3).

#[cfg(target_os = "linux")]
pub(super) use on_linux::{ready, stopping, watchdog};
#[cfg(not(target_os = "linux"))]
pub(super) use without_systemd::{ready, stopping, watchdog};

#[cfg(target_os = "linux")]
mod on_linux {
    use std::time::Duration;

    use sd_notify::NotifyState;
    use tracing::debug;

    /// Notifies systemd that a capture runs and metrics are served.
    pub(in crate::live) fn ready() {
        notify(NotifyState::Ready);
    }

    /// Notifies systemd that the shutdown has begun.
    pub(in crate::live) fn stopping() {
        notify(NotifyState::Stopping);
    }

    /// Calls `check` and then notifies systemd's watchdog, twice in each interval that systemd asks
    /// for. If `check` does not return, systemd restarts the daemon.
    pub(in crate::live) async fn watchdog(check: impl Fn()) {
        let Some(limit) = sd_notify::watchdog_enabled() else {
            return std::future::pending().await;
        };
        let mut interval = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
        loop {
            interval.tick().await;
            check();
            notify(NotifyState::Watchdog);
        }
    }

    fn notify(state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state]) {
            debug!(%error, "cannot notify systemd");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod without_systemd {
    pub(in crate::live) fn ready() {}

    pub(in crate::live) fn stopping() {}

    /// Never completes.
    pub(in crate::live) async fn watchdog(_check: impl Fn()) {
        std::future::pending().await
    }
}
