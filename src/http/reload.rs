//! Follows the files of the web configuration.

use std::path::{Path, PathBuf};
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

/// What is in force.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) config: Arc<WebConfig>,
    /// Whether it is what the files say now.
    pub(super) is_current: bool,
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
    pub(super) async fn follow(self) {
        let Some((path, mut sources)) = self.file else {
            return std::future::pending().await;
        };
        let mut complaint = Complaint::default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let path = path.clone();
            let Ok((looked, found)) = spawn_blocking(move || {
                let found = look(&path, &sources);
                (sources, found)
            })
            .await
            else {
                // The program ends.
                return std::future::pending().await;
            };
            sources = looked;
            match found {
                Ok(None) if complaint.is_over() => {
                    self.in_force
                        .send_modify(|in_force| in_force.is_current = true);
                    info!("the web configuration is again what is in force");
                }
                Ok(None) => {}
                Ok(Some((new, config))) => {
                    sources = new;
                    complaint = Complaint::default();
                    self.in_force.send_replace(InForce {
                        config: Arc::new(config),
                        is_current: true,
                    });
                    info!("the web configuration has changed and is in force");
                }
                Err(error) => {
                    if let Some(error) = complaint.news(error.to_string()) {
                        self.in_force
                            .send_modify(|in_force| in_force.is_current = false);
                        warn!("{error}; what was read before stays in force");
                    }
                }
            }
        }
    }
}

/// What the files say, if it differs.
fn look(path: &Path, before: &Sources) -> Result<Option<(Sources, WebConfig)>, Error> {
    let sources = Sources::read(path)?;
    if sources == *before {
        return Ok(None);
    }
    let config = sources.config()?;
    Ok(Some((sources, config)))
}

/// What is wrong with the files.
#[derive(Default)]
struct Complaint {
    found: Option<String>,
    said: Option<String>,
}

impl Complaint {
    /// The problem, if it is worth a word: it was there at two looks, so nobody is still writing,
    /// and it was not said before.
    fn news(&mut self, problem: String) -> Option<&str> {
        let is_settled = self.found.as_ref() == Some(&problem);
        let is_said = self.said.as_ref() == Some(&problem);
        self.found = Some(problem);
        if !is_settled || is_said {
            return None;
        }
        self.said.clone_from(&self.found);
        self.said.as_deref()
    }

    /// Forgets it. Returns whether something was said.
    fn is_over(&mut self) -> bool {
        std::mem::take(self).said.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_said_once_when_it_stays() {
        let mut complaint = Complaint::default();
        let mut said = |problem: &str| complaint.news(problem.to_owned()).map(str::to_owned);
        assert_eq!(said("half written"), None);
        assert_eq!(said("bad"), None);
        assert_eq!(said("bad"), Some("bad".to_owned()));
        assert_eq!(said("bad"), None);
        assert_eq!(said("worse"), None);
        assert_eq!(said("worse"), Some("worse".to_owned()));
        assert!(complaint.is_over());
        assert!(!complaint.is_over());
    }
}
