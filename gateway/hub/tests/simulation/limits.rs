//! The limits of a world's hub: mostly tiny, so that every edge is reached soon.

use tickcast_hub::Limits;

use crate::random::Random;
use crate::world::Family;

pub fn limits(family: Family, random: &mut Random) -> Limits {
    let power = |random: &mut Random, low, high| 1usize << random.range(low, high);
    let mut limits = Limits {
        connections_max: 12,
        instruments_max: 64,
        log_entries: power(random, 3, 8),
        log_ticks: power(random, 4, 9),
        arena_bytes: [power(random, 8, 12), power(random, 8, 12)],
        group_levels_max: 60,
        book_levels_max: 40,
        topics_per_connection_max: 12,
        classes_per_connection_max: 3,
        wildcard_states_max: 400,
        visit_entries: random.range(8, 80) as usize,
        visit_bytes: random.range(256, 3000) as usize,
        lag_entries_max: random.range(0, 60),
        lag_age_max_ns: random.range(1, 200) * 1_000_000,
        slow_age_max_ns: random.range(1, 40) * 50_000_000,
        slow_entries_max: if random.chance(30) { random.range(50, 500) } else { u64::MAX },
        merge_levels_max: random.range(1, 80) as usize,
        snapshot_bytes_max: random.range(100, 6000) as usize,
        rate_max: 1000,
        visit_interval_ns: if random.chance(40) { random.range(1, 50) * 1_000_000 } else { 0 },
    };
    match family {
        Family::Tiny => {}
        // Followers share the places of clients, whose waits are checked in the other families.
        Family::Granted => limits.visit_interval_ns = 0,
        Family::Roomy => {
            limits.log_entries = 1 << 14;
            limits.log_ticks = 1 << 16;
            limits.snapshot_bytes_max = 1 << 20;
        }
        Family::Wide => {
            limits.instruments_max = 400;
            limits.wildcard_states_max = 100_000;
            limits.log_entries = power(random, 5, 11);
            limits.log_ticks = limits.log_entries * 2;
        }
    }
    limits
}
