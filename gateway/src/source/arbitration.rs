//! Arbitration: two sources of the same stream as one. What either brings goes on once and in order, so
//! that a loss on one, or its end, is nothing that clients notice.
//!
//! [`mod@line`] reads the rings of the two, [`merge`] decides what comes out and when. Here is what begins an
//! epoch: with the feed's own numbers if both lines have the same, else with our own, and the venue's
//! ids tell what is the same. A line that has neither is refused with the reason, until its feed is
//! replaced or the other line is gone.

mod ids;
mod line;
mod merge;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use feed_sim::Feeder;
use ring::{Ring, Wake};
use wire::{
    Channel, FeedState, Instrument, InstrumentImage, Kind, Level, Presence, Side, Tick, flags,
};

use crate::clock::{monotonic_ns, realtime_ns, saturating_ns};
use crate::config::{BusInterest, Config, Source, Sources};
use crate::fleet::Fleet;
use crate::source::status::{FeedStatus, LineView, LinesView};
use crate::source::{Run, SourceError, outlet};
use line::{Item, Line};
use merge::{LINES, Merge, Numbering, Outcome};

/// How often lines are looked at: for new rings, for their state, and for the source's own end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the first line that is there waits for the other before it is decided how they are merged.
const BEGIN_WAIT: Duration = Duration::from_secs(1);

/// The source that merges two.
pub(super) fn open(
    config: &Config,
    first: &Source,
    second: &Source,
    status: Arc<FeedStatus>,
) -> Result<Run, SourceError> {
    let mut opened = Vec::with_capacity(LINES);
    for source in [first, second] {
        let sources = Sources { first: source.clone(), second: None };
        let config = Config { source: sources, bus_interest: BusInterest::All, ..config.clone() };
        let line = Arc::new(FeedStatus::default());
        let run = super::open_one(&config, &line)?;
        opened.push((Line::new(source.to_string(), line), run));
    }
    let config = config.clone();
    Ok(Box::new(move |fleet, stop| {
        // Without this, clients that come now would take the silence for a quiet market.
        fleet.tell_feed(FeedState::Silent);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut lines = Vec::with_capacity(LINES);
            for (line, run) in opened {
                // Nobody but us reads what it brings.
                let nobody = Arc::new(Fleet::new(Vec::new()));
                let ended = &ended;
                let thread = thread::Builder::new().name(format!("line-{}", lines.len() + 1));
                if let Err(error) = thread.spawn_scoped(scope, move || run(nobody, ended)) {
                    tracing::error!(line = line.name, %error, "no thread for a line");
                }
                lines.push(line);
            }
            Arbiter::new(config, lines, fleet, status).run(stop);
            // Relaxed: the flag is all that is told.
            ended.store(true, Ordering::Relaxed);
        });
    }))
}

/// Wakes the arbiter's thread.
struct Bell(thread::Thread);

impl Wake for Bell {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// What goes to shards.
struct Stream {
    feeder: Feeder,
    ring: Ring,
    merge: Merge,
    instruments: Vec<Instrument>,
}

struct Arbiter {
    config: Config,
    lines: Vec<Line>,
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
    waker: Arc<dyn Wake>,
    /// `None` before there is any line.
    stream: Option<Stream>,
    /// When the first line was there.
    first_at: Option<Instant>,
    out: Outcome,
    /// Instruments whose book has a hole.
    repairs: BTreeSet<u32>,
    told: FeedState,
}

impl Arbiter {
    fn new(config: Config, lines: Vec<Line>, fleet: Arc<Fleet>, status: Arc<FeedStatus>) -> Self {
        Self {
            config,
            lines,
            fleet,
            status,
            waker: Arc::new(Bell(thread::current())),
            stream: None,
            first_at: None,
            out: Outcome::default(),
            repairs: BTreeSet::new(),
            told: FeedState::Silent,
        }
    }

    fn run(mut self, stop: &AtomicBool) {
        let mut looked = None::<Instant>;
        // Relaxed: the flag is all that is told.
        while !stop.load(Ordering::Relaxed) {
            if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                self.look();
            }
            let mut records = 0;
            for index in 0..LINES {
                records += self.read(index);
            }
            self.expire();
            if records == 0 {
                self.sleep();
            }
        }
        if let Some(stream) = self.stream {
            stream.feeder.close();
        }
    }

