//! The real binary among those who mean it harm, or have no luck: peers that dribble, vanish, reset and do not read;
//! no descriptors, no room on the disk, a clock that jumps; signals under load.
//!
//! In every test there are bystanders: subscribers that check every number, and must notice nothing. How many hostile
//! connections of each kind a gateway bears is measured elsewhere (`bench run hostile`).
//!
//! Filling a disk takes the right to mount, and jumps of the clock take libfaketime (`.ci/test tools` installs it).

#[path = "../support/mod.rs"]
mod support;

#[allow(clippy::cast_possible_truncation, reason = "test data is small")]
#[expect(dead_code, reason = "the tests of sockets use more of it")]
#[path = "../sockets/client.rs"]
mod client;
#[expect(dead_code, reason = "the tests of proxies use more of it")]
#[path = "../proxies/crowd.rs"]
mod crowd;
#[expect(dead_code, reason = "the tests of proxies use more of it")]
#[path = "../proxies/tape.rs"]
mod tape;

mod bystanders;
mod clock;
mod descriptors;
mod disks;
mod signals;
mod slowness;
mod vanishing;
mod villain;
mod ways;
mod windows;

use support::process::Gateway;

/// A gateway of one shard with an even feed, which never takes a slow test machine for a slow client.
fn gateway(more: &[&str]) -> Gateway {
    let mut arguments = more.to_vec();
    for (name, value) in [
        ("--source", "pulse"),
        ("--symbols", "4"),
        ("--rate", "1000"),
        ("--shards", "1"),
        ("--lag-age", "1h"),
        ("--slow-age", "1h"),
        ("--exchange-connections", "0"),
        // Then the process's own table shows every descriptor.
        ("--descriptor-tables", "shared"),
    ] {
        if !more.contains(&name) {
            arguments.extend([name, value]);
        }
    }
    Gateway::start(&arguments)
}
