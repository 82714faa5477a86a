//! The replay: recorded frames of a venue as a feed, timestamps kept.
//!
//! A recording has lines `<receive time, ns> <JSON of one combined-stream frame>`, and REST depth
//! snapshots among them; each file is of one symbol, several files are merged by receive time. Files
//! are read while they are played, so a recording may be larger than memory.
//!
//! Everything the venue said is kept: a trade's event and trade time, ids and maker side, a quote's
//! update id, a depth event's levels in their order, all with eight decimals. The venue's frames can be
//! written again from the ticks byte for byte. `ts_event_ns` is the venue's event time; quotes and
//! snapshots have none and get the time they were received at. A frame is due when it was received.
//!
//! Which depth events are delivered is [`sync`]'s rule. What damage does: everything before it is
//! delivered; a file that merely ends too early ([`Fault::is_cut`]) lets the others end first, any
//! other fault ends the replay at its place. Both end it with [`Next::Failed`].

mod error;
mod frame;
mod live;
mod recording;
mod sync;
mod truth;

use std::path::{Path, PathBuf};

use wire::{Channel, Instrument, Symbol, Tick};

pub use error::{Fault, ReplayError};
pub use live::{Listed, Live, Lost};
pub use sync::DepthCounts;
pub use truth::{Best, Difference, Truth};

use crate::feed::{Feed, FeedError, Next};
use frame::{EXPONENT, Frame, Parser};
use recording::Recording;
use sync::BookSync;

/// Quote assets by which a symbol is divided, the longer ones first where one ends like another.
const QUOTE_ASSETS: [&str; 14] = [
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL",
    "JPY", "GBP",
];

/// How often the recordings are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    #[default]
    Once,
    /// This often; each time is a new epoch.
    Times(u32),
    /// Until it is stopped; each time is a new epoch.
    Forever,
}

/// Recordings as a feed.
pub struct Replay {
    repeat: Repeat,
    instruments: Vec<Instrument>,
    tracks: Vec<Track>,
    /// One per instrument.
    syncs: Vec<BookSync>,
    parser: Parser,
    /// Receive time of the first frame: the feed's time 0.
    first_received_ns: u64,
    counts: Counts,
    state: State,
    /// The first file found cut off.
    cut: Option<ReplayError>,
}

/// How many frames of each kind were played, over all repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trade frames.
    pub trades: u64,
    /// bookTicker frames.
    pub quotes: u64,
    /// Depth frames, delivered or not.
    pub depth_events: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// One file on its way through the replay.
struct Track {
    path: PathBuf,
    instrument: u32,
    recording: Recording,
    next: Pending,
}

/// What a track's current line is.
enum Pending {
    /// A line received at this time.
    Line(u64),
    /// The file has ended.
    End,
    /// The line cannot be played.
    Fault(Option<ReplayError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Playing,
    Restarting,
    Over,
}

impl Replay {
    /// Opens the recordings and reads from each as much as tells its symbol.
    ///
    /// # Errors
    /// If a file cannot be opened or does not begin like a recording.
    ///
    /// # Panics
    /// If `paths` is empty: a command line without a file was refused before.
    pub fn open<P: AsRef<Path>>(paths: &[P], repeat: Repeat) -> Result<Self, ReplayError> {
        assert!(!paths.is_empty(), "a replay needs a recording");
        let mut parser = Parser::new();
        let mut instruments: Vec<Instrument> = Vec::new();
        let mut tracks = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let symbol = symbol_of(path, &mut parser)?;
            let known = instruments.iter().find(|instrument| instrument.symbol == symbol);
            let instrument = known.map_or(instruments.len(), |known| known.id as usize);
            let id = u32::try_from(instrument).expect("fewer files than that");
            if known.is_none() {
                instruments.push(define(id, symbol));
            }
            tracks.push(Track::open(path.to_owned(), id)?);
        }
        let mut replay = Self {
            repeat,
            syncs: Vec::new(),
            instruments,
            tracks,
            parser,
            first_received_ns: 0,
            counts: Counts::default(),
            state: State::Playing,
            cut: None,
        };
        replay.begin();
        Ok(replay)
    }

    /// How many frames were played so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What became of the depth events of an instrument in this repetition.
    #[must_use]
    pub fn depth_counts(&self, instrument: u32) -> Option<DepthCounts> {
        self.syncs.get(usize::try_from(instrument).ok()?).map(BookSync::counts)
    }

    /// State of a fresh repetition; all tracks are at their first line.
    fn begin(&mut self) {
        self.syncs = self.instruments.iter().map(|_| BookSync::default()).collect();
        let lines = self.tracks.iter().filter_map(|track| track.received_ns());
        self.first_received_ns = lines.min().unwrap_or(0);
        self.state = State::Playing;
    }

    fn rewind(&mut self) -> Result<(), ReplayError> {
        for track in &mut self.tracks {
            *track = Track::open(std::mem::take(&mut track.path), track.instrument)?;
        }
        self.begin();
        Ok(())
    }

