//! Reads databases again when their files change. A file that cannot be used keeps the database
//! before it.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use super::Databases;
use super::database::Database;
use super::files::{Files, Version, read};
use crate::reload::{Change, Debounce, poll_regularly};

/// Polls the files, and calls `replaced` with all databases after one of them has changed. Never
/// completes.
pub async fn follow(files: Arc<Files>, replaced: impl Fn(Databases) + Send + 'static) {
    for state in files.states() {
        info!("databases: {} ({} bytes)", state.file, state.bytes);
    }
    let mut watched = files.watched();
    poll_regularly(move || {
        for file in &mut watched {
            if files.apply(file.position, file.poll()) {
                replaced(files.databases());
            }
        }
    })
    .await;
}

/// A file, and what successive polls have found.
pub(super) struct Watched {
    path: PathBuf,
    /// The position of the file.
    position: usize,
    debounce: Debounce<Version>,
}

impl Watched {
    pub(super) fn poll(&mut self) -> Change<(Version, Database)> {
        let path = &self.path;
        self.debounce.compare(Version::of(path), |version, _| {
            Ok((version.clone(), read(path)?))
        })
    }
}

impl Files {
    pub(super) fn watched(&self) -> Vec<Watched> {
        let files = self.lock();
        let files = files.iter().enumerate();
        let watched = files.map(|(position, file)| Watched {
            path: file.path.clone(),
            position,
            debounce: Debounce::new(Some(file.version.clone())),
        });
        watched.collect()
    }

    /// Uses what a poll has found in the file at `position`. Returns whether its database is
    /// another one.
    pub(super) fn apply(&self, position: usize, change: Change<(Version, Database)>) -> bool {
        let file = &mut self.lock()[position];
        let path = file.path.display();
        match change {
            Change::None => {}
            Change::Reverted => info!("databases: {path} can be used again"),
            Change::New((version, database)) => {
                info!("databases: {path} has changed, and was read again");
                file.version = version;
                file.database = Arc::new(database);
                return true;
            }
            Change::Problem(problem) => {
                warn!("databases: {path}: {problem}; the database before it is used");
                file.failures += 1;
            }
        }
        false
    }
}
