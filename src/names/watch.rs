//! Reads the files of sources again when they change.
//!
//! DHCP servers and editors write a file piece by piece, so a read may find a part of it. So the
//! content is debounced, as that of the web configuration is: it is used once two polls in a row
//! have found the same. A file that cannot be used keeps the names before it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::file_names::FileNames;
use super::{Content, Names, Source, SourceState, parse, read};

/// How often the files are read. Their whole content is compared, because modification times are
/// unreliable.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// After so many polls, the log has what the other sources know, if that has changed.
const POLLS_PER_REPORT: u32 = 60;

/// Logs what each source knows, polls the files, and uses what has changed. Never completes. `now`
/// returns the time by which messages arrive.
pub async fn follow(names: Arc<Names>, now: impl Fn() -> Duration) {
    let mut files = names.files();
    let mut reported = names.states(now());
    for state in &reported {
        info!("{}", Report(state));
    }
    let mut polls = interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for poll in 1_u32.. {
        polls.tick().await;
        let shared = Arc::clone(&names);
        // A file may be on a slow disk, or on one of the network.
        let polled = spawn_blocking(move || {
            for file in &mut files {
                let found = file.read();
                shared.apply(file, found);
            }
            files
        });
        let Ok(returned) = polled.await else {
            // The program is shutting down.
            break;
        };
        files = returned;
        if poll % POLLS_PER_REPORT == 0 {
            let states = names.states(now());
            for state in states.iter().filter(|state| !reported.contains(state)) {
                debug!("{}", Report(state));
            }
            reported = states;
        }
    }
    std::future::pending::<()>().await;
}

/// What a source knows, in words.
struct Report<'a>(&'a SourceState);

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(SourceState { source, names, .. }) = self;
        let noun = if *names == 1 { "name" } else { "names" };
        write!(f, "names: {source}: {names} {noun}")
    }
}

/// The file of a source, and what successive polls have found in it.
pub(super) struct Watched {
    source: Source,
    /// The position of the source.
    position: usize,
    /// The content whose names are used; `None` until the first poll.
    in_use: Option<Vec<u8>>,
    /// What the last poll found: the content, or why it cannot be read.
    last: Option<Found>,
    /// The problem that was reported last, until it is solved.
    reported: Option<String>,
}

pub(super) type Found = Result<Vec<u8>, String>;

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// No change, or one that only one poll has found so far.
    None,
    /// The file has the content in use again, after a problem was reported.
    Reverted,
    New(FileNames),
    /// The file cannot be used. Returned once for each problem.
    Problem(String),
}

impl Watched {
    pub(super) fn new(source: Source, position: usize) -> Self {
        Self {
            source,
            position,
            in_use: None,
            last: None,
            reported: None,
        }
    }

    fn read(&self) -> Found {
        read(&self.source).map_err(|error| error.to_string())
    }

    /// Compares what a poll has found with the poll before and with the content in use.
    pub(super) fn compare(&mut self, found: Found) -> Change {
        let is_settled = self.last.as_ref() == Some(&found);
        let found = self.last.insert(found);
        if let (Ok(content), Some(in_use)) = (&*found, &self.in_use)
            && content == in_use
        {
            return match self.reported.take() {
                Some(_) => Change::Reverted,
                None => Change::None,
            };
        }
        if !is_settled {
            return Change::None;
        }
        let parsed = match found {
            Ok(content) => parse(&self.source, content).map_err(|error| error.to_string()),
            Err(problem) => Err(problem.clone()),
        };
        match parsed {
            Ok(names) => {
                self.in_use = self.last.clone().and_then(Result::ok);
                self.reported = None;
                Change::New(names)
            }
            Err(problem) if self.reported.as_ref() == Some(&problem) => Change::None,
            Err(problem) => {
                self.reported = Some(problem.clone());
                Change::Problem(problem)
            }
        }
    }
}

impl Names {
    fn files(&self) -> Vec<Watched> {
        let sources = self.sources.iter().enumerate();
        let files =
            sources.filter(|(_, source)| matches!(source, Source::Hosts(_) | Source::Leases(_)));
        files
            .map(|(position, source)| Watched::new(source.clone(), position))
            .collect()
    }

    /// Uses what a poll has found in a file.
    fn apply(&self, file: &mut Watched, found: Found) {
        let source = &file.source.clone();
        match file.compare(found) {
            Change::None => {}
            Change::Reverted => info!("names: {source}: the file can be used again"),
            Change::New(names) => {
                let known = names.len();
                let state = SourceState {
                    source: source.to_string(),
                    names: known,
                    failures: 0,
                };
                let before = self.replace(file.position, names);
                if before {
                    info!("{}", Report(&state));
                }
            }
            Change::Problem(problem) => {
                self.lock()[file.position].failures += 1;
                warn!("names: {source}: {problem}; the names before it are used");
            }
        }
    }

    /// Replaces the names of a file. Returns whether they differ.
    fn replace(&self, position: usize, names: FileNames) -> bool {
        let mut known = self.lock();
        let content = &mut known[position].content;
        let differs = !matches!(content, Content::File(before) if *before == names);
        *content = Content::File(names);
        differs
    }
}
