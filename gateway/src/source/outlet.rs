//! The ring on the heap that a stream from elsewhere goes through: made for it, or the one there is.

use feed_sim::{Feeder, FeederError};
use ring::Ring;
use wire::{Instrument, Presence};

use crate::clock::realtime_ns;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::shard::Order;

/// Begins an epoch with everything attached or nothing: in the old ring, if that has room for the instruments.
pub(super) fn begin(
    old: Option<(Feeder, Ring)>,
    epoch: u64,
    instruments: &[Instrument],
    presence: Presence,
    config: &Config,
    fleet: &Fleet,
) -> Result<(Feeder, Ring), FeederError> {
    let now_ns = realtime_ns();
    let fitting = old.and_then(|(mut feeder, ring)| {
        let begun = feeder.begin_epoch_as(epoch, instruments, presence, now_ns);
        begun.ok().map(|()| (feeder, ring))
    });
    if let Some(fitting) = fitting {
        return Ok(fitting);
    }
    let capacity = usize::try_from(config.ring_capacity).unwrap_or(usize::MAX);
    let levels = feed_sim::image_levels(instruments.len());
    let shape = feed_sim::shape(instruments, capacity, levels);
    let (publisher, ring) = Ring::heap(shape, epoch);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch_as(epoch, instruments, presence, now_ns)?;
    fleet.attach(&ring, Order::Own(feed_sim::fresh_epoch(now_ns)));
    Ok((feeder, ring))
}
