//! Slots of a Redis cluster: which a key is in, and which node has which.
//!
//! After the cluster specification (redis.io, "Redis cluster specification", key distribution model).

use redis::Value;

use crate::redis::answer;
use crate::url::Host;

/// Slots of a cluster. Any.
const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM: polynomial 0x1021, begins with zero, nothing reflected.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The slot of a key or channel: of its hash tag, the part between the first brace and the next closing
/// one, if it has a tag that is not empty.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16(hashed.as_bytes()) % SLOTS
}

/// Which primary has which slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// First and last slot, and the place in `nodes`; in the order of slots.
    ranges: Vec<(u16, u16, usize)>,
    nodes: Vec<Host>,
}

impl SlotMap {
    /// All slots at one server.
    pub(super) fn single(host: Host) -> Self {
        Self { ranges: vec![(0, SLOTS - 1, 0)], nodes: vec![host] }
    }

    /// What `CLUSTER SLOTS` answered. A node that does not know its own name is the one that was asked.
    pub(super) fn parse(value: &Value, asked: &Host) -> Option<Self> {
        let mut map = Self { ranges: Vec::new(), nodes: Vec::new() };
        for range in answer::array(value)? {
            let [first, last, primary, ..] = answer::array(range)? else { return None };
            let [name, port, ..] = answer::array(primary)? else { return None };
            let name = match answer::text(name) {
                Some(name) if !name.is_empty() && name != "?" => name.to_owned(),
                _ => asked.name.clone(),
            };
            let host = Host { name, port: answer::integer(port)?.try_into().ok()? };
            let node = map.nodes.iter().position(|known| *known == host).unwrap_or_else(|| {
                map.nodes.push(host);
                map.nodes.len() - 1
            });
            let first = answer::integer(first)?.try_into().ok()?;
            let last = answer::integer(last)?.try_into().ok()?;
            map.ranges.push((first, last, node));
        }
        map.ranges.sort_unstable();
        Some(map)
    }

    /// The nodes that have slots.
    pub(super) fn nodes(&self) -> &[Host] {
        &self.nodes
    }

    /// The place in [`SlotMap::nodes`] of the slot's node, if it has one.
    pub(super) fn node_of(&self, slot: u16) -> Option<usize> {
        let behind = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, node) = self.ranges.get(behind.checked_sub(1)?)?;
        (slot <= *last).then_some(*node)
    }

    /// Whether the same slots are at the same nodes, in whatever order it was told.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let places = |map: &Self| -> Vec<(u16, u16, Host)> {
            map.ranges.iter().map(|(a, b, node)| (*a, *b, map.nodes[*node].clone())).collect()
        };
        places(self) == places(other)
    }
}

/// The address in a redirection, `host:port`; without a host it is the one that was asked.
pub(super) fn parse_redirection(address: &str, asked: &Host) -> Option<Host> {
    let (name, port) = address.rsplit_once(':')?;
    let name = if name.is_empty() { asked.name.clone() } else { name.to_owned() };
    Some(Host { name, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    #[test]
    fn keys_are_where_redis_puts_them() {
        // The check value of CRC-16/XMODEM, and answers of CLUSTER KEYSLOT by redis-server 7.0.15.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("tickcast:{b7}:log"), slot_of("b7"));
        assert_eq!(slot_of("x{}y"), crc16(b"x{}y") % SLOTS);
        assert_eq!(slot_of("a{{b}}c"), crc16(b"{b") % SLOTS);
    }

    #[test]
    fn a_map_is_read_from_the_answer() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, name: Value, port| {
            let node = Value::Array(vec![name, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), node])
        };
        let value = Value::Array(vec![
            range(5461, 10_922, text("10.0.0.2"), 2),
            range(0, 5460, Value::Nil, 1),
            range(12_000, 16_383, text(""), 1),
        ]);
        let map = SlotMap::parse(&value, &host("seed", 9)).unwrap();
        assert_eq!(map.nodes(), [host("10.0.0.2", 2), host("seed", 1)]);
        assert_eq!(map.node_of(0), Some(1));
        assert_eq!(map.node_of(5461), Some(0));
        assert_eq!(map.node_of(10_922), Some(0));
        assert_eq!(map.node_of(10_923), None);
        assert_eq!(map.node_of(16_383), Some(1));
        assert_eq!(SlotMap::parse(&Value::Int(3), &host("seed", 9)), None);
    }

    #[test]
    fn maps_agree_whatever_the_order_of_nodes() {
        let one = SlotMap {
            ranges: vec![(0, 9, 0), (10, 16_383, 1)],
            nodes: vec![host("a", 1), host("b", 2)],
        };
        let other = SlotMap {
            ranges: vec![(0, 9, 1), (10, 16_383, 0)],
            nodes: vec![host("b", 2), host("a", 1)],
        };
        assert!(one.agrees_with(&other));
        assert!(!one.agrees_with(&SlotMap::single(host("a", 1))));
    }

    #[test]
    fn redirections_are_read() {
        assert_eq!(parse_redirection("::1:7000", &host("seed", 1)), Some(host("::1", 7000)));
        assert_eq!(parse_redirection(":7000", &host("seed", 1)), Some(host("seed", 7000)));
        assert_eq!(parse_redirection("nothing", &host("seed", 1)), None);
    }
}
