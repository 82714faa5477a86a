//! When a shard has its allocator give memory back: once it is quiet after a burst of connections.
//!
//! A handshake takes some 20 KiB for a moment (its task, HTTP buffers, TLS), a session 200 bytes for
//! hours. Without this the allocator keeps the former, and an idle connection seems to cost three
//! times what it does.

/// How long no connection must have come or gone: in a steady trickle of them the memory is in use.
const QUIET_NS: u64 = 500_000_000;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    /// When the last connection came or went; `None`: everything was given back since.
    changed_ns: Option<u64>,
    sessions: usize,
}

impl Thrift {
    /// Told every turn how many connections there are, and how many handshakes are under way. Says
    /// whether memory is to be given back now.
    pub(super) fn is_due(&mut self, sessions: usize, handshakes: usize, now_ns: u64) -> bool {
        if std::mem::replace(&mut self.sessions, sessions) != sessions || handshakes > 0 {
            self.changed_ns = Some(now_ns);
        }
        self.changed_ns
            .take_if(|changed_ns| now_ns.saturating_sub(*changed_ns) >= QUIET_NS)
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_burst() {
        let mut thrift = Thrift::default();
        assert!(!thrift.is_due(0, 0, QUIET_NS));
        assert!(!thrift.is_due(1, 3, QUIET_NS));
        assert!(!thrift.is_due(4, 0, QUIET_NS + 1));
        assert!(!thrift.is_due(4, 0, 2 * QUIET_NS));
        assert!(thrift.is_due(4, 0, 2 * QUIET_NS + 1));
        assert!(!thrift.is_due(4, 0, 9 * QUIET_NS));
        assert!(!thrift.is_due(3, 0, 9 * QUIET_NS));
        assert!(thrift.is_due(3, 0, 10 * QUIET_NS));
    }
}
