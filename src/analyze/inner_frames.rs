//! The mirrored frames as a capture of their own: `--write-inner`.

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

/// libpcap's largest snap length; programs take a longer record for damage.
const SNAP_LENGTH: u32 = 262_144;

/// The last moment that a pcap can tell, in 2106.
const LAST_MOMENT: Duration = Duration::new(u32::MAX as u64, 999_999_999);

/// A capture of the mirrored frames that is being written.
#[derive(Debug)]
pub(super) struct InnerFrames {
    file: PathBuf,
    /// Nothing else is written.
    is_all: bool,
    listen_ports: ListenPorts,
    /// `None` once writing failed.
    writer: Option<PcapWriter<BufWriter<File>>>,
    error: Option<PcapWriteError>,
    not_written: NotWritten,
    /// A frame whose header is made here.
    frame: Vec<u8>,
}

/// Why a file does not hold all that it should.
#[derive(Debug, Error)]
pub enum CannotWrite {
    #[error("cannot write {}: it is one of the captures that are read", name(.0))]
    IsInput(PathBuf),
    #[error("cannot write {}: standard output goes there", name(.0))]
    IsOutput(PathBuf),
    #[error("cannot write {}: a capture makes no sense on a terminal", name(.0))]
    IsTerminal(PathBuf),
    #[error("cannot write {}: {error}; it does not hold all frames", name(file))]
    Failed { file: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}", name(file))]
    NotCreated { file: PathBuf, error: io::Error },
}

/// Mirrored frames that a capture of Ethernet has no place for.
#[derive(Debug, Clone, Default)]
pub struct NotWritten {
    file: PathBuf,
    empty: u64,
    raw_ip: u64,
    wlan: u64,
    /// Those that are written with another time.
    too_late: u64,
}

impl InnerFrames {
    /// Refuses to overwrite what is still to be read, and to mix with the metrics.
    pub(super) fn create(
        file: PathBuf,
        output: Output,
        inputs: &[PathBuf],
        listen_ports: ListenPorts,
    ) -> Result<Self, CannotWrite> {
        let is_standard_output = is_standard_output(&file);
        let is_all = output == Output::Nothing;
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
            if !is_all && input::identity_of_output().as_ref() == Some(&identity) {
                return Err(CannotWrite::IsOutput(file));
            }
        }
        match Self::open(&file) {
            Ok(Some(writer)) => Ok(Self {
                is_all,
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

    /// `None` for a terminal.
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

    /// Writes the frame that this one mirrors, if it does.
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
        self.not_written.too_late += u64::from(at > LAST_MOMENT);
        let bytes = &bytes[..bytes.len().min(SNAP_LENGTH as usize)];
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let written = PcapPacket::new(at.min(LAST_MOMENT), length, bytes)
            .map_err(PcapWriteError::from)
            .and_then(|packet| writer.write_packet(&packet));
        if let Err(error) = written {
            self.fail(error);
        }
    }

    /// Hands on what was written: whoever reads it, such as Wireshark, need not wait for more.
    pub(super) fn pause(&mut self) {
        if let Some(Err(error)) = self.writer.as_mut().map(PcapWriter::flush) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: PcapWriteError) {
        self.error = Some(error);
        self.writer = None;
    }

    /// Whether this was all that there is to write, and it cannot be written any more.
    pub(super) fn is_all_and_failed(&self) -> bool {
        self.is_all && self.error.is_some()
    }

    /// What did not come to be as it should.
    pub(super) fn finish(mut self) -> (Option<NotWritten>, Option<CannotWrite>) {
        self.pause();
        let is_standard_output = is_standard_output(&self.file);
        let error = self
            .error
            .map(io_error)
            // Whoever reads standard output has seen enough.
            .filter(|error| !is_standard_output || error.kind() != io::ErrorKind::BrokenPipe)
            .map(|error| CannotWrite::Failed {
                file: self.file,
                error,
            });
        let not_written = self.not_written;
        (not_written.is_worth_telling().then_some(not_written), error)
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

fn name(file: &Path) -> Cow<'_, str> {
    if is_standard_output(file) {
        "standard output".into()
    } else {
        file.to_string_lossy()
    }
}

impl NotWritten {
    fn is_worth_telling(&self) -> bool {
        self.empty + self.raw_ip + self.wlan + self.too_late > 0
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.raw_ip, "raw IP"),
            (self.wlan, "802.11 that has no place on Ethernet"),
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
                "{separator}frames from after 2106, for which pcap has no time: {frames}"
            )?;
        }
        Ok(())
    }
}
