//! One direction of a long way: bytes taken at one end come out at the other after the delay, no faster
//! than the rate, in order. Pure: time is an argument, sockets are elsewhere ([`super::link`]).
//!
//! Bounded like the real thing. A sender has at most a window of bytes on the way that are not
//! acknowledged; an acknowledgement takes the delay back. In front of the slowest link at most a queue
//! of bytes waits. Where neither has room nothing is taken, and bytes stay with the sender.

use std::collections::VecDeque;

/// How long, how wide, how whole. The default lets everything through at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// One way.
    pub delay_ns: u64,
    /// Bytes a second of the slowest link; none: as many as come.
    pub rate: Option<f64>,
    /// Bytes that may be unacknowledged.
    pub window_bytes: usize,
    /// Bytes that may wait for the slowest link.
    pub queue_bytes: usize,
    /// The most bytes that are given to the receiver at once: larger chunks are split.
    pub piece_bytes: usize,
    /// By how much a connection may be let through later than another that came at the same time, so that
    /// they arrive in another order.
    pub spread_ns: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            delay_ns: 0,
            rate: None,
            // The most that Linux lets a send buffer grow to by itself.
            window_bytes: 4 << 20,
            queue_bytes: 64 << 10,
            piece_bytes: usize::MAX,
            spread_ns: 0,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Path {
    shape: Shape,
    /// On the way, in the order in which they arrive.
    chunks: VecDeque<Chunk>,
    /// Delivered: when the sender hears of it, and how many bytes.
    acks: VecDeque<(u64, usize)>,
    /// The sum of both.
    unacked_bytes: usize,
    /// When the slowest link has sent all that waits for it.
    link_free_ns: u64,
}

#[derive(Debug)]
struct Chunk {
    arrives_ns: u64,
    bytes: Vec<u8>,
    /// How much of it the receiver has taken.
    taken: usize,
}

