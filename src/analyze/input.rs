//! The files that are to be read: which are the same, and how each is read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::Stop;

/// Takes out the files that were named before, be it by another path or another link. Returns
/// what is left, and the others with what they are again; each with its position.
pub(super) fn distinct(files: Vec<PathBuf>) -> (Vec<(usize, PathBuf)>, Vec<Again>) {
    let mut seen = HashMap::new();
    let mut distinct = Vec::new();
    let mut again = Vec::new();
    for (position, file) in files.into_iter().enumerate() {
        // What cannot be identified cannot be read either, and says so then.
        let before = match identity(&file).map(|identity| seen.entry(identity)) {
            Some(Entry::Occupied(before)) => Some(PathBuf::clone(before.get())),
            Some(Entry::Vacant(place)) => {
                place.insert(file.clone());
                None
            }
            None => None,
        };
        match before {
            Some(before) => again.push((position, file, before)),
            None => distinct.push((position, file)),
        }
    }
    (distinct, again)
}

/// A file's position, its name, and the name that it had before.
type Again = (usize, PathBuf, PathBuf);

/// What a file is, whatever its name.
#[cfg(unix)]
pub(super) type Identity = (u64, u64);
#[cfg(not(unix))]
pub(super) type Identity = PathBuf;

#[cfg(unix)]
pub(super) fn identity(file: &Path) -> Option<Identity> {
    Some(identity_by(&metadata(file)?))
}

#[cfg(unix)]
fn identity_by(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    (metadata.dev(), metadata.ino())
}

/// What standard output is, if it is something that writing to it twice would spoil.
#[cfg(unix)]
pub(super) fn identity_of_output() -> Option<Identity> {
    use std::os::unix::fs::FileTypeExt;

    let metadata = standard_output().ok()?.metadata().ok()?;
    let kind = metadata.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| identity_by(&metadata))
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

/// The bytes that all of these hold, or `None` if one of them is not a file of a known size.
pub(super) fn total_size(files: &[(usize, PathBuf)]) -> Option<u64> {
    let sizes = files.iter().map(|(_, file)| match metadata(file) {
        Some(metadata) if metadata.is_file() => Some(metadata.len()),
        Some(_) => None,
        // It cannot be read.
        None => Some(0),
    });
    sizes.sum()
}

/// Whether all these can be read a second time. One that cannot be read at all can be left out
/// again.
pub(super) fn can_be_read_again(files: &[(usize, PathBuf)]) -> bool {
    let is_file = |file| metadata(file).is_none_or(|metadata| metadata.is_file());
    // A second reading of standard input would go on where the first one ended.
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

/// Without the buffer that [`io::stdin`] has.
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

/// Without the buffer that [`io::stdout`] has.
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
        // Or opening it waits for a writer, and signals do not end that.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
    }
    options.open(file)
}

#[cfg(not(unix))]
fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(file)
}

/// An input that ends early if [`Stop`] says so.
pub(super) struct Input {
    file: File,
    /// Reading it may take for ever.
    waits: bool,
    stop: Stop,
    progress: ProgressBar,
}

impl Input {
    pub(super) fn open(file: &Path, stop: &Stop, progress: &ProgressBar) -> io::Result<Self> {
        let file = if is_standard_input(file) {
            standard_input()?
        } else {
            open(file)?
        };
        let kind = file.metadata()?.file_type();
        Ok(Self {
            file,
            waits: !kind.is_file() && !kind.is_dir(),
            stop: stop.clone(),
            progress: progress.clone(),
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.waits {
                self.stop.or_readable(&self.file)?;
            }
            if self.stop.is_asked_for() {
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
