//! Watches connections come back: when the first broke, when all were open, when all were receiving.

use crate::clock::realtime_ns;
use crate::generator::plan::Recovery;

/// Counts of a worker's connections, and the moments when they were complete again.
#[derive(Debug, Default)]
pub(super) struct Comeback {
    /// Open and subscribed.
    pub(super) open: u64,
    /// Of those, have received something since.
    pub(super) receiving: u64,
    recovery: Recovery,
}

impl Comeback {
    pub(super) const fn recovery(&self) -> Recovery {
        self.recovery
    }

    pub(super) fn opened(&mut self, wanted: u64) {
        self.open += 1;
        if self.open == wanted && self.recovery.broke_ns.is_some() {
            self.recovery.open_ns = Some(realtime_ns());
        }
    }

    /// A connection that is open has its first message.
    pub(super) fn received(&mut self, wanted: u64) {
        self.receiving += 1;
        if self.receiving == wanted && self.recovery.broke_ns.is_some() {
            self.recovery.receiving_ns = Some(realtime_ns());
        }
    }

    /// A connection closed that was not open yet; it may have got something between two acks.
    pub(super) fn failed(&mut self, was_receiving: bool) {
        self.receiving -= u64::from(was_receiving);
    }

    /// An open connection closed.
    pub(super) fn closed(&mut self, was_receiving: bool) {
        self.open -= 1;
        self.receiving -= u64::from(was_receiving);
        // Complete no more, whatever was before.
        let broke_ns = self.recovery.broke_ns.or_else(|| Some(realtime_ns()));
        self.recovery = Recovery { broke_ns, open_ns: None, receiving_ns: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comeback_is_complete_when_all_receive_again() {
        let mut comeback = Comeback::default();
        for _ in 0..2 {
            comeback.opened(2);
            comeback.received(2);
        }
        assert_eq!(comeback.recovery(), Recovery::default(), "nothing broke yet");
        comeback.closed(true);
        comeback.closed(true);
        comeback.opened(2);
        comeback.received(2);
        let half = comeback.recovery();
        assert!(half.broke_ns.is_some() && half.open_ns.is_none() && half.receiving_ns.is_none());
        comeback.opened(2);
        let open = comeback.recovery();
        assert!(open.open_ns >= open.broke_ns && open.receiving_ns.is_none());
        comeback.received(2);
        assert!(comeback.recovery().receiving_ns >= open.open_ns);
        comeback.closed(true);
        assert_eq!(comeback.recovery().receiving_ns, None, "broken again");
        assert_eq!(comeback.recovery().broke_ns, open.broke_ns);
    }
}