    /// Sleeps until a line brings something, or it is time to look at something.
    fn sleep(&self) {
        let tapes = || self.lines.iter().filter_map(|line| line.tape.as_ref());
        let may_sleep = tapes().filter(|tape| tape.is_admitted).all(line::Tape::park);
        if may_sleep {
            let deadline_ns = self.stream.as_ref().and_then(|stream| stream.merge.deadline_ns());
            let left_ns = deadline_ns.map(|at_ns| at_ns.saturating_sub(monotonic_ns()));
            thread::park_timeout(left_ns.map_or(LOOK_EVERY, Duration::from_nanos).min(LOOK_EVERY));
        }
        tapes().for_each(line::Tape::unpark);
    }

    /// Merges what a line has brought; how many records that was.
    fn read(&mut self, index: usize) -> usize {
        let Self { lines, stream: Some(stream), out, .. } = self else { return 0 };
        let line = &mut lines[index];
        let Some(tape) = line.tape.as_mut().filter(|tape| tape.is_admitted) else { return 0 };
        let now_ns = monotonic_ns();
        let (mut refused, mut attached) = (None, Vec::new());
        let records = tape.read(|item| match item {
            Item::Entry(entry) => {
                if let Err(error) = stream.merge.enter(index, entry, now_ns, out) {
                    refused = Some(error.to_string());
                }
            }
            Item::Attached(instrument) => attached.push(instrument),
        });
        if let Some(reason) = refused {
            self.refuse(index, format!("the lines are of different epochs, and {reason}"));
        }
        self.relay();
        for instrument in attached {
            self.attach(index, instrument);
        }
        records
    }

