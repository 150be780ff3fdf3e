//! Reads the files of sources again when they change. A file that cannot be used keeps the names
//! before it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::file_names::FileNames;
use super::{Content, Names, Source, SourceState, parse, read};
use crate::reload::{Change, Debounce, poll_regularly};

/// After so many polls, the log has what the other sources know, if that has changed.
const POLLS_PER_REPORT: u32 = 60;

/// Logs what each source knows, polls the files, and uses what has changed. Never completes. `now`
/// returns the time by which messages arrive.
pub async fn follow(names: Arc<Names>, now: impl Fn() -> Duration + Send + 'static) {
    let mut files = names.files();
    let mut reported = names.states(now());
    for state in &reported {
        info!("{}", Report(state));
    }
    let mut poll = 0_u32;
    poll_regularly(move || {
        for file in &mut files {
            let found = file.read();
            names.apply(file, found);
        }
        poll = poll.wrapping_add(1);
        if poll.is_multiple_of(POLLS_PER_REPORT) {
            let states = names.states(now());
            for state in states.iter().filter(|state| !reported.contains(state)) {
                debug!("{}", Report(state));
            }
            reported = states;
        }
    })
    .await;
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

/// The file of a source, and what successive polls have found in it. The whole content is compared,
/// because modification times are unreliable.
pub(super) struct Watched {
    source: Source,
    /// The position of the source.
    position: usize,
    debounce: Debounce<Vec<u8>>,
}

type Found = Result<Vec<u8>, String>;

impl Watched {
    pub(super) fn new(source: Source, position: usize) -> Self {
        Self {
            source,
            position,
            debounce: Debounce::new(None),
        }
    }

    fn read(&self) -> Found {
        read(&self.source).map_err(|error| error.to_string())
    }

    /// Compares what a poll has found with the poll before and with the content in use.
    pub(super) fn compare(&mut self, found: Found) -> Change<FileNames> {
        let source = &self.source;
        self.debounce.compare(found, |content, _| {
            parse(source, content).map_err(|error| error.to_string())
        })
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
        let change = file.compare(found);
        let source = &file.source;
        match change {
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
