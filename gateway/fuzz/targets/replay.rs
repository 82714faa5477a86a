//! Recordings: files from others, which are played or refused with a reason.

use feed_sim::replay::{Repeat, Replay};
use feed_sim::{Feed, Next};

pub fn run(bytes: &[u8]) {
    let path = super::file("spot_btcusdt_20260101", bytes);
    let Ok(mut replay) = Replay::open(&[&path], Repeat::Once) else { return };
    let mut ticks = Vec::new();
    loop {
        ticks.clear();
        match replay.next(&mut ticks) {
            Next::At(_) => assert!(ticks.iter().all(|tick| tick.validate().is_ok())),
            Next::Restart | Next::End | Next::Failed(_) => return,
        }
    }
}