    fn expire(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.merge.expire(monotonic_ns(), &mut self.out);
            self.relay();
        }
    }

    /// Hands on what has come out.
    fn relay(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if !self.out.ticks.is_empty() {
            stream.feeder.relay(&self.out.ticks, realtime_ns());
            self.out.ticks.clear();
        }
        for hole in self.out.holes.drain(..) {
            tracing::warn!(
                instrument = hole.instrument,
                channel = hole.channel.name(),
                count = hole.count,
                "neither line brought it in time; clients are told of the gap"
            );
            if hole.channel == Channel::Depth {
                self.repairs.insert(hole.instrument);
            }
        }
    }

    /// A line has the data of this instrument: so have we, with what its image knows.
    fn attach(&mut self, index: usize, instrument: u32) {
        let Self { lines, stream: Some(stream), .. } = self else { return };
        let image = lines[index].tape.as_ref().and_then(|tape| tape.image(instrument));
        let Some(image) = image else { return };
        if stream.merge.numbering() == Numbering::OfFeed {
            stream.feeder.learn(&image);
            stream.feeder.set_presence([instrument], Presence::Attached, realtime_ns());
        } else {
            state_of(&image).iter().for_each(|entry| {
                // What has no id was refused when it came as a tick.
                let _ = stream.merge.enter(index, entry, monotonic_ns(), &mut self.out);
            });
        }
        self.relay();
    }

    /// Looks at everything that changes seldom.
    fn look(&mut self) {
        for index in 0..LINES {
            if self.lines[index].look(&self.waker) {
                self.first_at.get_or_insert_with(Instant::now);
                if self.stream.is_some() {
                    self.admit(index);
                }
            }
        }
        self.begin_if_due();
        self.repair();
        if let Some(stream) = &mut self.stream {
            stream.feeder.heartbeat(realtime_ns());
        }
        self.report();
    }

    /// Decides whether a line that has begun anew takes part.
    fn admit(&mut self, index: usize) {
        let Some(stream) = &mut self.stream else { return };
        let Some(tape) = &mut self.lines[index].tape else { return };
        let is_other_epoch = tape.epoch != stream.feeder.epoch();
        let reason = if tape.instruments != stream.instruments {
            Some("its instruments are others".to_owned())
        } else if stream.merge.numbering() == Numbering::OfFeed && is_other_epoch {
            Some(format!(
                "it is of epoch {}, but the other line began with {}",
                tape.epoch,
                stream.feeder.epoch()
            ))
        } else {
            stream.merge.line_begins(index);
            tape.is_admitted = true;
            None
        };
        if let Some(reason) = reason {
            self.refuse(index, reason);
        } else {
            tracing::info!(line = self.lines[index].name, "the line takes part");
        }
    }

    fn refuse(&mut self, index: usize, reason: String) {
        let line = &mut self.lines[index];
        if line.refused.as_ref() != Some(&reason) {
            tracing::error!(line = line.name, reason, "the line is refused");
            line.refused = Some(reason);
        }
        if let Some(tape) = &mut line.tape {
            tape.is_admitted = false;
        }
    }

    /// Begins an epoch, if there is none that goes on and a line to begin with.
    fn begin_if_due(&mut self) {
        let known: Vec<usize> = (0..LINES).filter(|at| self.lines[*at].is_live()).collect();
        let is_waiting = known.len() < LINES
            && self.stream.is_none()
            && self.first_at.is_none_or(|at| at.elapsed() < BEGIN_WAIT);
        if self.lines.iter().any(Line::is_admitted) || known.is_empty() || is_waiting {
            return;
        }
        // A line that is only silent comes back in its epoch, unless another has gone on.
        let tape_of = |at: usize| self.lines[at].tape.as_ref();
        let epochs: BTreeSet<u64> =
            known.iter().filter_map(|at| tape_of(*at)).map(|tape| tape.epoch).collect();
        let numbering = if epochs.len() > 1 { Numbering::ByIds } else { Numbering::OfFeed };
        let Err(error) = self.begin(numbering, known[0]) else { return };
        self.refuse(known[0], error);
    }

    fn begin(&mut self, numbering: Numbering, leader: usize) -> Result<(), String> {
        let tape = self.lines[leader].tape.as_ref().ok_or("it has no ring")?;
        let (images, instruments) = (tape.images(), tape.instruments.clone());
        let epoch = match numbering {
            Numbering::OfFeed => tape.epoch,
            Numbering::ByIds => feed_sim::fresh_epoch(realtime_ns()),
        };
        let is_restart = self.stream.is_some();
        let old = self.stream.take().map(|stream| (stream.feeder, stream.ring));
        let begun =
            outlet::begin(old, epoch, &instruments, Presence::Detached, &self.config, &self.fleet);
        let (feeder, ring) = begun.map_err(|error| error.to_string())?;
        let merge = Merge::new(numbering, saturating_ns(self.config.arbitration_wait));
        self.status.expects(instruments.len());
        let state = if is_restart { FeedState::Restarted } else { FeedState::Live };
        self.status.attached(&ring, state);
        tracing::info!(epoch, ?numbering, line = self.lines[leader].name, "two lines, one stream");
        self.stream = Some(Stream { feeder, ring, merge, instruments });
        for index in (0..LINES).map(|step| (leader + step) % LINES) {
            self.admit(index);
            if index == leader {
                self.begin_with(numbering, leader, &images);
            }
        }
        Ok(())
    }

    /// Brings the stream to where the line is: its past, then its present state.
    fn begin_with(&mut self, numbering: Numbering, leader: usize, images: &[InstrumentImage]) {
        if let (Numbering::ByIds, Some(stream)) = (numbering, &mut self.stream) {
            // Its own past has no numbers of ours: the state is the first that comes.
            for entry in images.iter().flat_map(state_of) {
                if let Err(error) = stream.merge.enter(leader, &entry, 0, &mut self.out) {
                    self.refuse(leader, format!("the lines are of different epochs, and {error}"));
                    break;
                }
            }
        }
        self.relay();
        if numbering == Numbering::OfFeed {
            if let Some(stream) = &mut self.stream {
                images.iter().for_each(|image| stream.feeder.learn(image));
            }
            while self.read(leader) > 0 {}
        }
        let Some(stream) = &mut self.stream else { return };
        if numbering == Numbering::OfFeed {
            images.iter().for_each(|image| stream.learn(image));
        }
        let present = images.iter().filter(|image| image.presence == Presence::Attached);
        let present: Vec<u32> = present.map(|image| image.definition.id).collect();
        stream.feeder.set_presence(present, Presence::Attached, realtime_ns());
        self.told = FeedState::Live;
    }

    /// Mends books with a hole by what a line's ring knows.
    fn repair(&mut self) {
        for instrument in std::mem::take(&mut self.repairs) {
            let tapes = self.lines.iter().filter_map(|line| line.tape.as_ref());
            let images =
                tapes.filter(|tape| tape.is_admitted).filter_map(|tape| tape.image(instrument));
            let newest = images.max_by_key(|image| image.update_id);
            let (Some(image), Some(stream)) = (newest, &mut self.stream) else { continue };
            let is_mended = match stream.merge.numbering() {
                Numbering::OfFeed => {
                    let next = stream.merge.next(instrument, Channel::Depth);
                    let is_new = image.depth_seq + 1 >= next;
                    if is_new {
                        // Of other channels than depth the merge may have something yet to bring.
                        stream.learn(&InstrumentImage { last: Vec::new(), ..image });
                        stream.feeder.set_presence([instrument], Presence::Attached, realtime_ns());
                    }
                    is_new
                }
                Numbering::ByIds => {
                    let entered =
                        stream.merge.enter(0, &book_of(&image), monotonic_ns(), &mut self.out);
                    entered.is_ok() && !self.out.ticks.is_empty()
                }
            };
            self.relay();
            if !is_mended {
                self.repairs.insert(instrument);
            }
        }
    }

    /// Says to operators how lines are, and to clients how the feed is.
    fn report(&mut self) {
        for line in &mut self.lines {
            let is_live = line.is_live();
            if is_live != line.was_live {
                line.was_live = is_live;
                if is_live {
                    tracing::info!(line = line.name, "the line is live");
                } else {
                    tracing::warn!(line = line.name, "the line is dead; the other goes on alone");
                }
            }
        }
        let lines = self.lines.iter().map(|line| LineView {
            source: line.name.clone(),
            is_live: line.is_admitted(),
            trouble: line.refused.clone().or_else(|| line.status.view().trouble),
        });
        let counters =
            self.stream.as_ref().map(|stream| stream.merge.counters()).unwrap_or_default();
        self.status.lines(LinesView {
            lines: lines.collect(),
            duplicates: counters.duplicates,
            covered: counters.covered,
            missing: counters.missing,
            lapped: self.lines.iter().filter_map(|line| line.tape.as_ref()).map(|t| t.lost).sum(),
        });
        let states = self.lines.iter().map(|line| line.status.view().state);
        let state = if self.lines.iter().any(Line::is_admitted) {
            FeedState::Live
        } else if states.into_iter().all(|state| state == Some(FeedState::Stopped)) {
            FeedState::Stopped
        } else {
            FeedState::Silent
        };
        if state != self.told {
            self.told = state;
            self.status.changed(state);
            self.fleet.tell_feed(state);
        }
    }
}

