//! Writes the mirrored frames to a capture of their own: `--write-inner`.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{Output, input};
use crate::capture::Frame;
use crate::wire::{self, EthernetFrame, ListenPorts, NotEthernet};

/// The largest snap length of libpcap. Other programs treat a longer record as damage.
const SNAP_LENGTH: u32 = 262_144;

/// The header of the capture: pcap 2.4 with nanoseconds, of Ethernet frames.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, SNAP_LENGTH, 1];

/// Bytes of the buffer for writing.
const BUFFER: usize = 256 * 1024;

/// The last time that a pcap record can have, in 2106.
const LAST_TIME: Duration = Duration::new(u32::MAX as u64, 999_999_999);

/// A capture of the mirrored frames that is being written.
#[derive(Debug)]
pub(super) struct InnerFrames {
    file: PathBuf,
    /// Whether the run writes nothing else.
    is_only_output: bool,
    listen_ports: ListenPorts,
    /// `None` after writing failed.
    out: Option<BufWriter<File>>,
    error: Option<io::Error>,
    not_written: NotWritten,
}

/// Why the capture is missing or incomplete.
#[derive(Debug, Error)]
pub enum CannotWrite {
    #[error("cannot write {}: it is an input", name(.0))]
    IsInput(PathBuf),
    #[error("cannot write {}: standard output is this file", name(.0))]
    IsOutput(PathBuf),
    #[error("cannot write {}: it is a terminal", name(.0))]
    IsTerminal(PathBuf),
    #[error("cannot write {}: {error}; the file is incomplete", name(file))]
    Failed { file: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}", name(file))]
    NotCreated { file: PathBuf, error: io::Error },
}

/// Counts the mirrored frames that a capture of Ethernet frames cannot hold.
#[derive(Debug, Clone, Default)]
pub struct NotWritten {
    file: PathBuf,
    empty: u64,
    raw_ip: u64,
    wlan: u64,
    /// Frames from after 2106, which are written with the last time.
    too_late: u64,
}

impl InnerFrames {
    /// Creates the capture. Refuses a file that is also an input, or to which the metrics are written.
    pub(super) fn create(
        file: PathBuf,
        output: Output,
        inputs: &[PathBuf],
        listen_ports: ListenPorts,
    ) -> Result<Self, CannotWrite> {
        let is_standard_output = is_standard_output(&file);
        let is_only_output = output == Output::Nothing;
        let identity = if is_standard_output {
            input::identity_of_output()
        } else {
            input::identity(&file)
        };
        if let Some(identity) = identity {
            if inputs
                .iter()
                .any(|other| input::identity(other).as_ref() == Some(&identity))
            {
                return Err(CannotWrite::IsInput(file));
            }
            if !is_only_output && input::identity_of_output().as_ref() == Some(&identity) {
                return Err(CannotWrite::IsOutput(file));
            }
        }
        match Self::open(&file) {
            Ok(Some(out)) => Ok(Self {
                is_only_output,
                listen_ports,
                out: Some(out),
                error: None,
                not_written: NotWritten {
                    file: file.clone(),
                    ..NotWritten::default()
                },
                file,
            }),
            Ok(None) => Err(CannotWrite::IsTerminal(file)),
            Err(error) => Err(CannotWrite::NotCreated { file, error }),
        }
    }

    /// Opens the file, and writes the header of the capture. `None` for a terminal.
    fn open(file: &Path) -> io::Result<Option<BufWriter<File>>> {
        let file = if is_standard_output(file) {
            input::standard_output()?
        } else {
            input::create(file)?
        };
        if file.is_terminal() {
            return Ok(None);
        }
        let mut out = BufWriter::with_capacity(BUFFER, file);
        out.write_all(HEADER.map(u32::to_le_bytes).as_flattened())?;
        Ok(Some(out))
    }

