//! What can be wrong with a recording, with the place where it is.

use std::fmt;
use std::io;
use std::path::PathBuf;

use wire::decimal::DecimalError;

/// A fault of a recording: file, line, and what is wrong there.
#[derive(Debug)]
pub struct ReplayError {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The line, counted from 1 in the unpacked text; 0: the file as a whole.
    pub line: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// The file cannot be read, or is not what its first bytes promise.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The compressed stream ends before its end mark.
    #[error("the {0} stream is cut off after this line; expected its end mark")]
    StreamCut(&'static str),
    /// The last line has no end, and is no whole frame without it.
    #[error("the last line is cut off after {0} bytes; expected a whole frame and a line feed")]
    LineCut(usize),
    /// No line end where one must be.
    #[error("the line is longer than {0} bytes; is this a recording?")]
    LineTooLong(usize),
    /// There is no frame in it that names a symbol.
    #[error("has no trade, bookTicker or depth frame to take the symbol from")]
    NoFrames,
    /// The line does not begin with a receive time.
    #[error("expected `<receive time, ns since 1970> <frame>`, found `{0}`")]
    NoTime(String),
    /// Received before the line before.
    #[error("the receive time {this} is before the previous line's {previous}")]
    TimeGoesBack {
        /// Receive time of the line before, ns since the epoch.
        previous: u64,
        /// Receive time of this line.
        this: u64,
    },
    /// Not a JSON object of the expected form.
    #[error("not a combined-stream frame or a depth snapshot: {0}")]
    Json(simd_json::Error),
    /// A member that this kind of frame has is not there, or is of another type.
    #[error("the {frame} frame has no valid `{member}`")]
    Member {
        /// What kind of frame.
        frame: &'static str,
        /// Which member.
        member: &'static str,
    },
    /// Another stream than those that are replayed.
    #[error(
        "unknown stream `{0}`: expected SYMBOL@trade, SYMBOL@bookTicker or SYMBOL@depth[@SPEED]"
    )]
    Stream(String),
    /// A frame of another instrument.
    #[error("expected only frames of {expected}, found one of `{found}`")]
    Symbol {
        /// The file's symbol.
        expected: String,
        /// This frame's.
        found: String,
    },
    /// A price or quantity that is no decimal of at most eight places.
    #[error("`{text}` is not a price or quantity of at most 8 decimals: {error}")]
    Decimal {
        /// What stands there.
        text: String,
        /// Why it is none.
        error: DecimalError,
    },
    /// More level changes than a group can have.
    #[error("{0} price levels in one frame; at most 16384 are possible")]
    Levels(usize),
    /// A depth event that ends before it begins.
    #[error("a depth event of update ids {first} to {last}")]
    UpdateIds {
        /// `U`.
        first: u64,
        /// `u`.
        last: u64,
    },
}

impl Fault {
    /// Whether the file only ends too early: all that stands in it before is good.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        matches!(self, Self::StreamCut(_) | Self::LineCut(_))
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The fault is in the text already; what is below it, if anything, is the source.
        std::error::Error::source(&self.fault)
    }
}
