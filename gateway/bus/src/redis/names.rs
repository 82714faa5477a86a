//! What keys and channels at Redis are called.
//!
//! Everything of one bucket has the same hash tag, `{b<bucket>}`: in a cluster its log and its channel are
//! then on one node, and one script may touch them all. A cluster spreads values over
//! [`VALUE_HASHES`] hashes; what is announced when it changes has a hash of its own beside its channel.

use crate::backend::keys;
use crate::redis::slots;
use crate::url::Topology;

/// Hashes that values are spread over in a cluster: enough that many nodes share them evenly, few enough
/// that the values of a bucket come in a handful of answers.
const VALUE_HASHES: u16 = 64;

/// The field of what [`crate::StoreOptions`] say, in the hash of [`Names::control_values`].
pub(super) const STORE: &str = "store";

/// The names under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    value_hashes: u16,
}

impl Names {
    pub(super) fn new(prefix: &str, topology: Topology) -> Self {
        let value_hashes = match topology {
            Topology::Single => 1,
            Topology::Cluster => VALUE_HASHES,
        };
        Self { prefix: prefix.to_owned(), value_hashes }
    }

    /// The stream that is the bucket's log.
    pub(super) fn log(&self, bucket: u32) -> String {
        format!("{}:{{b{bucket}}}:log", self.prefix)
    }

    /// The hash with the log's newest offset.
    pub(super) fn head(&self, bucket: u32) -> String {
        format!("{}:{{b{bucket}}}:head", self.prefix)
    }

    /// The list by which the log is trimmed.
    pub(super) fn marks(&self, bucket: u32) -> String {
        format!("{}:{{b{bucket}}}:marks", self.prefix)
    }

    /// The channel of the bucket's live entries.
    pub(super) fn live(&self, bucket: u32) -> String {
        format!("{}:{{b{bucket}}}:live", self.prefix)
    }

    /// Whose live channel this is.
    pub(super) fn bucket_of(&self, channel: &[u8]) -> Option<u32> {
        let channel = std::str::from_utf8(channel).ok()?;
        let rest = channel.strip_prefix(&self.prefix)?.strip_prefix(":{b")?;
        rest.strip_suffix("}:live")?.parse().ok()
    }

    /// The channel of everything that concerns no bucket.
    pub(super) fn control(&self) -> String {
        format!("{}:{{control}}:live", self.prefix)
    }

    /// The hash of what is announced on [`Names::control`].
    pub(super) fn control_values(&self) -> String {
        format!("{}:{{control}}:values", self.prefix)
    }

    /// The hash in which this value is.
    pub(super) fn values(&self, key: &str) -> String {
        if key == keys::CATALOG {
            return self.control_values();
        }
        let hash = slots::crc16(key.as_bytes()) % self.value_hashes;
        format!("{}:{{v{hash}}}:values", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::slots::slot_of;

    #[test]
    fn a_bucket_is_in_one_slot_and_known_by_its_channel() {
        let names = Names::new("market-1", Topology::Cluster);
        for bucket in [0, 7, u32::MAX] {
            let slot = slot_of(&names.log(bucket));
            for name in [names.head(bucket), names.marks(bucket), names.live(bucket)] {
                assert_eq!(slot_of(&name), slot, "{name}");
            }
            assert_eq!(names.bucket_of(names.live(bucket).as_bytes()), Some(bucket));
        }
        assert_eq!(slot_of(&names.control()), slot_of(&names.control_values()));
    }

    #[test]
    fn other_channels_are_no_buckets() {
        let names = Names::new("a", Topology::Single);
        for other in ["a:{control}:live", "a:{b1}:log", "b:{b1}:live", "a:{bx}:live", ""] {
            assert_eq!(names.bucket_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn values_spread_in_a_cluster_only() {
        let count = |topology| {
            let names = Names::new("a", topology);
            let hashes: std::collections::BTreeSet<String> =
                (0..1000).map(|i| names.values(&keys::image(i))).collect();
            hashes.len()
        };
        assert_eq!(count(Topology::Single), 1);
        assert_eq!(count(Topology::Cluster), usize::from(VALUE_HASHES));
    }
}
