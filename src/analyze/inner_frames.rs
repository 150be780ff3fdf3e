//! Writes the mirrored frames to a capture of their own: `--write-inner`.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriteError, PcapWriter};
use thiserror::Error;

use super::{Output, input};
use crate::capture::Frame;
use crate::wire::{self, EthernetFrame, ListenPorts, NotEthernet};

/// The largest snap length of libpcap. Other programs treat a longer record as damage.
const SNAP_LENGTH: u32 = 262_144;

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
    writer: Option<PcapWriter<BufWriter<File>>>,
    error: Option<PcapWriteError>,
    not_written: NotWritten,
    /// Buffer for a frame that gets an Ethernet header.
    frame: Vec<u8>,
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
            Ok(Some(writer)) => Ok(Self {
                is_only_output,
                listen_ports,
                writer: Some(writer),
                error: None,
                not_written: NotWritten {
                    file: file.clone(),
                    ..NotWritten::default()
                },
                file,
                frame: Vec::new(),
            }),
            Ok(None) => Err(CannotWrite::IsTerminal(file)),
            Err(error) => Err(CannotWrite::NotCreated { file, error }),
        }
    }

    /// Opens the file, and writes the header of the capture. `None` for a terminal.
    fn open(file: &Path) -> io::Result<Option<PcapWriter<BufWriter<File>>>> {
        let file = if is_standard_output(file) {
            input::standard_output()?
        } else {
            File::create(file)?
        };
        if file.is_terminal() {
            return Ok(None);
        }
        let header = PcapHeader {
            snaplen: SNAP_LENGTH,
            ts_resolution: PcapTsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(io_error)?;
        Ok(Some(writer))
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
        let Some(writer) = &mut self.writer else {
            return;
        };
        let EthernetFrame {
            header,
            rest,
            length,
        } = inner;
        let bytes = if let Some(header) = header {
            self.frame.clear();
            self.frame.extend(header);
            self.frame.extend(rest);
            &self.frame[..]
        } else {
            rest
        };
        self.not_written.too_late += u64::from(at > LAST_TIME);
        let bytes = &bytes[..bytes.len().min(SNAP_LENGTH as usize)];
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let written = PcapPacket::new(at.min(LAST_TIME), length, bytes)
            .map_err(PcapWriteError::from)
            .and_then(|packet| writer.write_packet(&packet));
        if let Err(error) = written {
            self.fail(error);
        }
    }

    /// Flushes, so that a program that reads the capture from a pipe, such as Wireshark, shows all
    /// frames while the input pauses.
    pub(super) fn pause(&mut self) {
        if let Some(Err(error)) = self.writer.as_mut().map(PcapWriter::flush) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: PcapWriteError) {
        self.error = Some(error);
        self.writer = None;
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
            .map(io_error)
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

fn io_error(error: PcapWriteError) -> io::Error {
    match error {
        PcapWriteError::Io(error) | PcapWriteError::FieldWriteFailed(_, error) => error,
        PcapWriteError::Validation(error) => io::Error::other(error),
    }
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