impl Path {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            chunks: VecDeque::new(),
            acks: VecDeque::new(),
            unacked_bytes: 0,
            link_free_ns: 0,
        }
    }

    /// How many bytes may be put in now.
    pub(crate) fn room(&mut self, now_ns: u64) -> usize {
        while let Some((at_ns, bytes)) = self.acks.front().copied()
            && at_ns <= now_ns
        {
            self.acks.pop_front();
            self.unacked_bytes -= bytes;
        }
        let window = self.shape.window_bytes.saturating_sub(self.unacked_bytes);
        let Some(rate) = self.shape.rate else { return window };
        let waiting = bytes_in(self.link_free_ns.saturating_sub(now_ns), rate);
        window.min(self.shape.queue_bytes.saturating_sub(waiting))
    }

    /// Puts bytes in, at most as many as there is room for.
    pub(crate) fn push(&mut self, bytes: Vec<u8>, now_ns: u64) {
        debug_assert!(bytes.len() <= self.room(now_ns), "more than there was room for");
        let sending_ns = self.shape.rate.map_or(0, |rate| ns_of(bytes.len(), rate));
        self.link_free_ns = self.link_free_ns.max(now_ns) + sending_ns;
        self.unacked_bytes += bytes.len();
        let arrives_ns = self.link_free_ns + self.shape.delay_ns;
        self.chunks.push_back(Chunk { arrives_ns, bytes, taken: 0 });
    }

    /// What has arrived and not been taken: the first piece of it.
    pub(crate) fn arrived(&self, now_ns: u64) -> Option<&[u8]> {
        let chunk = self.chunks.front().filter(|chunk| chunk.arrives_ns <= now_ns)?;
        let rest = &chunk.bytes[chunk.taken..];
        Some(&rest[..rest.len().min(self.shape.piece_bytes)])
    }

    /// The receiver has taken so many bytes of [`Path::arrived`].
    pub(crate) fn take(&mut self, bytes: usize, now_ns: u64) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        chunk.taken += bytes;
        if chunk.taken == chunk.bytes.len() {
            self.chunks.pop_front();
        }
        self.acks.push_back((now_ns + self.shape.delay_ns, bytes));
    }

    /// When something changes by itself: a chunk arrives, or there is room again.
    pub(crate) fn next_change_ns(&self, now_ns: u64) -> Option<u64> {
        let arrival = self.chunks.front().map(|chunk| chunk.arrives_ns);
        let ack = self.acks.front().map(|(at_ns, _)| *at_ns);
        // The queue has room for something worth a read when a quarter of it has gone.
        let queue = self.shape.rate.map(|rate| {
            let waiting_ns = ns_of(self.shape.queue_bytes, rate) / 4 * 3;
            self.link_free_ns.saturating_sub(waiting_ns)
        });
        [arrival, ack, queue].into_iter().flatten().filter(|at_ns| *at_ns > now_ns).min()
    }

    /// Nothing is on the way.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and sizes far below 2^53"
)]
fn ns_of(bytes: usize, rate: f64) -> u64 {
    (bytes as f64 / rate * 1e9) as u64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and sizes far below 2^53"
)]
fn bytes_in(ns: u64, rate: f64) -> usize {
    (ns as f64 / 1e9 * rate) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn shape(rate: Option<f64>) -> Shape {
        let (window_bytes, queue_bytes) = (10_000, 1_000);
        Shape { delay_ns: 50 * MS, rate, window_bytes, queue_bytes, ..Shape::default() }
    }

    #[test]
    fn bytes_arrive_after_the_delay_in_order_and_not_before() {
        let mut path = Path::new(shape(None));
        path.push(vec![1; 10], 0);
        path.push(vec![2; 10], MS);
        assert_eq!(path.arrived(50 * MS - 1), None);
        assert_eq!(path.arrived(50 * MS), Some(&[1; 10][..]));
        path.take(4, 50 * MS);
        assert_eq!(path.arrived(50 * MS), Some(&[1; 6][..]));
        path.take(6, 50 * MS);
        assert_eq!(path.arrived(50 * MS), None);
        assert_eq!(path.next_change_ns(50 * MS), Some(51 * MS));
        assert_eq!(path.arrived(51 * MS), Some(&[2; 10][..]));
    }

    #[test]
    fn the_window_opens_a_round_trip_after_it_closed() {
        let mut path = Path::new(shape(None));
        path.push(vec![0; 10_000], 0);
        assert_eq!(path.room(60 * MS), 0, "arrived, but nobody has taken it");
        path.take(10_000, 60 * MS);
        assert!(path.is_empty());
        assert_eq!(path.room(109 * MS), 0);
        assert_eq!(path.next_change_ns(60 * MS), Some(110 * MS));
        assert_eq!(path.room(110 * MS), 10_000);
    }

    #[test]
    fn throughput_is_the_window_for_each_round_trip() {
        let mut path = Path::new(shape(None));
        let (mut now_ns, mut taken) = (0, 0);
        while now_ns < 10_000 * MS {
            let room = path.room(now_ns);
            if room > 0 {
                path.push(vec![0; room], now_ns);
            }
            while let Some(bytes) = path.arrived(now_ns).map(<[u8]>::len) {
                path.take(bytes, now_ns);
                taken += bytes;
            }
            now_ns = path.next_change_ns(now_ns).unwrap();
        }
        assert_eq!(taken, 10_000 * 100, "10 s are 100 round trips");
    }

    #[test]
    fn a_slow_link_paces_what_it_is_given_and_queues_no_more_than_it_may() {
        let mut path = Path::new(shape(Some(100_000.0)));
        assert_eq!(path.room(0), 1_000);
        path.push(vec![0; 1_000], 0);
        assert_eq!(path.room(0), 0);
        // 1,000 bytes take 10 ms.
        assert_eq!(path.arrived(60 * MS - 1), None);
        assert!(path.arrived(60 * MS).is_some());
        assert_eq!(path.room(5 * MS), 500);
        path.push(vec![0; 500], 5 * MS);
        path.take(1_000, 60 * MS);
        assert_eq!(path.arrived(65 * MS - 1), None);
        assert!(path.arrived(65 * MS).is_some());
    }
}
