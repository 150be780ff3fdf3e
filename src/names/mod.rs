//! Names for addresses.
//!
//! A user chooses [`Source`]s: files (`hosts_file`, `leases`), messages in the mirrored traffic
//! (`dhcp`, `dns`), and reverse DNS (`resolve`). [`Names`] asks them in the order of the command
//! line, and the first that knows an address wins.
//!
//! - A thread that decodes packets reads messages with [`Protocols::read`], and hands what they say
//!   about names to [`Names::learn`].
//! - An output takes a [`NameTable`] of the addresses that it shows.
//! - [`watch::follow`] reads files again when they change; [`resolver::run`] looks names up.
//!
//! Only these two and [`Names::open`] do input or output. Time is an argument everywhere.

mod dhcp;
mod dns;
mod file_names;
mod hosts_file;
mod leases;
mod message;
mod recent;
mod resolve;
pub mod resolver;
mod source;
mod table;
mod text;
pub mod watch;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;

use dhcp::Leases;
use dns::Answers;
use file_names::{FileError, FileNames};
pub use message::{Lesson, Protocols};
use resolve::Lookups;
pub use source::{Source, SourceError};
pub use table::{NameTable, SourceState};
pub use text::Name;

/// A larger file is not one of these: a name for each of 100,000 addresses takes 4 MB.
const MAX_FILE: u64 = 16 << 20;
/// How many addresses are looked up before the lock is released for a moment.
const CHUNK: usize = 1024;

/// Why names cannot be had from a source, at the start.
#[derive(Debug, Error)]
#[error("cannot use '--names {source_name}': {problem}")]
pub struct Error {
    source_name: String,
    problem: String,
}

/// The names that all sources know. All threads share it.
pub struct Names {
    sources: Vec<Source>,
    /// What each source knows, in the same order.
    known: Mutex<Vec<Known>>,
    /// Tells the resolver that addresses wait for it.
    lookups_wait: Notify,
}

/// What a source knows.
struct Known {
    content: Content,
    failures: u64,
}

enum Content {
    File(FileNames),
    Dhcp(Leases),
    Resolve(Lookups),
    Dns(Answers),
}

impl Names {
    /// Opens the sources.
    ///
    /// # Errors
    /// A file cannot be used, or this system lacks what a source needs.
    pub fn open(sources: Vec<Source>) -> Result<Self, Error> {
        let contents = sources.iter().map(|source| {
            let content = open(source).map_err(|problem| Error {
                source_name: source.to_string(),
                problem,
            })?;
            Ok(Known {
                content,
                failures: 0,
            })
        });
        let known = contents.collect::<Result<_, _>>()?;
        Ok(Self {
            sources,
            known: Mutex::new(known),
            lookups_wait: Notify::new(),
        })
    }

    /// Returns which messages in the mirrored traffic the sources need.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        Protocols {
            dhcp: self.sources.contains(&Source::Dhcp),
            dns: self.sources.contains(&Source::Dns),
        }
    }

    /// Learns what messages say about names. `at` is when they arrived; its zero may be any moment.
    /// The names of hosts never come from DNS answers: any server could rename a device.
    pub fn learn(
        &self,
        at: Duration,
        lessons: impl IntoIterator<Item = Lesson>,
        is_host: impl Fn(IpAddr) -> bool,
    ) {
        let mut known = self.lock();
        for Lesson(lesson) in lessons {
            for Known { content, failures } in &mut *known {
                match (content, &lesson) {
                    (Content::Dhcp(leases), message::Kind::Dhcp(exchange)) => {
                        leases.learn(at, exchange.clone());
                    }
                    (Content::Dns(answers), message::Kind::Dns(answer)) => {
                        answers.learn(at, answer, |address| !is_host(address));
                    }
                    (Content::Dhcp(_), message::Kind::UnreadableDhcp)
                    | (Content::Dns(_), message::Kind::UnreadableDns) => *failures += 1,
                    _ => {}
                }
            }
        }
    }

    /// Returns the names of these addresses at `now`, and has those looked up that are not known.
    #[must_use]
    pub fn of(&self, now: Duration, addresses: &[IpAddr]) -> NameTable {
        let mut table = NameTable::default();
        for addresses in addresses.chunks(CHUNK) {
            let mut known = self.lock();
            for &address in addresses {
                let mut contents = known.iter_mut().map(|known| &mut known.content);
                let name = contents.find_map(|content| content.name_of(now, address));
                table.names.extend(name.map(|name| (address, name)));
            }
        }
        table.sources = self.states(now);
        // The resolver checks by itself whether any address waits.
        self.lookups_wait.notify_one();
        table
    }

    /// Returns all names that any source knows at `now`.
    #[must_use]
    pub fn all(&self, now: Duration) -> NameTable {
        let mut table = NameTable::default();
        for known in self.lock().iter().rev() {
            known.content.each(now, |address, name| {
                table.names.insert(address, name.clone());
            });
        }
        table.sources = self.states(now);
        table
    }

    fn states(&self, now: Duration) -> Vec<SourceState> {
        let known = self.lock();
        let states = self.sources.iter().zip(&*known);
        let states = states.map(|(source, known)| {
            let mut names = 0;
            known.content.each(now, |_, _| names += 1);
            SourceState {
                source: source.to_string(),
                names,
                failures: known.failures,
            }
        });
        states.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Content {
    fn name_of(&mut self, now: Duration, address: IpAddr) -> Option<Name> {
        match self {
            Self::File(names) => names.get(&address).cloned(),
            Self::Dhcp(leases) => leases.name_of(now, address),
            Self::Resolve(lookups) => lookups.name_of(now, address),
            Self::Dns(answers) => answers.name_of(now, address),
        }
    }

    /// Calls `visit` with all names.
    fn each(&self, now: Duration, mut visit: impl FnMut(IpAddr, &Name)) {
        match self {
            Self::File(names) => names
                .iter()
                .for_each(|(address, name)| visit(*address, name)),
            Self::Dhcp(leases) => leases
                .iter(now)
                .for_each(|(address, name)| visit(address, name)),
            Self::Resolve(lookups) => lookups
                .iter()
                .for_each(|(address, name)| visit(address, name)),
            Self::Dns(answers) => answers
                .iter(now)
                .for_each(|(address, name)| visit(address, name)),
        }
    }
}

fn open(source: &Source) -> Result<Content, String> {
    match source {
        Source::Hosts(_) | Source::Leases(_) => {
            let content = read(source).map_err(|error| error.to_string())?;
            let names = parse(source, &content).map_err(|error| error.to_string())?;
            Ok(Content::File(names))
        }
        Source::Dhcp => Ok(Content::Dhcp(Leases::default())),
        Source::Resolve if cfg!(unix) => Ok(Content::Resolve(Lookups::default())),
        Source::Resolve => Err(
            "it needs /etc/resolv.conf, which this system lacks; the other sources work".to_owned(),
        ),
        Source::Dns => Ok(Content::Dns(Answers::default())),
    }
}

/// Reads the file of a source. Other sources have none, and no content.
fn read(source: &Source) -> io::Result<Vec<u8>> {
    let (Source::Hosts(path) | Source::Leases(path)) = source else {
        return Ok(Vec::new());
    };
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        let problem = format!("it is larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::other(problem));
    }
    Ok(content)
}

/// Parses the content of the file of a source.
fn parse(source: &Source, content: &[u8]) -> Result<FileNames, FileError> {
    match source {
        Source::Hosts(_) => hosts_file::parse(content),
        _ => leases::parse(content),
    }
}

#[cfg(test)]
mod tests;
