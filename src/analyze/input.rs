//! The input files: finds duplicates, and opens and reads each.

#[cfg(any(windows, test))]
mod stoppable;
#[cfg(unix)]
#[path = "input/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "input/windows.rs"]
mod system;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use super::Stop;
use crate::capture;
pub(super) use system::{Identity, identity_of_output, standard_output};

/// Separates the files that were named before, by the same or another path or link. Returns the
/// distinct files and the duplicates, each with its position in `files`.
pub(super) fn distinct(files: Vec<PathBuf>) -> (Vec<(usize, PathBuf)>, Vec<Duplicate>) {
    let mut seen = HashMap::new();
    let mut distinct = Vec::new();
    let mut duplicates = Vec::new();
    for (position, file) in files.into_iter().enumerate() {
        // A file without an identity cannot be read either. Opening it reports why.
        let original = match identity(&file).map(|identity| seen.entry(identity)) {
            Some(Entry::Occupied(seen)) => Some(PathBuf::clone(seen.get())),
            Some(Entry::Vacant(entry)) => {
                entry.insert(file.clone());
                None
            }
            None => None,
        };
        match original {
            Some(original) => duplicates.push((position, file, original)),
            None => distinct.push((position, file)),
        }
    }
    (distinct, duplicates)
}

/// A file's position, its name, and the name under which it was seen first.
type Duplicate = (usize, PathBuf, PathBuf);

/// Identifies a file independently of its name.
pub(super) fn identity(file: &Path) -> Option<Identity> {
    if is_standard_input(file) {
        system::identity_of_input(&system::standard_input().ok()?)
    } else {
        system::identity_at(file)
    }
}

/// What an input is.
enum Kind {
    /// A file, with its size in bytes.
    File(u64),
    Directory,
    /// A pipe, terminal or device: a read may wait without end.
    Stream,
}

fn kind(file: &Path) -> io::Result<Kind> {
    if is_standard_input(file) {
        Ok(system::kind_of(&system::standard_input()?))
    } else {
        system::kind_at(file)
    }
}

/// Returns the sum of the file sizes in bytes, or `None` if an input is not a regular file.
pub(super) fn total_size(files: &[(usize, PathBuf)]) -> Option<u64> {
    let sizes = files.iter().map(|(_, file)| match kind(file) {
        Ok(Kind::File(size)) => Some(size),
        Ok(Kind::Directory | Kind::Stream) => None,
        // It cannot be read, so it adds nothing.
        Err(_) => Some(0),
    });
    sizes.sum()
}

/// Returns whether all these can be read a second time. A file that cannot be read at all counts as
/// one that can: both times it adds nothing.
pub(super) fn can_be_read_again(files: &[(usize, PathBuf)]) -> bool {
    let is_file = |file| matches!(kind(file), Ok(Kind::File(_)) | Err(_));
    // Even if standard input is a file, a second read would continue where the first ended.
    files
        .iter()
        .all(|(_, file)| !is_standard_input(file) && is_file(file))
}

pub(super) fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// An input that seems to end when [`Stop`] is requested.
pub(super) struct Input {
    source: Source,
    stop: Stop,
    progress: ProgressBar,
}

enum Source {
    /// A file that is read from its beginning.
    File(File),
    /// Anything else.
    Sequential(Box<dyn Read + Send>),
}

impl Input {
    pub(super) fn open(file: &Path, stop: &Stop, progress: &ProgressBar) -> io::Result<Self> {
        let is_standard_input = is_standard_input(file);
        let file = if is_standard_input {
            system::standard_input()?
        } else {
            system::open(file)?
        };
        let source = match system::kind_of(&file) {
            Kind::File(_) if !is_standard_input => Source::File(file),
            // Standard input may begin in the middle of a file.
            Kind::File(_) | Kind::Directory => Source::Sequential(Box::new(file)),
            Kind::Stream => Source::Sequential(system::stoppable(file, stop)?),
        };
        Ok(Self {
            source,
            stop: stop.clone(),
            progress: progress.clone(),
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_requested() {
            return Ok(0);
        }
        let size = match &mut self.source {
            Source::File(file) => file.read(buffer)?,
            Source::Sequential(input) => input.read(buffer)?,
        };
        self.progress.inc(size as u64);
        Ok(size)
    }
}

/// The bytes of an input, for several threads.
pub(super) enum Stream {
    /// A file that is not compressed: threads read it at the same time, at different positions.
    File(Arc<SharedFile>),
    /// One thread at a time reads.
    Sequential(Box<dyn Read + Send>),
}

/// A file that seems to end when [`Stop`] is requested.
pub(super) struct SharedFile {
    file: File,
    stop: Stop,
    progress: ProgressBar,
}

impl Stream {
    pub(super) fn of(input: Input) -> io::Result<Self> {
        match input.source {
            Source::File(file) if !is_compressed(&file)? => Ok(Self::File(Arc::new(SharedFile {
                file,
                stop: input.stop,
                progress: input.progress,
            }))),
            source => capture::unpack(Input { source, ..input }).map(Self::Sequential),
        }
    }
}

fn is_compressed(mut file: &File) -> io::Result<bool> {
    let mut beginning = [0; 4];
    let size = system::read_at(file, &mut beginning, 0)?;
    // On Windows, the file continues after these bytes.
    file.rewind()?;
    Ok(capture::is_compressed(&beginning[..size]))
}

impl SharedFile {
    /// Reads at a position of the file.
    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.stop.is_requested() {
            return Ok(0);
        }
        let size = system::read_at(&self.file, buffer, position)?;
        self.progress.inc(size as u64);
        Ok(size)
    }
}
