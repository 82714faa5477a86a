//! `feed-sim check`: reads recordings to the end and says whether they can be trusted.
//!
//! Every line is parsed, receive times and update ids are followed, and the book is compared with
//! the recorded quotes at every depth event that applies.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use feed_sim::replay::{Counts, DepthCounts, Difference, Repeat, Replay, Truth};
use feed_sim::{Feed, FeedError, Next};
use wire::decimal::write_decimal;
use wire::{Book, Channel, Instrument, Kind, Side, Tick, flags};

use crate::args::CheckArgs;

/// What was wrong with the recordings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{0}")]
    Feed(Box<FeedError>),
    #[error("{}: the book differs from the quotes at {differing} of {compared} depth events", path.display())]
    Truth { path: PathBuf, differing: u64, compared: u64 },
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

/// What was found in one recording.
struct Findings {
    instrument: Instrument,
    counts: Counts,
    depth: DepthCounts,
    truth: Truth,
    crossed: u64,
    span_ns: u64,
    end: Option<Box<FeedError>>,
}

/// Checks every file, goes on after a bad one, and reports the first thing that was wrong.
pub(crate) fn run(args: &CheckArgs) -> Result<(), CheckError> {
    let mut first = Ok(());
    for path in &args.files {
        let result = check(path);
        if let Err(error) = &result
            && first.is_err()
        {
            eprintln!("feed-sim: {error}");
        }
        first = first.and(result);
    }
    first
}

fn check(path: &Path) -> Result<(), CheckError> {
    let replay = Replay::open(&[path], Repeat::Once);
    let mut replay =
        replay.map_err(|error| CheckError::Feed(Box::new(FeedError::Replay(error))))?;
    let findings = read(&mut replay);
    write(&mut io::stdout().lock(), path, &findings)?;
    let (compared, equal) = findings.truth.compared();
    match findings.end {
        Some(error) => Err(CheckError::Feed(error)),
        None if equal < compared => {
            Err(CheckError::Truth { path: path.to_owned(), differing: compared - equal, compared })
        }
        None => Ok(()),
    }
}

fn read(replay: &mut Replay) -> Findings {
    let instrument = replay.instruments()[0];
    let (mut book, mut truth) = (Book::new(), Truth::default());
    let (mut crossed, mut span_ns) = (0, 0);
    let mut batch = Vec::new();
    let end = loop {
        batch.clear();
        let next = replay.next(&mut batch);
        for tick in &batch {
            match tick.kind() {
                Ok(Kind::Data(Channel::Quote)) => truth.handle_quote(&tick.quote()),
                Ok(Kind::Data(Channel::Depth)) => {
                    apply(tick, &mut book);
                    if tick.ends() && tick.flags & flags::REPLACES_BOOK == 0 {
                        let best = (book.best(Side::Bid), book.best(Side::Ask));
                        truth.handle_book(tick.update_ids().1, best);
                        crossed += u64::from(book.is_crossed());
                    }
                }
                _ => {}
            }
        }
        match next {
            Next::At(due_ns) => span_ns = due_ns,
            Next::Failed(error) => break Some(error),
            Next::End | Next::Restart => break None,
        }
    };
    truth.finish();
    let depth = replay.depth_counts(instrument.id).unwrap_or_default();
    Findings { instrument, counts: replay.counts(), depth, truth, crossed, span_ns, end }
}

fn apply(tick: &Tick, book: &mut Book) {
    if tick.begins() && tick.flags & flags::REPLACES_BOOK != 0 {
        book.clear();
    }
    tick.depth_levels().for_each(|level| book.apply(&level));
}

fn write(out: &mut impl Write, path: &Path, findings: &Findings) -> io::Result<()> {
    let Findings { instrument, counts, depth, truth, crossed, span_ns, .. } = findings;
    let frames = counts.trades + counts.quotes + counts.depth_events;
    writeln!(out, "{}: {}", path.display(), instrument.symbol)?;
    writeln!(
        out,
        "  {frames} frames in {:.1} s",
        std::time::Duration::from_nanos(*span_ns).as_secs_f64()
    )?;
    writeln!(
        out,
        "  {} trades, {} quotes, {} depth events",
        counts.trades, counts.quotes, counts.depth_events
    )?;
    writeln!(
        out,
        "  depth: {} applied, {} already in a snapshot, {} gaps, {} of {} snapshots used",
        depth.applied, depth.contained, depth.gaps, depth.snapshots, counts.snapshots
    )?;
    let (compared, equal) = truth.compared();
    writeln!(
        out,
        "  book against quotes: {equal} of {compared} equal, {} without a quote, {crossed} crossed",
        truth.without_quote()
    )?;
    if let Some(Difference { update_id, book, quote }) = truth.first_difference() {
        let side = |level: Option<(i64, i64)>| {
            level.map_or_else(
                || "none".to_owned(),
                |(price, quantity)| {
                    let (price_exponent, quantity_exponent) =
                        (instrument.price_exponent, instrument.quantity_exponent);
                    format!(
                        "{} x {}",
                        text(price, price_exponent),
                        text(quantity, quantity_exponent)
                    )
                },
            )
        };
        writeln!(
            out,
            "  first difference at update id {update_id}: book {} / {}, quote {} / {} of id {}",
            side(book.0),
            side(book.1),
            side(Some((quote.bid_price, quote.bid_quantity))),
            side(Some((quote.ask_price, quote.ask_quantity))),
            quote.update_id
        )?;
    }
    Ok(())
}

fn text(mantissa: i64, exponent: i8) -> String {
    let mut out = Vec::new();
    write_decimal(&mut out, mantissa, exponent);
    String::from_utf8_lossy(&out).into_owned()
}
