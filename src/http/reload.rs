//! Follows the files of the web configuration.
//!
//! Editors and copying programs write a file piece by piece, and certificate and key are two
//! files: whatever is found may be half of something. A half that parses could open the server to
//! everybody. So new content is used only once two looks in a row have found the same, and what
//! takes away protection is never used without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::config::{Error, Sources, WebConfig};

/// How often the files are looked at. They are compared whole, which needs no trust in clocks and
/// costs less than a scrape; and no client can make it more.
const LOOK: Duration = Duration::from_secs(1);

/// The configuration in force.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) config: Arc<WebConfig>,
    /// Whether it is what the files say now.
    pub(super) is_current: bool,
    /// How often TLS, client certificates or passwords were switched on.
    protections: u64,
}

/// Waits until TLS, client certificates or passwords are switched on, which holds for connections
/// that are open as well: they have to come again.
pub(super) fn protection_switched_on(
    mut in_force: watch::Receiver<InForce>,
) -> impl Future<Output = ()> {
    let before = in_force.borrow().protections;
    async move {
        let changed = in_force.wait_for(|now| now.protections != before).await;
        if changed.map(drop).is_err() {
            // The server ends, and closes its connections in its own way.
            std::future::pending::<()>().await;
        }
    }
}

/// The web configuration, and where it comes from.
pub struct Configuration {
    file: Option<(PathBuf, Sources)>,
    in_force: watch::Sender<InForce>,
}

impl Configuration {
    /// Reads it; without a file, all defaults hold.
    ///
    /// # Errors
    /// It cannot be used.
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

    /// Whether TLS is spoken, as things are.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.in_force.borrow().config.tls.is_some()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Reads the files again and again, and puts in force what can be used. For ever.
    pub(super) async fn follow(mut self) {
        let Some((path, sources)) = self.file.take() else {
            return std::future::pending().await;
        };
        let mut follower = Follower::new(sources);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let path = path.clone();
            let config = Arc::clone(&self.in_force.borrow().config);
            // Reading files and checking keys may take long.
            let look = spawn_blocking(move || {
                let change = follower.look(Sources::read(&path), &config);
                (follower, change)
            });
            let Ok((looked, change)) = look.await else {
                // The program ends.
                return std::future::pending().await;
            };
            follower = looked;
            self.apply(change);
        }
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Undone => {
                self.in_force
                    .send_modify(|in_force| in_force.is_current = true);
                info!("the web configuration is again what is in force");
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
                warn!("{problem}; what was read before stays in force");
            }
        }
    }
}

/// What a look at the files leads to.
enum Change {
    /// Nothing new, or nothing that two looks have found.
    Nothing,
    /// The files say again what is in force, after a problem with them was told.
    Undone,
    New(Box<WebConfig>),
    /// What the files say cannot be used. Told once for each problem.
    Problem(String),
}

/// Compares what looks at the files find.
struct Follower {
    in_force: Sources,
    /// What the last look found: the files, or why they cannot be read.
    last: Option<Result<Sources, String>>,
    /// The problem that was told last, until it is solved.
    told: Option<String>,
}

impl Follower {
    fn new(in_force: Sources) -> Self {
        Self {
            in_force,
            last: None,
            told: None,
        }
    }

    /// Takes what a look has found. `config` is what is in force.
    fn look(&mut self, found: Result<Sources, Error>, config: &WebConfig) -> Change {
        let found = found.map_err(|error| error.to_string());
        let is_settled = self.last.as_ref() == Some(&found);
        let found = self.last.insert(found);
        if found.as_ref() == Ok(&self.in_force) {
            return match self.told.take() {
                Some(_) => Change::Undone,
                None => Change::Nothing,
            };
        }
        if !is_settled {
            return Change::Nothing;
        }
        let judged = match found {
            Ok(sources) => judge(sources, &self.in_force, config),
            Err(problem) => Err(problem.clone()),
        };
        match judged {
            Ok(new) => {
                if let Some(Ok(sources)) = self.last.take() {
                    self.in_force = sources;
                }
                self.told = None;
                Change::New(Box::new(new))
            }
            Err(problem) if self.told.as_ref() == Some(&problem) => Change::Nothing,
            Err(problem) => {
                self.told = Some(problem.clone());
                Change::Problem(problem)
            }
        }
    }
}

