//! A recording: the lines of one file, unpacked, numbered, with their receive times.
//!
//! The file may be packed with gzip or zstd or not at all; its first bytes say so, not its name. It is
//! read as a stream: a recording may be larger than memory. What the lines mean is [`super::frame`]'s.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::{Fault, ReplayError};

/// The longest line. A snapshot of the 5,000 levels a side that the venue gives at most has 0.4 MB;
/// this much is reserved only if a line needs it.
const LINE_MAX: usize = 16 << 20;

/// Unpacked text is buffered in pieces of this size; a frame is about 250 bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Plain,
}

/// One file of recorded frames, read from its start.
pub(super) struct Recording {
    path: PathBuf,
    packing: Packing,
    reader: Box<dyn BufRead + Send>,
    /// The current line, its line feed taken off.
    line: Vec<u8>,
    /// Where the frame begins in it.
    frame_at: usize,
    number: u64,
    received_ns: u64,
    /// Whether the current line had no line feed: it may have been cut off.
    is_unended: bool,
}

impl Recording {
    /// Opens the file and finds out how it is packed.
    pub(super) fn open(path: &Path) -> Result<Self, ReplayError> {
        let fault = |fault| ReplayError { path: path.to_owned(), line: 0, fault };
        let mut file = File::open(path).map_err(|error| fault(Fault::Open(error)))?;
        let mut magic = Vec::with_capacity(4);
        file.by_ref().take(4).read_to_end(&mut magic).map_err(|error| fault(Fault::Read(error)))?;
        let packing = Packing::of(&magic);
        let file = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(magic).chain(file));
        let reader: Box<dyn BufRead + Send> = match packing {
            Packing::Plain => Box::new(file),
            Packing::Gzip => {
                let unpacked = flate2::bufread::MultiGzDecoder::new(file);
                Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
            }
            Packing::Zstd => {
                let unpacked = zstd::stream::read::Decoder::with_buffer(file)
                    .map_err(|error| fault(Fault::Read(error)))?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            packing,
            reader,
            line: Vec::new(),
            frame_at: 0,
            number: 0,
            received_ns: 0,
            is_unended: false,
        })
    }

    /// Goes to the next line and gives its receive time; `None` at the file's end.
    pub(super) fn advance(&mut self) -> Result<Option<u64>, ReplayError> {
        self.line.clear();
        let limit = u64::try_from(LINE_MAX).expect("fits") + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line);
        if let Err(error) = read {
            let fault = match (error.kind(), self.packing.name()) {
                (io::ErrorKind::UnexpectedEof, Some(name)) => Fault::StreamCut(name),
                _ => Fault::Read(error),
            };
            return Err(self.error(fault));
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        self.is_unended = self.line.pop_if(|last| *last == b'\n').is_none();
        if self.line.len() >= LINE_MAX {
            return Err(self.error(Fault::LineTooLong(LINE_MAX)));
        }
        let Some((time, frame_at)) = split_time(&self.line) else {
            let fault = if self.is_unended {
                Fault::LineCut(self.line.len())
            } else {
                let head = &self.line[..self.line.len().min(40)];
                Fault::NoTime(String::from_utf8_lossy(head).into_owned())
            };
            return Err(self.error(fault));
        };
        if time < self.received_ns {
            // A line that was cut off in its time would also seem to go back; it has no frame then
            // and was refused above.
            return Err(self.error(Fault::TimeGoesBack { previous: self.received_ns, this: time }));
        }
        self.received_ns = time;
        self.frame_at = frame_at;
        Ok(Some(time))
    }

    /// When the current line was received, ns since the epoch.
    pub(super) const fn received_ns(&self) -> u64 {
        self.received_ns
    }

    /// The current line's frame. Parsing writes into it: it can be parsed once.
    pub(super) fn frame(&mut self) -> &mut [u8] {
        &mut self.line[self.frame_at..]
    }

    /// An error at the current line. What is wrong with a last line that does not end is that it was
    /// cut off, if its frame cannot be understood.
    pub(super) fn error(&self, fault: Fault) -> ReplayError {
        let fault = match fault {
            Fault::Json(_) if self.is_unended => Fault::LineCut(self.line.len()),
            fault => fault,
        };
        ReplayError { path: self.path.clone(), line: self.number, fault }
    }
}

impl Packing {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Plain => None,
        }
    }
}

/// The receive time at the line's start, and where the frame begins.
fn split_time(line: &[u8]) -> Option<(u64, usize)> {
    let space = line.iter().take(24).position(|&byte| byte == b' ')?;
    let digits = &line[..space];
    if digits.is_empty() || space + 1 == line.len() {
        return None;
    }
    let mut time = 0u64;
    for &byte in digits {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        time = time.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some((time, space + 1))
}
