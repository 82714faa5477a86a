//! Every limit of the hub: its value, why that value, what it costs, what happens there, and the
//! counter that shows it.
//!
//! [`Limits::for_shards`] divides what is a budget of the process. What is a limit per connection or
//! per visit is the same however many shards there are.

use wire::GROUP_LEVELS_MAX;

use crate::format::{FORMATS, Format, NATIVE};
use crate::framed::PLACE_BYTES;

/// What one connection costs the hub while it has one topic, in bytes, at most: its slot of one cache
/// line, four bits in the sets of connections, and its place in a list of subscribers that may be half
/// full. A test in `connection.rs` holds the slot to its part.
pub const CONNECTION_BYTES_MAX: usize = 80;

/// The limits of one hub. Fields are plain: whoever sets them calls [`Limits::validate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections. The kernel's limit on open files is usually 20,000 for a process or shard.
    /// Memory: 64 B each, in pages of 64, and 56 B
    /// more of those that are or were slow. There: [`ConnectError::Full`](crate::ConnectError),
    /// `connects_refused`.
    pub connections_max: u32,
    /// Instruments, over all epochs since the start. Symbols keep their place across epochs, so that
    /// subscriptions do. Memory: about 250 B each, 80 B for each of their topics and 120 B where the
    /// topic has a last value. There: the definition is dropped, `definitions_refused`.
    pub instruments_max: u32,
    /// Entries in the log: a power of two. 2^20 are half a second at 2 million ticks a second, and
    /// three minutes of the busier recording times fifty. Memory: 64 B each. There: the oldest entry
    /// leaves, `entries_evicted`; cursors on it fall under their channel's rule.
    pub log_entries: usize,
    /// Ticks in the log: a power of two, at least `group_levels_max / 4`. A recorded depth group has
    /// 13 ticks on average but is one entry in twelve: two ticks an entry. Memory: 120 B each.
    /// There: as with `log_entries`, whichever comes first.
    pub log_ticks: usize,
    /// Bytes of encoded entries, binary and text: powers of two. A connection at the head reads the last
    /// milliseconds; 16 MiB are 260,000 quotes, and what is overwritten is encoded again at 20 ns.
    /// Memory: so much for each format in use, native or the exchange's; with one of the exchange's,
    /// 24 B more for each entry of the log. There: `encodings_again`.
    pub arena_bytes: [usize; 2],
    /// Level changes in one depth group; at most the wire's own limit. Memory: 480 KiB for the group
    /// being put together. There: the group is dropped, `groups_broken`, its topic has a hole.
    pub group_levels_max: usize,
    /// Levels on one side of a book. The venue's own snapshots end at 5,000; ten times that is a feed
    /// that forgets to take levels out. Memory: 16 B a level. There: the book waits for the next
    /// image or replacement, `books_broken`.
    pub book_levels_max: usize,
    /// Exact topics of one connection. Memory: 24 B each once there are two. There: the topic's
    /// result is an error.
    pub topics_per_connection_max: usize,
    /// Delivery classes (mode and rate) of one connection. Memory: 32 B each beyond the first.
    /// There: the topic's result is an error.
    pub classes_per_connection_max: usize,
    /// Wildcard states of all connections together: a wildcard keeps 8 B for each instrument, so
    /// that 4 million of them are 32 MiB: 400 clients of `*.quote` over 10,000 instruments, or 8,000
    /// over 500. There: the topic's result is an error, `wildcards_refused`.
    pub wildcard_states_max: usize,
    /// Entries, links, topics and instruments looked at in one visit. At some 3 ns each when cached
    /// and 20 ns when not, a visit stays below a tenth of a millisecond. There: the rest waits for
    /// the connection's next turn, `visits_out_of_entries`.
    pub visit_entries: usize,
    /// Bytes of one visit, which are one WebSocket message: one TLS record, and hardly dearer to send
    /// than 64 B. A single entry that is longer goes alone. There: as above, `visits_out_of_bytes`.
    pub visit_bytes: usize,
    /// Visits of one connection are at least so far apart, ns; 0: as soon as there is something. At
    /// the same load twice as much in each message is half as many sends. Memory: 24 B for each
    /// connection, if it is not 0. There: what came goes in one message, later; at once if a quarter of
    /// the log has come, `waits_cut`.
    pub visit_interval_ns: u64,
    /// How many entries a connection that was not writable may be behind before its channels' rules
    /// apply: a quarter of the default log. There: `lagging`.
    pub lag_entries_max: u64,
    /// How long ago a connection that was not writable may last have been up to date before its
    /// channels' rules apply, ns. A second: longer than a scheduling hiccup or a lost packet, which
    /// must not cost a client that wants everything anything. There: `lagging`.
    pub lag_age_max_ns: u64,
    /// How long a connection may be unwritable without a break, ns. Half a minute: longer than a
    /// phone changes networks, shorter than kernels give up. There: it is closed, `slow_closes`.
    pub slow_age_max_ns: u64,
    /// By how many entries an unwritable connection may be behind before it is closed. Off by
    /// default: cursors that wait cost nothing. There: it is closed, `slow_closes`.
    pub slow_entries_max: u64,
    /// Raw level changes that are merged into one change set for one lagging client: at 16 B each in
    /// SBE what a visit may send. Memory: 40 B each, once. There: a fresh snapshot instead,
    /// `merges_refused`.
    pub merge_levels_max: usize,
    /// Encoded book snapshots that clients are in the middle of, in bytes. 16 MiB are a hundred
    /// different full books. There: transfers to clients that do not read are taken back and start
    /// anew later, `transfers_revoked`, or a new one waits, `snapshots_delayed`.
    pub snapshot_bytes_max: usize,
    /// The highest rate a client can ask for, visits a second. Above it timers would cost more than
    /// they save. There: the rate is this.
    pub rate_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            instruments_max: 65_536,
            log_entries: 1 << 20,
            log_ticks: 1 << 21,
            arena_bytes: [1 << 24, 1 << 24],
            group_levels_max: GROUP_LEVELS_MAX,
            book_levels_max: 50_000,
            topics_per_connection_max: 4_096,
            classes_per_connection_max: 8,
            wildcard_states_max: 4_000_000,
            visit_entries: 4_096,
            visit_bytes: 16 * 1024,
            visit_interval_ns: 0,
            lag_entries_max: 1 << 18,
            lag_age_max_ns: 1_000_000_000,
            slow_age_max_ns: 30_000_000_000,
            slow_entries_max: u64::MAX,
            merge_levels_max: 1_024,
            snapshot_bytes_max: 16 << 20,
            rate_max: 1_000,
        }
    }
}