/// What the files say, if that may be put in force without a restart.
fn judge(found: &Sources, before: &Sources, in_force: &WebConfig) -> Result<WebConfig, String> {
    let config = found.config().map_err(|error| error.to_string())?;
    let refuse = |what| {
        let problem = format!("{what}; restart the program to use it like this");
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

/// The ways in which `before` keeps people out and `after` does not.
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

    /// A follower of a file, moved by hand from look to look.
    struct Looks {
        follower: Follower,
        config: WebConfig,
    }

    fn sources(document: &str) -> Result<Sources, Error> {
        Sources::of_document(document)
    }

    impl Looks {
        fn new(document: &str) -> Self {
            let sources = sources(document).expect("it can be used");
            Self {
                config: sources.config().expect("it can be used"),
                follower: Follower::new(sources),
            }
        }

        /// What becomes of a look that finds this: what changes, in a word or two.
        fn look(&mut self, document: &str) -> String {
            match self.follower.look(sources(document), &self.config) {
                Change::Nothing => String::new(),
                Change::Undone => "undone".to_owned(),
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
    fn new_content_is_used_once_two_looks_have_found_it() {
        let mut looks = Looks::new(&users());
        let headers = "http_server_config: {headers: {X-Frame-Options: deny}}\n";
        let written = users() + headers;
        // Each look finds a longer part of it, and all of them can be used.
        let half = format!("basic_auth_users: {{a: {HASH}}}\n");
        for found in [&half, &users(), &half, &written] {
            assert_eq!(looks.look(found), "");
            assert_eq!(looks.config.users.len(), 2);
        }
        assert_eq!(looks.look(&written), "new");
        assert_eq!(looks.config.headers.len(), 1);
        assert_eq!(looks.look(&written), "");
    }

    #[test]
    fn a_problem_is_told_once_when_it_stays() {
        let mut looks = Looks::new("rate_limit: {interval: 1s, burst: 1}");
        assert_eq!(looks.look("rate_limit: {interval: 1s"), "");
        let bad = "rate_limit: {interval: 1s}";
        assert_eq!(looks.look(bad), "");
        let problem = "rate_limit: burst must be at least 1, or no request gets through";
        assert_eq!(looks.look(bad), problem);
        assert_eq!(looks.look(bad), "");
        assert_eq!(looks.look("rate_limit: {interval: 1s, burst: 1}"), "undone");
        assert_eq!(looks.look("rate_limit: {interval: 1s, burst: 1}"), "");
    }

    #[track_caller]
    fn check_refused(document: &str, problem: &str) {
        let mut looks = Looks::new(&users());
        assert_eq!(looks.look(document), "");
        let expected = format!("{problem}; restart the program to use it like this");
        assert_eq!(looks.look(document), expected);
        assert_eq!(looks.config.users.len(), 2);
    }

    #[test]
    fn what_takes_protection_away_is_refused_until_a_restart() {
        check_refused("", "it has become empty");
        check_refused("\n# basic_auth_users:\n", "it has become empty");
        let no_users = "it no longer has basic_auth_users";
        check_refused("basic_auth_users: {}", no_users);
        check_refused("rate_limit: {interval: 1s, burst: 1}", no_users);
        // What protects nothing may go.
        let mut looks = Looks::new("rate_limit: {interval: 1s, burst: 1}");
        assert_eq!(looks.look("rate_limit: {}"), "");
        assert_eq!(looks.look("rate_limit: {}"), "new");
        assert_eq!(looks.look("rate_limit: {}\n"), "");
        assert_eq!(looks.look("rate_limit: {}\n"), "new");
        assert_eq!(looks.look(""), "");
        let problem = "it has become empty; restart the program to use it like this";
        assert_eq!(looks.look(""), problem);
    }
}
