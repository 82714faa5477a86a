//! The replay against the recordings: every frame byte for byte, every book against the quotes.
//!
//! The recordings are not part of the repository: see [`recordings`].
#![allow(clippy::cast_possible_truncation)]

mod recorded;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use feed_sim::derive::{Derived, Options};
use feed_sim::replay::{Fault, Repeat, Replay, ReplayError, Truth};
use feed_sim::{Feed, FeedError, Next};
use proptest::prelude::*;
use recorded::{BTC, ETH, frames, lines, recording};
use wire::{Bar, Book, Channel, Interval, Kind, Side, Tick, Trade, flags};

/// Everything a feed hands out: `(due, batch)` in order, and how it ended.
fn play(feed: &mut dyn Feed) -> (Vec<(u64, Vec<Tick>)>, Next) {
    let mut batches = Vec::new();
    loop {
        let mut batch = Vec::new();
        match feed.next(&mut batch) {
            Next::At(due_ns) => batches.push((due_ns, batch)),
            end => {
                assert!(batch.is_empty());
                return (batches, end);
            }
        }
    }
}

fn ticks(batches: &[(u64, Vec<Tick>)]) -> impl Iterator<Item = &Tick> {
    batches.iter().flat_map(|(_, batch)| batch)
}

#[test]
fn every_recorded_frame_is_written_again_byte_for_byte() {
    for name in [BTC, ETH] {
        let mut replay = Replay::open(&[recording(name)], Repeat::Once).unwrap();
        let instrument = replay.instruments()[0];
        let (batches, end) = play(&mut replay);
        assert!(matches!(end, Next::End), "{end:?}");

        let all: Vec<Tick> = ticks(&batches).copied().collect();
        let mut written = frames(&all, &instrument);
        let mut dropped = 0;
        for (line, (received_ns, frame)) in lines(name).into_iter().enumerate() {
            if written.take(&frame) {
                continue;
            }
            assert!(frame.contains("\"depthUpdate\""), "line {}: {frame}", line + 1);
            assert!(received_ns < 1_723_161_254_300_000_000, "only before the snapshot");
            dropped += 1;
        }
        assert_eq!(dropped, 2, "depth events that the snapshot already contained");
        assert_eq!(written.left(), 0, "nothing is made up");
    }
}