    /// Writes the mirrored frame inside this frame, if there is one.
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        match wire::decapsulate(frame.link, frame.captured(), &self.listen_ports) {
            Some(Ok(inner)) => self.write(frame.at, inner),
            Some(Err(NotEthernet::Empty)) => self.not_written.empty += 1,
            Some(Err(NotEthernet::RawIp)) => self.not_written.raw_ip += 1,
            Some(Err(NotEthernet::Wlan)) => self.not_written.wlan += 1,
            None => {}
        }
    }

    fn write(&mut self, at: Duration, inner: EthernetFrame<'_>) {
        let Some(out) = &mut self.out else {
            return;
        };
        self.not_written.too_late += u64::from(at > LAST_TIME);
        if let Err(error) = write_record(out, at.min(LAST_TIME), &inner) {
            self.fail(error);
        }
    }

    /// Flushes, so that a program that reads the capture from a pipe, such as Wireshark, shows all
    /// frames while the input pauses.
    pub(super) fn pause(&mut self) {
        if let Some(Err(error)) = self.out.as_mut().map(BufWriter::flush) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.error = Some(error);
        self.out = None;
    }

    /// Returns whether writing failed and the run has no other output.
    pub(super) fn has_failed_as_only_output(&self) -> bool {
        self.is_only_output && self.error.is_some()
    }

    /// Completes the capture. Returns what it lacks, and why writing failed.
    pub(super) fn finish(mut self) -> (Option<NotWritten>, Option<CannotWrite>) {
        self.pause();
        let is_standard_output = is_standard_output(&self.file);
        let error = self
            .error
            // The reader of standard output closed it, as `head` does.
            .filter(|error| !is_standard_output || error.kind() != io::ErrorKind::BrokenPipe)
            .map(|error| CannotWrite::Failed {
                file: self.file,
                error,
            });
        let not_written = self.not_written;
        ((!not_written.is_empty()).then_some(not_written), error)
    }
}

/// Writes a record, with at most as many bytes as the snap length.
fn write_record(out: &mut impl Write, at: Duration, inner: &EthernetFrame<'_>) -> io::Result<()> {
    let header = inner.header.as_ref().map_or(&[][..], |header| header);
    let rest = &inner.rest[..inner.rest.len().min(SNAP_LENGTH as usize - header.len())];
    let fields = [
        u32::try_from(at.as_secs()).unwrap_or(u32::MAX),
        at.subsec_nanos(),
        u32::try_from(header.len() + rest.len()).unwrap_or(SNAP_LENGTH),
        u32::try_from(inner.length).unwrap_or(u32::MAX),
    ];
    out.write_all(fields.map(u32::to_le_bytes).as_flattened())?;
    out.write_all(header)?;
    out.write_all(rest)
}

fn is_standard_output(file: &Path) -> bool {
    file == Path::new("-")
}

/// Returns how messages name the file.
fn name(file: &Path) -> Cow<'_, str> {
    if is_standard_output(file) {
        "standard output".into()
    } else {
        file.to_string_lossy()
    }
}

impl NotWritten {
    fn is_empty(&self) -> bool {
        self.empty + self.raw_ip + self.wlan + self.too_late == 0
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.raw_ip, "raw IP"),
            (self.wlan, "802.11 that Ethernet cannot carry"),
            (self.empty, "empty"),
        ];
        let kinds: Vec<_> = kinds
            .into_iter()
            .filter(|(frames, _)| *frames > 0)
            .map(|(frames, kind)| format!("{frames} {kind}"))
            .collect();
        write!(f, "{}: ", name(&self.file))?;
        if !kinds.is_empty() {
            write!(
                f,
                "mirrored frames that were not written: {}",
                kinds.join(", ")
            )?;
        }
        if self.too_late > 0 {
            let separator = if kinds.is_empty() { "" } else { "; " };
            let frames = self.too_late;
            write!(
                f,
                "{separator}frames from after 2106, the last year of pcap: {frames}"
            )?;
        }
        Ok(())
    }
}
