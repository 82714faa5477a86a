//! A bad connection between clients and a server, in user space: it delays, throttles, splits, stalls, cuts,
//! resets and reorders.
//!
//! One thread between two sockets of every connection ([`Forwarder`]); tests and scenarios hold a [`Cable`],
//! which runs one and changes it while it runs. What it shows: how a server behaves whose client takes bytes
//! as late and as slowly as one far away, or not any more. A server's own TCP ends here, so the forwarder plays
//! the window: it takes no more than a sender of that window could have unacknowledged over that round trip
//! ([`Shape`]). What it does not show: slow start, loss, retransmission, congestion control. Chunks leave up to
//! a millisecond late, which is what the poll set's timer resolves.
//!
//! Used by `bench proxy`, by scenarios, and by the gateway's tests.

#![forbid(unsafe_code)]

mod forwarder;
mod link;
mod path;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;

pub use forwarder::Forwarder;
pub use path::Shape;

use forwarder::Order;

/// A forwarder on a thread of its own; dropped, it ends, and all of its connections with it.
#[derive(Debug)]
pub struct Cable {
    /// Where clients connect.
    pub address: SocketAddr,
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// One that lets everything through at once.
    ///
    /// # Panics
    /// If there is no port to listen on.
    #[must_use]
    pub fn to(far: SocketAddr) -> Self {
        Self::shaped(far, Shape::default()).expect("a port to listen on")
    }

    /// One of this shape.
    ///
    /// # Errors
    /// If there is no port to listen on.
    pub fn shaped(far: SocketAddr, shape: Shape) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut forwarder = Forwarder::new(anywhere, far, shape, inbox)?;
        let (address, waker) = (forwarder.address()?, forwarder.waker());
        // An end of its poll set ends the connections, which is what whoever looks on sees.
        let run = move || drop(forwarder.run(Duration::MAX));
        Ok(Self { address, orders, waker, thread: Some(std::thread::spawn(run)) })
    }

    /// Connections opened from now on have this shape.
    pub fn reshape(&self, shape: Shape) {
        self.order(Order::Reshape(shape));
    }

    /// Nothing moves from now on, and whoever sends more than fits on the way has to wait. New connections
    /// are taken, and wait too.
    pub fn stall(&self) {
        self.order(Order::Stall);
    }

    /// Everything goes on where it stalled; nothing is lost.
    pub fn go_on(&self) {
        self.order(Order::GoOn);
    }

    /// Nothing moves ever again, and nobody is told: each side has half a connection. New connections are
    /// refused.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Both sides of every connection get a reset; what was on the way is lost. New connections are taken.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// Returns when the order has been carried out.
    fn order(&self, order: Order) {
        let (done, is_done) = channel();
        // A forwarder that has ended has no connections on which it could be carried out.
        if self.orders.send(order).is_ok() && self.orders.send(Order::Say(done)).is_ok() {
            let _ = self.waker.wake();
            let _ = is_done.recv();
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the forwarder failed");
        }
    }
}
