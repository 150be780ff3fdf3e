//! What differs between systems about inputs: on Unix.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::Kind;
use crate::analyze::Stop;

/// Device and inode.
pub(in crate::analyze) type Identity = (u64, u64);

pub(super) fn identity_at(file: &Path) -> Option<Identity> {
    Some(identity_from(&file.metadata().ok()?))
}

pub(super) fn identity_of_input(input: &File) -> Option<Identity> {
    Some(identity_from(&input.metadata().ok()?))
}

/// Returns the identity of standard output if that is a file or a pipe. Two writers would spoil
/// these; a device such as `/dev/null` takes any number.
pub(in crate::analyze) fn identity_of_output() -> Option<Identity> {
    let metadata = standard_output().ok()?.metadata().ok()?;
    let kind = metadata.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| identity_from(&metadata))
}

fn identity_from(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

pub(super) fn kind_at(file: &Path) -> io::Result<Kind> {
    file.metadata().map(|metadata| kind_from(&metadata))
}

pub(super) fn kind_of(file: &File) -> Kind {
    let metadata = file.metadata();
    metadata.map_or(Kind::Stream, |metadata| kind_from(&metadata))
}

fn kind_from(metadata: &Metadata) -> Kind {
    if metadata.is_file() {
        Kind::File(metadata.len())
    } else if metadata.is_dir() {
        Kind::Directory
    } else {
        Kind::Stream
    }
}

/// Returns standard input without the buffer of [`io::stdin`].
pub(super) fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Returns standard output without the buffer of [`io::stdout`].
pub(in crate::analyze) fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

pub(super) fn open(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    if file.metadata()?.file_type().is_fifo() {
        // Otherwise opening waits for a writer, and a signal would not interrupt it.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
    }
    options.open(file)
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    FileExt::read_at(file, buffer, position)
}

/// Returns a pipe, terminal or device as an input that seems to end when [`Stop`] is requested.
#[expect(clippy::unnecessary_wraps, reason = "on Windows, this may fail")]
pub(super) fn stoppable(file: File, stop: &Stop) -> io::Result<Box<dyn Read + Send>> {
    let stop = stop.clone();
    Ok(Box::new(Stoppable { file, stop }))
}

struct Stoppable {
    file: File,
    stop: Stop,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stop.wait_readable(&self.file)?;
            if self.stop.is_requested() {
                return Ok(0);
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}