    /// Parses the track's current frame into ticks and goes to its next line.
    fn play(&mut self, at: usize, out: &mut Vec<Tick>) -> Result<(), ReplayError> {
        let track = &mut self.tracks[at];
        let id = track.instrument;
        let received_ns = track.recording.received_ns();
        let parsed = self.parser.parse(track.recording.frame());
        let frame = parsed.map_err(|fault| track.recording.error(fault))?;
        let symbol = self.parser.symbol();
        let expected = self.instruments[id as usize].symbol;
        if !symbol.is_empty() && symbol != expected.as_str() {
            let (expected, found) = (expected.to_string(), symbol.to_owned());
            return Err(track.recording.error(Fault::Symbol { expected, found }));
        }
        let sync = &mut self.syncs[id as usize];
        let levels = self.parser.levels();
        match frame {
            Frame::Trade { ts_event_ns, trade } => {
                self.counts.trades += 1;
                out.push(Tick::from_trade(id, ts_event_ns, &trade));
            }
            Frame::Quote(quote) => {
                self.counts.quotes += 1;
                out.push(Tick::from_quote(id, received_ns, &quote));
            }
            Frame::Depth { ts_event_ns, first_update_id, last_update_id } => {
                self.counts.depth_events += 1;
                sync.handle_event(id, ts_event_ns, (first_update_id, last_update_id), levels, out);
            }
            Frame::Snapshot { last_update_id } => {
                self.counts.snapshots += 1;
                sync.handle_snapshot(id, received_ns, last_update_id, levels, out);
            }
        }
        track.advance();
        Ok(())
    }

    /// The track whose line is next, by receive time; the first of equals. A fault in the middle of a
    /// file is before everything else.
    fn next_track(&self) -> Option<usize> {
        let time = |track: &Track| match track.next {
            Pending::Line(received_ns) => Some(received_ns),
            Pending::End => None,
            Pending::Fault(_) => Some(0),
        };
        let times = self.tracks.iter().map(time).enumerate();
        let times = times.filter_map(|(at, time)| Some((time?, at)));
        times.min().map(|(_, at)| at)
    }

    /// All files have ended.
    fn end(&mut self) -> Next {
        if let Some(cut) = self.cut.take() {
            self.state = State::Over;
            return failed(cut);
        }
        let again = match &mut self.repeat {
            Repeat::Once | Repeat::Times(0 | 1) => false,
            Repeat::Times(left) => {
                *left -= 1;
                true
            }
            Repeat::Forever => true,
        };
        self.state = if again { State::Restarting } else { State::Over };
        if again { Next::Restart } else { Next::End }
    }
}

impl Feed for Replay {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        if self.state == State::Over {
            return Next::End;
        }
        if self.state == State::Restarting
            && let Err(error) = self.rewind()
        {
            self.state = State::Over;
            return failed(error);
        }
        while let Some(at) = self.next_track() {
            let track = &mut self.tracks[at];
            let result = match &mut track.next {
                Pending::Fault(error) => Err(error.take().expect("a fault ends its track")),
                Pending::Line(received_ns) => Ok(*received_ns - self.first_received_ns),
                Pending::End => unreachable!("a track at its end is not next"),
            };
            let result = result.and_then(|due_ns| self.play(at, out).map(|()| due_ns));
            match result {
                Ok(due_ns) => return Next::At(due_ns),
                Err(error) if error.fault.is_cut() => {
                    self.tracks[at].next = Pending::End;
                    self.cut.get_or_insert(error);
                }
                Err(error) => {
                    self.state = State::Over;
                    return failed(error);
                }
            }
        }
        self.end()
    }
}

impl Track {
    fn open(path: PathBuf, instrument: u32) -> Result<Self, ReplayError> {
        let recording = Recording::open(&path)?;
        let mut track = Self { path, instrument, recording, next: Pending::End };
        track.advance();
        Ok(track)
    }

    fn advance(&mut self) {
        self.next = match self.recording.advance() {
            Ok(Some(received_ns)) => Pending::Line(received_ns),
            Ok(None) => Pending::End,
            Err(error) => Pending::Fault(Some(error)),
        };
    }

    const fn received_ns(&self) -> Option<u64> {
        match self.next {
            Pending::Line(received_ns) => Some(received_ns),
            Pending::End | Pending::Fault(_) => None,
        }
    }
}

fn failed(error: ReplayError) -> Next {
    Next::Failed(Box::new(FeedError::Replay(error)))
}

/// The symbol of the file: that of the first frame that names one.
fn symbol_of(path: &Path, parser: &mut Parser) -> Result<Symbol, ReplayError> {
    let mut recording = Recording::open(path)?;
    while recording.advance()?.is_some() {
        parser.parse(recording.frame()).map_err(|fault| recording.error(fault))?;
        if parser.symbol().is_empty() {
            continue;
        }
        return Symbol::new(parser.symbol()).map_err(|_| {
            let found = parser.symbol().to_owned();
            recording
                .error(Fault::Symbol { expected: "a symbol of A-Z, 0-9, ._-".to_owned(), found })
        });
    }
    Err(ReplayError { path: path.to_owned(), line: 0, fault: Fault::NoFrames })
}

/// What a venue's frames say of an instrument, and nothing that they do not.
fn define(id: u32, symbol: Symbol) -> Instrument {
    let channels = [
        Channel::Trade,
        Channel::Quote,
        Channel::Depth,
        Channel::Depth5,
        Channel::Depth10,
        Channel::Depth20,
    ];
    let base = QUOTE_ASSETS.iter().find_map(|quote| symbol.as_str().strip_suffix(quote));
    Instrument {
        id,
        symbol,
        base_len: base.map_or(0, |base| u8::try_from(base.len()).expect("at most 32 bytes")),
        price_exponent: EXPONENT,
        quantity_exponent: EXPONENT,
        // A recording does not say.
        tick_size: 0,
        lot_size: 0,
        channels: channels.iter().fold(0, |set, channel| set | channel.bit()),
    }
}
