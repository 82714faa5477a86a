//! The hub under simulation.
//!
//! How this works, in plain English. A seed decides everything: the limits of a hub (mostly tiny, so
//! that every edge is reached soon), a feed, a ring, and a crowd of clients. The feed makes up
//! instruments and ticks and remembers the truth: every value of every topic by number, and the book
//! after every depth group. Its records go into a ring of a few hundred places that forgets the
//! oldest ones, with a recovery area of images beside it, as the real one has. A shell, written as the
//! real one should be, drains the ring into the hub in batches, recovers after laps, turns the crank
//! of visits, one by one or a group at a time, and now and then pretends that a socket takes nothing.
//!
//! Clients subscribe to topics and wildcards in all modes and rates, with snapshots and without, stop
//! reading, read again, leave, come back and resume, and now and then ask for nonsense. A client
//! believes nothing but the bytes it gets, SBE or JSON, decodes them, and holds them against the
//! truth at once:
//!
//! - what has a number is what the feed said under that number, in that epoch;
//! - numbers of a topic never repeat and never go back; a number that is neither delivered nor in a
//!   gap entry that came before, in the same message, is an error, and so is one that is both;
//! - a gap has a reason that can be: trades are never conflated, nothing is lapped if nothing was;
//! - a definition comes before the first use of an instrument;
//! - a book made from snapshots, changes and merged changes is, after each, the feed's book at that
//!   number; a group is never seen in part;
//! - a visit keeps its budgets, and the pace, unless something made it urgent.
//!
//! In one family clients have grants, made up at random and replaced in the middle of everything, and some
//! are of the exchange's protocol. Then nothing that a client gets may name what its grant denies: neither
//! any byte sequence its symbol, nor any event its id, nor a position, nor an answer that there is such an
//! instrument. And what is allowed comes as above, complete.
//!
//! In the end the feed falls silent, everybody may read, and time passes until the hub has nothing
//! left to say. Then every client's every topic must have come to the feed's newest number. With the
//! checks above that says: delivered plus announced is everything since the subscription's base.
//!
//! A failure prints its seed; `HUB_SEED=n cargo test --test simulation one_seed` runs it alone, and
//! `HUB_SEEDS=n` sets how many seeds the families run.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
#![allow(missing_docs, unreachable_pub)]

#[path = "simulation/asking.rs"]
mod asking;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/events.rs"]
mod events;
#[path = "simulation/feed.rs"]
mod feed;
#[path = "simulation/follower.rs"]
mod follower;
#[path = "simulation/limits.rs"]
mod limits;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/ring.rs"]
mod ring;
#[path = "simulation/trust.rs"]
mod trust;
#[path = "simulation/world.rs"]
mod world;

use world::{Family, Outcome, World};

fn seeds() -> u64 {
    std::env::var("HUB_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Runs a family of seeds and adds up what happened in them.
fn run(family: Family, seeds: u64) -> Outcome {
    let mut total = Outcome::default();
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| World::new(family, seed).run());
        match outcome {
            Ok(outcome) => total.add(&outcome),
            Err(_) => {
                panic!("{family:?}: seed {seed} failed (HUB_SEED={seed} HUB_FAMILY={family:?})")
            }
        }
    }
    total
}

/// Tiny limits, laps, stalls, everything at once.
#[test]
fn everything_happens_and_every_view_is_true() {
    let total = run(Family::Tiny, seeds());
    let c = &total.counters;
    // The families are worth nothing if the edges are not reached.
    for (what, count) in [
        ("laps", c.laps),
        ("epochs", c.epochs),
        ("images", c.images),
        ("evictions", c.entries_evicted),
        ("broken books", c.books_broken),
        ("conflated", c.skipped_conflated),
        ("lost", c.skipped_lost),
        ("lapped", c.skipped_lapped),
        ("resume gaps", c.skipped_resume),
        ("resets", c.resets),
        ("resumes", c.resumes),
        ("resumes refused", c.resumes_refused),
        ("snapshots", c.snapshots),
        ("book snapshots", c.book_snapshots),
        ("merges", c.merges),
        ("merges refused", c.merges_refused),
        ("revoked transfers", c.transfers_revoked),
        ("lagging", c.lagging),
        ("abandoned", c.visits_abandoned),
        ("out of entries", c.visits_out_of_entries),
        ("out of bytes", c.visits_out_of_bytes),
        ("waits cut", c.waits_cut),
        ("encoded again", c.encodings_again),
        ("slow closes", c.slow_closes),
        ("derived", c.entries_derived),
        ("deliveries", c.deliveries),
    ] {
        assert!(count > 0, "no seed came to this: {what}; {c:?}");
    }
}

/// A log with room for all and a ring that laps nobody: who reads and asks for everything gets
/// everything, one by one, however the visits fall.
#[test]
fn who_reads_gets_everything_one_by_one() {
    let total = run(Family::Roomy, seeds());
    assert!(total.counters.deliveries > 0);
    assert_eq!(total.counters.laps, 0);
    assert!(total.strict_topics > 0);
}

/// Many instruments, wildcards, budgets of a few entries.
#[test]
fn wildcards_over_many_instruments_are_true() {
    let total = run(Family::Wide, seeds() / 4 + 1);
    assert!(total.counters.visits_out_of_entries > 0);
}

/// Grants that come, change and go; every edge of the tiny family, and the exchange's protocol beside.
#[test]
fn nobody_gets_a_byte_of_what_is_denied() {
    let total = run(Family::Granted, seeds());
    let c = &total.counters;
    for (what, count) in [
        ("grants replaced", c.entitlements),
        ("topics revoked", c.topics_revoked),
        ("revocations that were told", total.revoked),
        ("denied topics asked for", total.probed),
        ("events of streams", total.stream_events),
        ("resumes", c.resumes),
        ("resets", c.resets),
        ("snapshots", c.snapshots),
        ("book snapshots", c.book_snapshots),
        ("laps", c.laps),
        ("epochs", c.epochs),
        ("abandoned", c.visits_abandoned),
    ] {
        assert!(count > 0, "no seed came to this: {what}; {c:?}");
    }
    assert_eq!(c.topics_revoked, total.revoked);
}

/// One seed of one family, named in the environment.
#[test]
fn one_seed() {
    let Some(seed) = std::env::var("HUB_SEED").ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    let family = match std::env::var("HUB_FAMILY").as_deref() {
        Ok("Roomy") => Family::Roomy,
        Ok("Wide") => Family::Wide,
        Ok("Granted") => Family::Granted,
        _ => Family::Tiny,
    };
    World::new(family, seed).run();
}

/// The same seed gives the same bytes.
#[test]
fn the_hub_is_deterministic() {
    for seed in 0..20 {
        let first = World::new(Family::Tiny, seed).run();
        let second = World::new(Family::Tiny, seed).run();
        assert_eq!((first.digest, first.counters), (second.digest, second.counters), "seed {seed}");
    }
}
