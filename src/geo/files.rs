//! The files of the option `--geo-database`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::Databases;
use super::database::Database;

/// A larger file is not one of these: the largest databases of cities and operators take 500 MB.
const MAX_FILE: u64 = 1 << 30;

/// Why a database cannot be used, at the start.
#[derive(Debug, Error)]
#[error("cannot use '--geo-database {}': {problem}", path.display())]
pub struct Error {
    path: PathBuf,
    problem: String,
}

/// The files, and the databases in them. All threads share it. The default has no file.
#[derive(Debug, Default)]
pub struct Files {
    /// In the order of the options.
    files: Mutex<Vec<OpenFile>>,
}

/// A file whose database is in use.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) path: PathBuf,
    pub(super) database: Arc<Database>,
    pub(super) version: Version,
    /// How many times it has changed to something that cannot be used.
    pub(super) failures: u64,
}

/// What metrics show of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// The file as the option has it.
    pub file: String,
    /// When the database in use was built, by its own account, since 1970.
    pub built: Duration,
    /// The size of the database in use.
    pub bytes: u64,
    /// How many times the file has changed to something that cannot be used.
    pub failures: u64,
}

impl Files {
    /// Opens the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn open(paths: Vec<PathBuf>) -> Result<Self, Error> {
        let files = paths.into_iter().map(|path| match open(&path) {
            Ok((version, database)) => Ok(OpenFile {
                path,
                database: Arc::new(database),
                version,
                failures: 0,
            }),
            Err(problem) => Err(Error { path, problem }),
        });
        Ok(Self {
            files: Mutex::new(files.collect::<Result<_, _>>()?),
        })
    }

    /// Returns the databases in use.
    #[must_use]
    pub fn databases(&self) -> Databases {
        let files = self.lock();
        let databases = files.iter().map(|file| Arc::clone(&file.database));
        Databases::new(databases.collect())
    }

    /// Returns what metrics show, in the order of the options.
    #[must_use]
    pub fn states(&self) -> Vec<FileState> {
        let files = self.lock();
        let states = files.iter().map(|file| FileState {
            file: file.path.display().to_string(),
            built: file.database.built(),
            bytes: file.version.length,
            failures: file.failures,
        });
        states.collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<OpenFile>> {
        self.files
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

/// Returns the size of all files together. Those that cannot be read count as empty: opening them
/// says why.
#[must_use]
pub fn total_size(paths: &[PathBuf]) -> u64 {
    let sizes = paths.iter().filter_map(|path| fs::metadata(path).ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// What tells two contents of a file apart without reading them. Databases may be large, and are
/// replaced rarely.
///
/// Programs can set the time of modification. On Unix, the kernel alone sets the time of the last
/// change, and a file that replaces another one has a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    length: u64,
    modified: Option<SystemTime>,
    /// The file system, the number of the file, and when it changed.
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

impl Version {
    /// Returns the version of the file that is there now.
    ///
    /// # Errors
    /// The file does not exist, is too large, or is not a regular file. Reading a pipe or a device
    /// could block for ever.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        if metadata.len() > MAX_FILE {
            return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
        }
        Ok(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
        })
    }
}

/// Reads the database in a file, and the version of the file before that.
fn open(path: &Path) -> Result<(Version, Database), String> {
    let version = Version::of(path)?;
    let database = read(path)?;
    Ok((version, database))
}

/// Reads the database in a file.
pub(super) fn read(path: &Path) -> Result<Database, String> {
    let content = read_file(path).map_err(|error| error.to_string())?;
    Database::new(content).map_err(|error| error.to_string())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut content = Vec::new();
    // The file may have grown since its version was taken.
    file.take(MAX_FILE).read_to_end(&mut content)?;
    content.shrink_to_fit();
    Ok(content)
}