/// What is wrong with limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// A ring's size is not a power of two.
    #[error("{name} must be a power of two, not {value}")]
    PowerOfTwo {
        /// The field.
        name: &'static str,
        /// Its value.
        value: usize,
    },
    /// A value is below what the others need.
    #[error("{name} must be at least {least}, not {value}")]
    TooSmall {
        /// The field.
        name: &'static str,
        /// The least possible value.
        least: usize,
        /// Its value.
        value: usize,
    },
    /// A value is above what can work.
    #[error("{name} must be at most {most}, not {value}")]
    TooBig {
        /// The field.
        name: &'static str,
        /// The greatest possible value.
        most: usize,
        /// Its value.
        value: usize,
    },
}

impl Limits {
    /// One shard's part when `shards` of them share the process's memory. No log gets smaller than
    /// 2^14 entries: below that an ordinary scheduling delay would make clients fall off it.
    #[must_use]
    pub fn for_shards(shards: usize) -> Self {
        let whole = Self::default();
        let part = |whole: usize, least: usize| {
            let part = whole / shards.max(1);
            // The power of two at or below, so that the parts never exceed the whole.
            least.max(if part.is_power_of_two() { part } else { part.next_power_of_two() / 2 })
        };
        let log_entries = part(whole.log_entries, 1 << 14);
        Self {
            log_entries,
            log_ticks: part(whole.log_ticks, 1 << 15),
            arena_bytes: whole.arena_bytes.map(|bytes| part(bytes, 1 << 20)),
            lag_entries_max: log_entries as u64 / 4,
            snapshot_bytes_max: (whole.snapshot_bytes_max / shards.max(1)).max(1 << 20),
            wildcard_states_max: (whole.wildcard_states_max / shards.max(1)).max(1 << 16),
            ..whole
        }
    }

