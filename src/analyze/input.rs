//! The input files: finds duplicates, and opens and reads each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use super::Stop;
use crate::capture;

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

/// Identifies a file independently of its name: device and inode, or elsewhere the canonical path.
#[cfg(unix)]
pub(super) type Identity = (u64, u64);
#[cfg(not(unix))]
pub(super) type Identity = PathBuf;

#[cfg(unix)]
pub(super) fn identity(file: &Path) -> Option<Identity> {
    Some(identity_from(&metadata(file)?))
}

#[cfg(unix)]
fn identity_from(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    (metadata.dev(), metadata.ino())
}

/// Returns the identity of standard output if that is a file or a pipe. Two writers would spoil
/// these; a device such as `/dev/null` takes any number.
#[cfg(unix)]
pub(super) fn identity_of_output() -> Option<Identity> {
    use std::os::unix::fs::FileTypeExt;

    let metadata = standard_output().ok()?.metadata().ok()?;
    let kind = metadata.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| identity_from(&metadata))
}

#[cfg(not(unix))]
pub(super) fn identity_of_output() -> Option<Identity> {
    None
}

#[cfg(not(unix))]
pub(super) fn identity(file: &Path) -> Option<Identity> {
    if is_standard_input(file) {
        return Some(file.to_owned());
    }
    file.canonicalize().ok()
}

/// Returns the sum of the file sizes in bytes, or `None` if an input is not a regular file.
pub(super) fn total_size(files: &[(usize, PathBuf)]) -> Option<u64> {
    let sizes = files.iter().map(|(_, file)| match metadata(file) {
        Some(metadata) if metadata.is_file() => Some(metadata.len()),
        Some(_) => None,
        // It cannot be read, so it adds nothing.
        None => Some(0),
    });
    sizes.sum()
}

/// Returns whether all these can be read a second time. A file that cannot be read at all counts as
/// one that can: both times it adds nothing.
pub(super) fn can_be_read_again(files: &[(usize, PathBuf)]) -> bool {
    let is_file = |file| metadata(file).is_none_or(|metadata| metadata.is_file());
    // Even if standard input is a file, a second read would continue where the first ended.
    files
        .iter()
        .all(|(_, file)| !is_standard_input(file) && is_file(file))
}

fn metadata(file: &Path) -> Option<Metadata> {
    if is_standard_input(file) {
        standard_input().and_then(|file| file.metadata()).ok()
    } else {
        file.metadata().ok()
    }
}

pub(super) fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// Returns standard input without the buffer of [`io::stdin`].
#[cfg(unix)]
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd;

    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn standard_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle;

    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// Returns standard output without the buffer of [`io::stdout`].
#[cfg(unix)]
pub(super) fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd;

    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
pub(super) fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle;

    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

#[cfg(unix)]
fn open(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    use nix::fcntl::OFlag;

    let mut options = OpenOptions::new();
    options.read(true);
    if file.metadata()?.file_type().is_fifo() {
        // Otherwise opening waits for a writer, and a signal would not interrupt it.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
    }
    options.open(file)
}

#[cfg(not(unix))]
fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(file)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}

/// An input that seems to end when [`Stop`] is requested.
pub(super) struct Input {
    file: File,
    /// Whether a read may wait without end, as on a pipe.
    may_wait: bool,
    /// Whether it is a file that is read from its beginning.
    has_positions: bool,
    stop: Stop,
    progress: ProgressBar,
}

impl Input {
    pub(super) fn open(file: &Path, stop: &Stop, progress: &ProgressBar) -> io::Result<Self> {
        let is_standard_input = is_standard_input(file);
        let file = if is_standard_input {
            standard_input()?
        } else {
            open(file)?
        };
        let kind = file.metadata()?.file_type();
        Ok(Self {
            file,
            may_wait: !kind.is_file() && !kind.is_dir(),
            // Standard input may begin in the middle of a file.
            has_positions: kind.is_file() && !is_standard_input,
            stop: stop.clone(),
            progress: progress.clone(),
        })
    }
}

/// The bytes of an input, for several threads.
pub(super) enum Stream {
    /// A file that is not compressed: threads read it at the same time, at different positions.
    File(Arc<Input>),
    /// One thread at a time reads.
    Sequential(Box<dyn Read + Send>),
}

impl Stream {
    pub(super) fn of(input: Input) -> io::Result<Self> {
        if input.has_positions && !input.is_compressed()? {
            return Ok(Self::File(Arc::new(input)));
        }
        capture::unpack(input).map(Self::Sequential)
    }
}

impl Input {
    /// Reads at a position of a file.
    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.stop.is_requested() {
            return Ok(0);
        }
        let size = read_at(&self.file, buffer, position)?;
        self.progress.inc(size as u64);
        Ok(size)
    }

    fn is_compressed(&self) -> io::Result<bool> {
        let mut beginning = [0; 4];
        let size = read_at(&self.file, &mut beginning, 0)?;
        // On Windows, the file continues after these bytes.
        (&self.file).rewind()?;
        Ok(capture::is_compressed(&beginning[..size]))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.may_wait {
                self.stop.wait_readable(&self.file)?;
            }
            if self.stop.is_requested() {
                return Ok(0);
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(size) => {
                    self.progress.inc(size as u64);
                    return Ok(size);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