impl Stream {
    /// Takes over what an image knows; the merge goes on behind it.
    fn learn(&mut self, image: &InstrumentImage) {
        self.feeder.learn(image);
        let depth = Tick::new(Kind::Data(Channel::Depth), image.definition.id, 0);
        let depth = Tick { seq: image.depth_seq, ..depth };
        for tick in image.last.iter().chain([&depth]).filter(|tick| tick.seq > 0) {
            self.merge.begin_behind(tick);
        }
    }
}

/// The state that an image knows, as entries.
fn state_of(image: &InstrumentImage) -> Vec<Vec<Tick>> {
    let mut entries: Vec<Vec<Tick>> = image.last.iter().map(|tick| vec![*tick]).collect();
    if image.depth_seq > 0 {
        entries.push(book_of(image));
    }
    entries
}

/// An image's book as a depth event that replaces what there was.
fn book_of(image: &InstrumentImage) -> Vec<Tick> {
    let levels = |side, levels: &[(i64, i64)]| {
        let levels = levels.to_vec();
        levels.into_iter().map(move |(price, quantity)| Level { side, price, quantity })
    };
    let all: Vec<Level> =
        levels(Side::Bid, &image.bids).chain(levels(Side::Ask, &image.asks)).collect();
    let mut group = Vec::new();
    let ids = image.update_id..=image.update_id;
    Tick::push_depth(&mut group, image.definition.id, image.ts_event_ns, ids, &all);
    for tick in &mut group {
        tick.flags |= flags::REPLACES_BOOK;
        tick.ts_ring_ns = realtime_ns();
    }
    group
}
