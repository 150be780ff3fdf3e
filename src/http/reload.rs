//! Reloads the web configuration when its files change.
//!
//! Certificate and key are two files, so a poll may find an incomplete change. An incomplete file
//! that parses could open the server to everybody. So the content is debounced. A change that removes
//! protection is never applied without a restart.
//!
//! The whole content is compared, because modification times are unreliable. That costs less than a
//! scrape, and clients cannot trigger it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::config::{Error, Sources, WebConfig};
use crate::reload::{Change, Debounce, poll_regularly};

/// The configuration in force.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) config: Arc<WebConfig>,
    /// Whether it matches the files.
    pub(super) is_current: bool,
    /// How many times TLS, client certificates or passwords have been switched on.
    protections: u64,
}

/// Waits until TLS, client certificates or passwords are switched on. Connections that are open
/// then must be closed, because the new protection has to apply to their clients as well.
pub(super) fn protection_switched_on(
    mut in_force: watch::Receiver<InForce>,
) -> impl Future<Output = ()> {
    let before = in_force.borrow().protections;
    async move {
        let changed = in_force.wait_for(|now| now.protections != before).await;
        if changed.map(drop).is_err() {
            // The server is shutting down, and closes its connections gracefully by itself.
            std::future::pending::<()>().await;
        }
    }
}

/// The web configuration and the files that it comes from.
pub struct Configuration {
    file: Option<(PathBuf, Sources)>,
    in_force: watch::Sender<InForce>,
}

impl Configuration {
    /// Reads the configuration. Without a path, all settings have their defaults.
    ///
    /// # Errors
    /// A file cannot be read, or its content is not valid.
    pub fn read(path: Option<PathBuf>) -> Result<Self, Error> {
        let (file, config) = match path {
            None => (None, WebConfig::default()),
            Some(path) => {
                let sources = Sources::read(&path)?;
                let config = sources.config()?;
                (Some((path, sources)), config)
            }
        };
        let (in_force, _) = watch::channel(InForce {
            config: Arc::new(config),
            is_current: true,
            protections: 0,
        });
        Ok(Self { file, in_force })
    }

    /// Whether the configuration in force has TLS switched on.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.in_force.borrow().config.tls.is_some()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Polls the files and applies valid changes. Never completes.
    pub(super) async fn follow(mut self) {
        let Some((path, sources)) = self.file.take() else {
            return std::future::pending().await;
        };
        let mut follower = Follower::new(sources);
        poll_regularly(move || {
            let config = Arc::clone(&self.in_force.borrow().config);
            self.apply(follower.compare(Sources::read(&path), &config));
        })
        .await;
    }

    fn apply(&self, change: Change<Box<WebConfig>>) {
        match change {
            Change::None => {}
            Change::Reverted => {
                self.in_force
                    .send_modify(|in_force| in_force.is_current = true);
                info!("the web configuration files match the configuration in force again");
            }
            Change::New(config) => {
                self.in_force.send_modify(|in_force| {
                    if !lost_protection(&config, &in_force.config).is_empty() {
                        in_force.protections += 1;
                    }
                    in_force.config = Arc::new(*config);
                    in_force.is_current = true;
                });
                info!("the web configuration has changed and is in force");
            }
            Change::Problem(problem) => {
                self.in_force
                    .send_modify(|in_force| in_force.is_current = false);
                warn!("{problem}; the previous configuration stays in force");
            }
        }
    }
}

/// Debounces the contents that successive polls find.
struct Follower(Debounce<Sources>);

impl Follower {
    fn new(in_force: Sources) -> Self {
        Self(Debounce::new(Some(in_force)))
    }

    /// Compares what a poll has found with the previous poll and with the configuration in force.
    fn compare(
        &mut self,
        found: Result<Sources, Error>,
        config: &WebConfig,
    ) -> Change<Box<WebConfig>> {
        let found = found.map_err(|error| error.to_string());
        self.0.compare(found, |found, in_force| {
            let in_force = in_force.expect("the configuration was read at the start");
            validate(found, in_force, config).map(Box::new)
        })
    }
}

/// Returns the configuration that the files contain.
///
/// # Errors
/// It is not valid, or must not be applied without a restart.
fn validate(found: &Sources, before: &Sources, in_force: &WebConfig) -> Result<WebConfig, String> {
    let config = found.config().map_err(|error| error.to_string())?;
    let refuse = |what| {
        let problem = format!("{what}; restart the program to apply this change");
        Err(found.error(problem).to_string())
    };
    if found.is_blank() && !before.is_blank() {
        return refuse("it has become empty".to_owned());
    }
    let lost = lost_protection(in_force, &config);
    if !lost.is_empty() {
        return refuse(format!("it no longer has {}", lost.join(" and ")));
    }
    Ok(config)
}

