//! What differs between systems about inputs: on Windows.

use std::fs::File;
use std::io::{self, Read};
use std::os::windows::fs::FileExt;
use std::os::windows::io::AsHandle;
use std::path::{Component, Path, Prefix};

use winapi_util::file::{information, typ};
use winapi_util::{AsHandleRef, Handle};

use super::Kind;
use super::stoppable::Stoppable;
use crate::analyze::Stop;

/// Identifies an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::analyze) enum Identity {
    /// Serial number of the volume, and the file's number there.
    File(u64, u64),
    /// Standard input that is not a file, such as a pipe.
    StandardInput,
}

pub(super) fn identity_at(file: &Path) -> Option<Identity> {
    if is_device(file) {
        return None;
    }
    identity_of(Handle::from_path_any(file).ok()?)
}

pub(super) fn identity_of_input(input: &File) -> Option<Identity> {
    identity_of(input).or(Some(Identity::StandardInput))
}

/// Returns the identity of standard output if that is a file, which two writers would spoil.
pub(in crate::analyze) fn identity_of_output() -> Option<Identity> {
    identity_of(&standard_output().ok()?)
}

/// Returns the identity of a file on a disk. Pipes and devices have none.
fn identity_of(file: impl AsHandleRef) -> Option<Identity> {
    if !is_on_disk(&file) {
        return None;
    }
    let information = information(file).ok()?;
    Some(Identity::File(
        information.volume_serial_number(),
        information.file_index(),
    ))
}

fn is_on_disk(file: impl AsHandleRef) -> bool {
    typ(file).is_ok_and(|typ| typ.is_disk())
}

/// Whether this is a name like `\\.\pipe\a`. To open a pipe connects to it, which it may allow only
/// once.
fn is_device(file: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = file.components().next() else {
        return false;
    };
    matches!(prefix.kind(), Prefix::DeviceNS(_))
}

pub(super) fn kind_at(file: &Path) -> io::Result<Kind> {
    if is_device(file) {
        return Ok(Kind::Stream);
    }
    if file.is_dir() {
        return Ok(Kind::Directory);
    }
    Ok(kind_of(&open(file)?))
}

pub(super) fn kind_of(file: &File) -> Kind {
    // For pipes and for NUL, asking for metadata is an error.
    match file.metadata() {
        Ok(metadata) if is_on_disk(file) => Kind::File(metadata.len()),
        _ => Kind::Stream,
    }
}

/// Returns standard input without the buffer of [`io::stdin`].
pub(super) fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// Returns standard output without the buffer of [`io::stdout`].
pub(in crate::analyze) fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

pub(super) fn open(file: &Path) -> io::Result<File> {
    File::open(file).map_err(|error| {
        // For a directory, Windows says that access is denied.
        if file.is_dir() {
            io::ErrorKind::IsADirectory.into()
        } else {
            error
        }
    })
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    FileExt::seek_read(file, buffer, position)
}

/// Returns a pipe, console or device as an input that seems to end when [`Stop`] is requested.
pub(super) fn stoppable(file: File, stop: &Stop) -> io::Result<Box<dyn Read + Send>> {
    let stop = stop.clone();
    Ok(Box::new(Stoppable::new(file, move || stop.is_requested())?))
}