    /// These limits with what a hub that is at work can take of newer ones: not what its log and other memory are made
    /// to, nor how it visits.
    #[must_use]
    pub const fn followed(self, newer: &Self) -> Self {
        Self {
            connections_max: newer.connections_max,
            lag_entries_max: newer.lag_entries_max,
            lag_age_max_ns: newer.lag_age_max_ns,
            slow_age_max_ns: newer.slow_age_max_ns,
            slow_entries_max: newer.slow_entries_max,
            ..self
        }
    }

    /// The memory of the log and its arenas once they are full and every format is in use, bytes.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        let arenas = Format::ALL.map(|format| self.arena_bytes_of(format));
        let places = self.log_entries * PLACE_BYTES * (FORMATS - NATIVE);
        self.log_entries * 64 + self.log_ticks * 120 + arenas.iter().sum::<usize>() + places
    }

    /// The bytes of the arena of this format.
    pub(crate) const fn arena_bytes_of(&self, format: Format) -> usize {
        match format {
            Format::Sbe | Format::ExchangeSbe => self.arena_bytes[0],
            Format::Json | Format::ExchangeMillis | Format::ExchangeMicros => self.arena_bytes[1],
        }
    }

    /// Checks that the limits can work together.
    ///
    /// # Errors
    /// With the first that cannot.
    pub const fn validate(&self) -> Result<(), LimitsError> {
        let rings = [
            ("log_entries", self.log_entries),
            ("log_ticks", self.log_ticks),
            ("arena_bytes", self.arena_bytes[0]),
            ("arena_bytes", self.arena_bytes[1]),
        ];
        let mut i = 0;
        while i < rings.len() {
            let (name, value) = rings[i];
            if !value.is_power_of_two() {
                return Err(LimitsError::PowerOfTwo { name, value });
            }
            i += 1;
        }
        let group_ticks = self.group_levels_max.div_ceil(wire::LEVELS_PER_TICK);
        let least = [
            ("log_entries", 2, self.log_entries),
            // A partial book of 20 levels a side is ten ticks.
            ("log_ticks", if group_ticks > 10 { group_ticks } else { 10 }, self.log_ticks),
            ("visit_entries", 8, self.visit_entries),
            ("visit_bytes", 256, self.visit_bytes),
            ("topics_per_connection_max", 1, self.topics_per_connection_max),
            ("classes_per_connection_max", 1, self.classes_per_connection_max),
            ("rate_max", 1, self.rate_max as usize),
        ];
        let mut i = 0;
        while i < least.len() {
            let (name, least, value) = least[i];
            if value < least {
                return Err(LimitsError::TooSmall { name, least, value });
            }
            i += 1;
        }
        let most = [
            ("group_levels_max", GROUP_LEVELS_MAX, self.group_levels_max),
            ("merge_levels_max", GROUP_LEVELS_MAX, self.merge_levels_max),
            ("classes_per_connection_max", 255, self.classes_per_connection_max),
            ("arena_bytes", 1 << 31, self.arena_bytes[0]),
            ("arena_bytes", 1 << 31, self.arena_bytes[1]),
        ];
        let mut i = 0;
        while i < most.len() {
            let (name, most, value) = most[i];
            if value > most {
                return Err(LimitsError::TooBig { name, most, value });
            }
            i += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_one_budget() {
        let whole = Limits::default();
        whole.validate().unwrap();
        for shards in [1, 2, 3, 7, 16, 50, 64] {
            let part = Limits::for_shards(shards);
            part.validate().unwrap();
            assert!(part.log_bytes() * shards <= whole.log_bytes() || part.log_entries == 1 << 14);
        }
    }

    #[test]
    fn what_cannot_work_is_named() {
        let broken = Limits { log_entries: 1000, ..Limits::default() };
        let expected = LimitsError::PowerOfTwo { name: "log_entries", value: 1000 };
        assert_eq!(broken.validate(), Err(expected));
        let broken = Limits { log_ticks: 16, ..Limits::default() };
        let expected = LimitsError::TooSmall { name: "log_ticks", least: 4096, value: 16 };
        assert_eq!(broken.validate(), Err(expected));
    }
}