/// Returns the settings of `before` that restrict access and are missing in `after`.
fn lost_protection(before: &WebConfig, after: &WebConfig) -> Vec<&'static str> {
    let mut lost = Vec::new();
    if before.tls.is_some() && after.tls.is_none() {
        lost.push("tls_server_config");
    }
    if before.verifies_clients && !after.verifies_clients {
        lost.push("client_auth_type: RequireAndVerifyClientCert");
    }
    if !before.users.is_empty() && after.users.is_empty() {
        lost.push("basic_auth_users");
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$dU7BGeOZ8m5zLBNcgDprJ.CmjcaQB4nW/yykP4UXbPxr40gU905Lu";

    /// A follower of a file, with polls made by hand.
    struct Polls {
        follower: Follower,
        config: WebConfig,
    }

    fn sources(document: &str) -> Result<Sources, Error> {
        Sources::of_document(document)
    }

    impl Polls {
        fn new(document: &str) -> Self {
            let sources = sources(document).expect("it can be used");
            Self {
                config: sources.config().expect("it can be used"),
                follower: Follower::new(sources),
            }
        }

        /// Polls once, with this content of the file. Returns the change in a word or two.
        fn poll(&mut self, document: &str) -> String {
            match self.follower.compare(sources(document), &self.config) {
                Change::None => String::new(),
                Change::Reverted => "reverted".to_owned(),
                Change::New(config) => {
                    self.config = *config;
                    "new".to_owned()
                }
                Change::Problem(problem) => {
                    let (_, problem) = problem.split_once(": ").expect("the file is named");
                    problem.to_owned()
                }
            }
        }
    }

    fn users() -> String {
        format!("basic_auth_users: {{a: {HASH}, b: {HASH}}}\n")
    }

    #[test]
    fn new_content_is_applied_once_two_polls_have_found_it() {
        let mut polls = Polls::new(&users());
        let headers = "http_server_config: {headers: {X-Frame-Options: deny}}\n";
        let written = users() + headers;
        // Each poll finds another part of it, and each part is valid by itself.
        let half = format!("basic_auth_users: {{a: {HASH}}}\n");
        for found in [&half, &users(), &half, &written] {
            assert_eq!(polls.poll(found), "");
            assert_eq!(polls.config.users.len(), 2);
        }
        assert_eq!(polls.poll(&written), "new");
        assert_eq!(polls.config.headers.len(), 1);
        assert_eq!(polls.poll(&written), "");
    }

    #[test]
    fn a_problem_that_persists_is_reported_once() {
        let mut polls = Polls::new("rate_limit: {interval: 1s, burst: 1}");
        assert_eq!(polls.poll("rate_limit: {interval: 1s"), "");
        let bad = "rate_limit: {interval: 1s}";
        assert_eq!(polls.poll(bad), "");
        let problem = "rate_limit: burst must be at least 1, or no request gets through";
        assert_eq!(polls.poll(bad), problem);
        assert_eq!(polls.poll(bad), "");
        assert_eq!(
            polls.poll("rate_limit: {interval: 1s, burst: 1}"),
            "reverted"
        );
        assert_eq!(polls.poll("rate_limit: {interval: 1s, burst: 1}"), "");
    }

    #[track_caller]
    fn check_refused(document: &str, problem: &str) {
        let mut polls = Polls::new(&users());
        assert_eq!(polls.poll(document), "");
        let expected = format!("{problem}; restart the program to apply this change");
        assert_eq!(polls.poll(document), expected);
        assert_eq!(polls.config.users.len(), 2);
    }

    #[test]
    fn a_change_that_removes_protection_is_refused_until_a_restart() {
        check_refused("", "it has become empty");
        check_refused("\n# basic_auth_users:\n", "it has become empty");
        let no_users = "it no longer has basic_auth_users";
        check_refused("basic_auth_users: {}", no_users);
        check_refused("rate_limit: {interval: 1s, burst: 1}", no_users);
        // Removing a setting that does not restrict access is allowed.
        let mut polls = Polls::new("rate_limit: {interval: 1s, burst: 1}");
        assert_eq!(polls.poll("rate_limit: {}"), "");
        assert_eq!(polls.poll("rate_limit: {}"), "new");
        assert_eq!(polls.poll("rate_limit: {}\n"), "");
        assert_eq!(polls.poll("rate_limit: {}\n"), "new");
        assert_eq!(polls.poll(""), "");
        let problem = "it has become empty; restart the program to apply this change";
        assert_eq!(polls.poll(""), problem);
    }
}