#[test]
fn frames_of_each_stream_keep_their_order_and_their_times() {
    for name in [BTC, ETH] {
        let mut replay = Replay::open(&[recording(name)], Repeat::Once).unwrap();
        let instrument = replay.instruments()[0];
        let (batches, _) = play(&mut replay);
        let lines = lines(name);
        let first = lines[0].0;
        assert_eq!(batches.len(), lines.len(), "one batch a frame");
        for ((due_ns, batch), (received_ns, frame)) in batches.iter().zip(&lines) {
            assert_eq!(*due_ns, received_ns - first);
            for tick in batch {
                match tick.validate().unwrap() {
                    Kind::Data(Channel::Quote) => assert_eq!(tick.ts_event_ns, *received_ns),
                    Kind::Data(Channel::Trade) => {
                        let written = frames(&[*tick], &instrument);
                        assert!(written.is_next(frame), "{frame}");
                    }
                    Kind::Data(Channel::Depth) => {
                        assert!(frame.contains("@depth@100ms") || frame.contains("lastUpdateId"));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_book_is_as_the_quotes_say_at_every_depth_event() {
    for (name, expected) in [(BTC, 3_449), (ETH, 3_432)] {
        let mut replay = Replay::open(&[recording(name)], Repeat::Once).unwrap();
        let (batches, _) = play(&mut replay);
        let (mut book, mut truth) = (Book::new(), Truth::default());
        for tick in ticks(&batches) {
            match tick.kind().unwrap() {
                Kind::Data(Channel::Quote) => truth.handle_quote(&tick.quote()),
                Kind::Data(Channel::Depth) => {
                    let replaces = tick.flags & flags::REPLACES_BOOK != 0;
                    if replaces && tick.begins() {
                        book.clear();
                    }
                    tick.depth_levels().for_each(|level| book.apply(&level));
                    if tick.ends() && !replaces {
                        assert!(!book.is_crossed());
                        let best = (book.best(Side::Bid), book.best(Side::Ask));
                        truth.handle_book(tick.update_ids().1, best);
                    }
                }
                _ => {}
            }
        }
        truth.finish();
        assert_eq!(truth.first_difference(), None);
        assert_eq!((truth.compared(), truth.without_quote()), ((expected, expected), 0), "{name}");
        let counts = replay.depth_counts(0).unwrap();
        assert_eq!((counts.applied, counts.contained, counts.gaps), (expected, 2, 0));
    }
}

#[test]
fn two_recordings_are_merged_by_time() {
    let mut replay = Replay::open(&[recording(BTC), recording(ETH)], Repeat::Once).unwrap();
    let symbols: Vec<_> = replay.instruments().iter().map(|i| i.symbol.to_string()).collect();
    assert_eq!(symbols, ["BTCUSDT", "ETHUSDT"]);
    assert!(replay.instruments().iter().all(|i| i.base_len == 3 && i.price_exponent == -8));
    let (batches, end) = play(&mut replay);
    assert!(matches!(end, Next::End));
    assert!(batches.is_sorted_by_key(|(due_ns, _)| *due_ns));
    assert_eq!(batches.len(), 41_249 + 33_618);
    let counts = replay.counts();
    assert_eq!((counts.trades, counts.quotes), (9_757 + 6_106, 28_040 + 24_077));
    assert_eq!((counts.depth_events, counts.snapshots), (3_451 + 3_434, 2));

    // Each of the two is as if it had been alone.
    for (id, name) in [(0, BTC), (1, ETH)] {
        let mut alone = Replay::open(&[recording(name)], Repeat::Once).unwrap();
        let (alone, _) = play(&mut alone);
        let same = |tick: &Tick| Tick { instrument: 0, ..*tick };
        assert!(
            ticks(&batches).filter(|t| t.instrument == id).map(same).eq(ticks(&alone).copied())
        );
    }
}

#[test]
fn a_recording_in_two_files_is_one_stream() {
    let lines = &lines(BTC)[..2_000];
    let whole = file(text(lines).as_bytes());
    let (first, second) =
        (file(text(&lines[..1_234]).as_bytes()), file(text(&lines[1_234..]).as_bytes()));
    let mut replay = Replay::open(&[second.path(), first.path()], Repeat::Once).unwrap();
    assert_eq!(replay.instruments().len(), 1);
    assert_eq!(play(&mut replay).0, play_file(whole.path()).0);
    assert_eq!(replay.depth_counts(0).unwrap().gaps, 0);
}

#[test]
fn bars_and_tickers_add_up_to_the_recorded_trades() {
    for name in [BTC, ETH] {
        let options = Options {
            intervals: ["1s", "1m", "1d"].into_iter().filter_map(Interval::parse).collect(),
            ..Options::default()
        };
        let mut feed =
            Derived::with(Replay::open(&[recording(name)], Repeat::Once).unwrap(), options);
        let mut all = Vec::new();
        loop {
            let next = feed.next(&mut all);
            if !matches!(next, Next::At(_)) {
                break;
            }
        }
        assert_eq!(feed.late_trades(), 0);
        let of = |channel: Channel| all.iter().filter(move |t| t.kind == channel.code());
        let trades: Vec<Trade> = of(Channel::Trade).map(Tick::trade).collect();
        for (interval, length_ns) in
            [(Interval::SECOND, 1_000_000_000), (Interval::MINUTE, 60_000_000_000)]
        {
            // Final bars, and what was still running when the recording ended.
            let told: Vec<Bar> = of(Channel::Bar(interval)).map(Tick::bar).collect();
            let mut bars: Vec<Bar> = told.iter().copied().filter(|bar| bar.is_final).collect();
            bars.extend(told.last().filter(|bar| !bar.is_final));
            assert!(bars.is_sorted_by(|a, b| a.ts_open_ns < b.ts_open_ns), "each once, in order");
            let mut at = 0;
            for bar in &bars {
                let end_ns = bar.ts_open_ns + length_ns;
                let count = trades[at..].iter().take_while(|t| t.ts_trade_ns < end_ns).count();
                let own = &trades[at..at + count];
                assert_eq!((bar.trades, bar.first_trade_id), (count as u64, own[0].trade_id));
                assert_eq!((bar.open, bar.close), (own[0].price, own[count - 1].price));
                assert_eq!(Some(bar.high), own.iter().map(|t| t.price).max());
                assert_eq!(Some(bar.low), own.iter().map(|t| t.price).min());
                assert_eq!(bar.volume, own.iter().map(|t| t.quantity).sum::<i64>());
                let value = |t: &Trade| i128::from(t.price) * i128::from(t.quantity);
                let taker = own.iter().filter(|t| !t.buyer_is_maker);
                assert_eq!(bar.taker_volume, taker.clone().map(|t| t.quantity).sum::<i64>());
                let unit = 100_000_000;
                assert_eq!(
                    i128::from(bar.quote_volume),
                    own.iter().map(value).sum::<i128>() / unit
                );
                assert_eq!(
                    i128::from(bar.taker_quote_volume),
                    taker.map(value).sum::<i128>() / unit
                );
                at += count;
            }
            assert_eq!(at, trades.len(), "every trade is in a bar");
        }
        let ticker = of(Channel::Ticker).next_back().unwrap().ticker();
        assert_eq!((ticker.trades, ticker.open), (trades.len() as u64, trades[0].price));
        assert_eq!(ticker.volume, trades.iter().map(|t| t.quantity).sum::<i64>());
        let gaps: Vec<u64> = of(Channel::Ticker).map(|t| t.ts_event_ns).collect();
        assert!(gaps.len() > 300 && gaps.len() < 348, "once a second: {}", gaps.len());
    }
}

#[test]
fn bars_begin_again_with_each_repetition() {
    let lines = file(text(&lines(ETH)[..3_000]).as_bytes());
    let mut feed = Derived::new(Replay::open(&[lines.path()], Repeat::Times(2)).unwrap());
    let mut turns = Vec::new();
    for last in [false, true] {
        let mut turn = Vec::new();
        let end = loop {
            match feed.next(&mut turn) {
                Next::At(_) => {}
                end => break end,
            }
        };
        assert!(matches!((last, end), (false, Next::Restart) | (true, Next::End)));
        assert!(feed.instruments()[0].has(Channel::Ticker));
        turns.push(turn);
    }
    assert!(turns[0].iter().any(|t| t.kind == Channel::Bar(Interval::MINUTE).code()));
    assert_eq!(turns[0], turns[1]);
}

#[test]
fn a_repetition_is_the_same_again() {
    let mut replay = Replay::open(&[recording(ETH)], Repeat::Times(2)).unwrap();
    let (first, end) = play(&mut replay);
    assert!(matches!(end, Next::Restart), "{end:?}");
    let (second, end) = play(&mut replay);
    assert!(matches!(end, Next::End), "{end:?}");
    assert_eq!(first, second);
}

/// A file of these lines; dropped, it is gone.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn text(lines: &[(u64, String)]) -> String {
    lines.iter().map(|(received_ns, frame)| format!("{received_ns} {frame}\n")).collect()
}

fn failure(next: Next) -> ReplayError {
    match next {
        Next::Failed(error) => match *error {
            FeedError::Replay(error) => error,
            other => panic!("{other}"),
        },
        other => panic!("did not fail: {other:?}"),
    }
}

fn play_file(path: &Path) -> (Vec<(u64, Vec<Tick>)>, Next) {
    play(&mut Replay::open(&[path], Repeat::Once).unwrap())
}

#[test]
fn packed_or_not_is_the_same() {
    let lines = &lines(BTC)[..500];
    let plain = text(lines).into_bytes();
    let (expected, _) = play_file(file(&plain).path());
    assert_eq!(expected.len(), 500);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain[..10_000]).unwrap();
    let mut members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain[10_000..]).unwrap();
    members.extend(gzip.finish().unwrap());
    assert_eq!(play_file(file(&members).path()).0, expected, "gzip of two members");

    let mut frames = zstd::encode_all(&plain[..777], 1).unwrap();
    frames.extend(zstd::encode_all(&plain[777..], 1).unwrap());
    assert_eq!(play_file(file(&frames).path()).0, expected, "zstd of two frames");

    let unended = &plain[..plain.len() - 1];
    let (batches, end) = play_file(file(unended).path());
    assert!(matches!(end, Next::End), "a missing line feed at the end is no damage");
    assert_eq!(batches, expected);
}

#[test]
fn a_recording_cut_off_anywhere_delivers_what_is_whole_and_says_where_it_ends() {
    let whole = text(&lines(BTC)[20..24]).into_bytes();
    for length in 1..whole.len() {
        let file = file(&whole[..length]);
        let ends = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        let is_whole_line = whole[length] == b'\n' || whole[length - 1] == b'\n';
        let opened = Replay::open(&[file.path()], Repeat::Once);
        let error = match opened {
            Ok(mut replay) => {
                let (batches, end) = play(&mut replay);
                let complete = ends + usize::from(whole[length] == b'\n');
                assert_eq!(batches.len(), complete, "cut after {length} bytes");
                if is_whole_line {
                    assert!(matches!(end, Next::End), "{end:?}");
                    continue;
                }
                failure(end)
            }
            Err(error) => error,
        };
        assert!(matches!(error.fault, Fault::LineCut(_)), "{length}: {error}");
        assert_eq!(error.line, ends as u64 + 1);
        assert_eq!(error.path, file.path());
    }
}

#[test]
fn a_packed_stream_cut_off_delivers_what_came_through() {
    let plain = text(&lines(BTC)[..3_000]).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for (name, packed) in
        [("gzip", gzip.finish().unwrap()), ("zstd", zstd::encode_all(&plain[..], 1).unwrap())]
    {
        let file = file(&packed[..packed.len() * 2 / 3]);
        let (batches, end) = play_file(file.path());
        let error = failure(end);
        assert!(matches!(error.fault, Fault::StreamCut(found) if found == name), "{error}");
        assert!(batches.len() > 500, "{name}: {}", batches.len());
        assert_eq!(error.line, batches.len() as u64, "after the last whole line");
    }
}

#[test]
fn a_cut_file_lets_the_others_end_and_a_damaged_one_does_not() {
    let btc = text(&lines(BTC)[..100]);
    let eth = text(&lines(ETH)[..200]);
    let cut = file(&btc.as_bytes()[..btc.len() - 5]);
    let other = file(eth.as_bytes());
    let mut replay = Replay::open(&[cut.path(), other.path()], Repeat::Forever).unwrap();
    let (batches, end) = play(&mut replay);
    assert!(failure(end).fault.is_cut());
    assert_eq!(batches.len(), 99 + 200);

    let damaged = file(format!("{btc}1723161270000000000 {{}}\n").as_bytes());
    let mut replay = Replay::open(&[damaged.path(), other.path()], Repeat::Forever).unwrap();
    let (batches, end) = play(&mut replay);
    let error = failure(end);
    assert_eq!((error.line, error.path.as_path()), (101, damaged.path()));
    assert!(batches.len() >= 100, "{}", batches.len());
    assert!(matches!(replay.next(&mut Vec::new()), Next::End), "it is over");
}

#[test]
fn damage_is_named_with_its_place() {
    let good = text(&lines(BTC)[..3]);
    let at = 1_723_161_260_000_000_000u64;
    let frame = |stream: &str, data: &str| format!(r#"{{"stream":"{stream}","data":{data}}}"#);
    let quote = r#"{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}"#;
    let cases: Vec<(String, &str)> = vec![
        (format!("{at} {}", frame("btcusdt@kline_1m", "{}")), "unknown stream `btcusdt@kline_1m`"),
        (format!("{at} {}", frame("btcusdt", "{}")), "unknown stream `btcusdt`"),
        (format!("{at} nonsense"), "not a combined-stream frame"),
        (format!("{at} {{}}"), "no valid `stream`"),
        (format!("{at} {}", frame("btcusdt@trade", "{}")), "no valid `s`"),
        (
            format!("{at} {}", frame("btcusdt@trade", r#"{"s":"BTCUSDT","E":1,"p":"1"}"#)),
            "the trade frame has no valid `q`",
        ),
        (format!("{at} {}", frame("ethusdt@bookTicker", quote)), "expected only frames of ETHUSDT"),
        (
            format!("{at} {}", frame("btcusdt@bookTicker", &quote.replace("1.0", "0.123456789"))),
            "`0.123456789` is not a price",
        ),
        (
            format!("{at} {}", frame("btcusdt@bookTicker", &quote.replace("1.0", "-1"))),
            "`-1` is not a price",
        ),
        (
            format!(
                "{at} {}",
                frame("btcusdt@depth", r#"{"s":"BTCUSDT","E":1,"U":5,"u":4,"b":[],"a":[]}"#)
            ),
            "update ids 5 to 4",
        ),
        (format!("soon {}", frame("btcusdt@bookTicker", quote)), "expected `<receive time"),
        (
            format!("1 {}", frame("btcusdt@bookTicker", quote)),
            "the receive time 1 is before the previous line's 17231612",
        ),
    ];
    for (line, expected) in cases {
        let file = file(format!("{good}{line}\n{good}").as_bytes());
        let (batches, end) = play_file(file.path());
        assert_eq!(batches.len(), 3, "everything before is delivered");
        let error = failure(end);
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(", line 4: "), "{message}");
        assert!(message.starts_with(&file.path().display().to_string()), "{message}");
    }
}

#[test]
fn files_that_are_no_recordings_are_refused_at_once() {
    let open = |path: &Path| Replay::open(&[path], Repeat::Once).map(drop).unwrap_err();
    assert!(matches!(open(Path::new("/nonexistent")).fault, Fault::Open(_)));
    assert!(matches!(open(file(b"").path()).fault, Fault::NoFrames));
    assert!(matches!(open(file(b"# notes\n").path()).fault, Fault::NoTime(_)));
    assert!(matches!(
        open(file(&[0x1F, 0x8B, 1, 2, 3]).path()).fault,
        Fault::StreamCut("gzip") | Fault::Read(_)
    ));
    let two: [PathBuf; 2] = [recording(BTC), PathBuf::from("/nonexistent")];
    assert!(Replay::open(&two, Repeat::Once).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happened to a file: no panic, every tick valid, groups whole, and one clear end.
    #[test]
    fn no_damage_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        is_packed: bool,
    ) {
        static TEXT: LazyLock<Vec<u8>> =
            LazyLock::new(|| text(&recorded::lines(BTC)[..60]).into_bytes());
        let mut bytes = if is_packed { zstd::encode_all(&TEXT[..], 1).unwrap() } else { TEXT.clone() };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let file = file(&bytes);
        if let Ok(mut replay) = Replay::open(&[file.path()], Repeat::Once) {
            let (batches, end) = play(&mut replay);
            prop_assert!(matches!(end, Next::End | Next::Failed(_)));
            for (_, batch) in &batches {
                prop_assert!(batch.iter().all(|tick| tick.validate().is_ok()));
                let begins = batch.iter().filter(|tick| tick.begins()).count();
                prop_assert_eq!(begins, batch.iter().filter(|tick| tick.ends()).count());
            }
        }
    }
}
