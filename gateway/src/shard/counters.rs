//! What a shard counts about its sockets, and the histograms of its times. One table names each
//! counter and says what it means; metrics and their documentation are made from it.
//!
//! Plain integers: one thread counts, and a report copies them. What the hub counts (visits, gaps,
//! conflation) is in [`hub::Counters`].

use std::ops::{Index, IndexMut};

use hdrhistogram::Histogram;

/// Declares the counters: variant, metric name, sentence.
macro_rules! counters {
    ($($variant:ident $name:literal $doc:literal;)+) => {
        /// Something counted since the shard started.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter {
            $(#[doc = $doc] $variant,)+
        }

        impl Counter {
            /// All counters, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in metrics, without prefix and suffix.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it counts, as a sentence.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }
        }

        const COUNTERS: usize = [$(Counter::$variant),+].len();
    };
}

counters! {
    Accepted "accepted" "Connections accepted.";
    AcceptPaused "accept_paused" "Times accepting paused for want of descriptors or memory.";
    RequestsPaced "requests_paced" "Requests that waited for the next turn, because requests had used up their time of one.";
    AcceptPaced "accept_paced" "Times accepting waited for handshakes under way, of which there were as many as there may be.";
    ListenerClosed "listener_closed" "Times the listener was closed because the shard was full.";
    HandshakesTimedOut "handshakes_timed_out" "Connections closed because their handshake or request did not come in time.";
    HandshakesEvicted "handshakes_evicted" "Connections closed in the middle of their handshake because newer ones needed the place.";
    ProxiesRefused "proxies_refused" "Connections refused because their peer is no listed proxy, where only those may connect.";
    ProxyHeadersRefused "proxy_headers_refused" "Connections closed because their PROXY header was missing or malformed.";
    AddressesRefused "addresses_refused" "Connections refused because their client's address has as many as it may, or connects too often.";
    OriginsRefused "origins_refused" "WebSocket upgrades refused because the page's origin is not a listed one.";
    PressureRefused "pressure_refused" "Connections refused because the process is near its memory's ceiling.";
    HandshakesFailed "handshakes_failed" "TLS handshakes that failed.";
    HttpRequests "http_requests" "HTTP requests answered, upgrades not counted.";
    HttpErrors "http_errors" "HTTP connections that ended with a malformed request or an error.";
    UpgradesRefused "upgrades_refused" "WebSocket upgrades refused with an HTTP error.";
    SessionsOpened "sessions_opened" "Sessions opened, over WebSocket and as event streams.";
    ExchangeSessions "exchange_sessions" "Sessions of the exchange-compatible face, opened.";
    EventStreams "event_streams" "Sessions that are event streams, opened.";
    EventStreamsRefused "event_streams_refused" "Event streams refused with an HTTP error.";
    SessionsClosed "sessions_closed" "Sessions ended, for whatever reason.";
    CloseByPeer "closed_by_peer" "Sessions that the client closed with a close frame, or, event streams, by ending the connection.";
    ConnectionsLost "connections_lost" "Sessions whose connection ended without a close frame.";
    CloseProtocol "closed_protocol" "Sessions closed with 1002 or 1003: frames against the protocol.";
    CloseInvalidText "closed_invalid_text" "Sessions closed with 1007: text that is not UTF-8.";
    CloseTooBig "closed_too_big" "Sessions closed with 1009: a message over the limit.";
    CloseFlood "closed_flood" "Sessions closed with 4501, or 1008 in the exchange-compatible face: too many commands, control frames or errors.";
    CloseInvalidRequest "closed_invalid_request" "Sessions of the exchange-compatible face closed with 1008: a message that is no request.";
    CloseAged "closed_aged" "Sessions closed with 4006, or 1001 in the exchange-compatible face: as old as they may become.";
    CloseSlow "closed_slow" "Sessions closed with 4000, or 1008 in the exchange-compatible face: too slow for too long.";
    CloseTimeout "closed_timeout" "Sessions closed with 4004, or 1008 in the exchange-compatible face: no sign of life in time.";
    CloseIdle "closed_idle" "Sessions closed with 4005: without a subscription for too long.";
    CloseNotEntitled "closed_not_entitled" "Sessions closed with 4502, or 1008 in the exchange-compatible face: credentials missing, expired or revoked.";
    CloseReplaced "closed_replaced" "Sessions closed with 4503, or 1008 in the exchange-compatible face: their user has newer ones.";
    CloseDrain "closed_drain" "Sessions closed with 4001 or 1001 because the gateway drains or stops.";
    CloseOverloaded "closed_overloaded" "Sessions closed with 4003, or 1013 in the exchange-compatible face: the hub has no place for them, or memory ran out.";
    CloseOther "closed_other" "Sessions closed by the gateway for another reason.";
    Resets "connections_reset" "Connections reset because the client did not read its close frame in time.";
    FramesReceived "frames_received" "WebSocket frames received, of all kinds.";
    BytesReceived "bytes_received" "Bytes received after the handshake, before decryption.";
    Commands "commands" "Commands handed to the hub.";
    CommandsMalformed "commands_malformed" "Messages that were not well-formed commands.";
    CommandsRefused "commands_refused" "Commands refused because the client sent too many.";
    AuthAccepted "auth_accepted" "Credentials accepted: at a handshake, with a request, or shown later.";
    AuthMissing "auth_refused_missing" "Requests without a credential, and sessions that showed none in time.";
    AuthMalformed "auth_refused_malformed" "Credentials that are none, or two at once.";
    AuthUnknown "auth_refused_unknown" "Keys that are not known, and tokens signed by such keys.";
    AuthForged "auth_refused_forged" "Tokens whose signature is wrong, or by an algorithm that is not accepted.";
    AuthOutOfTime "auth_refused_out_of_time" "Credentials that have expired or are not valid yet.";
    AuthUnfit "auth_refused_unfit" "Credentials of another issuer, audience or role than this gateway serves.";
    AuthRevoked "auth_refused_revoked" "Credentials that are revoked.";
    AuthCrowded "auth_refused_crowded" "Sessions that were not let in because sessions of their user replaced each other all the time.";
    AuthTooOften "auth_refused_too_often" "Plain requests of users who had asked as often in this second as their role allows.";
    AuthChanged "auth_changed" "Sessions whose grant was another one after credentials were read again.";
    PublishTicks "publish_ticks" "Ticks that clients sent to be published.";
    PublishRefused "publish_refused" "Of these, ticks that were refused at once: not entitled, malformed, too fast, too many.";
    PublishBusy "publish_busy" "Publish commands refused because too much waited for the bus.";
    PublishAccepted "publish_accepted" "Ticks that the bus has taken.";
    PublishFailed "publish_failed" "Ticks that the bus has not taken, or not said so in time.";
    PublishUnheard "publish_unheard" "Answers of the bus whose connection had ended.";
    PingsSent "pings_sent" "Pings sent.";
    PongsSent "pongs_sent" "Pings answered.";
    HeartbeatsSent "heartbeats_sent" "Heartbeats sent to quiet connections.";
    Sends "sends" "Visits that ended in a send.";
    SendBatches "send_batches" "Groups of visits whose messages were sent with one system call: the backend io-uring.";
    BytesSent "bytes_sent" "Bytes of visits given to the kernel, after encryption.";
    SendsBlocked "sends_blocked" "Sends that the kernel refused because the client does not read.";
    SendsShort "sends_short" "Sends that the kernel took in part; the rest was kept.";
    ReadsPaced "reads_paced" "Times clients that had something to say were read in a later turn, because messages had used up this one's time for them.";
    ReadsRequeued "reads_requeued" "Times a client had more to be read than its share of a turn.";
    ReadsPaused "reads_paused" "Times a client was not read because it did not take its replies.";
    Turns "turns" "Turns of the event loop.";
    Parks "parks" "Times the shard slept because there was nothing to do.";
    RingRecords "ring_records" "Records read from the ring.";
    RingLapped "ring_lapped" "Records of the ring that were overwritten before the shard read them.";
    RecordsInvalid "records_invalid" "Times the ring's content was found to contradict itself.";
}

/// The values of all [`Counter`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    values: [u64; COUNTERS],
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [0; COUNTERS] }
    }
}

impl Index<Counter> for Counters {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.values[counter as usize]
    }
}

impl IndexMut<Counter> for Counters {
    fn index_mut(&mut self, counter: Counter) -> &mut u64 {
        &mut self.values[counter as usize]
    }
}

impl Counters {
    /// Adds one.
    #[inline]
    pub(crate) fn count(&mut self, counter: Counter) {
        self.values[counter as usize] += 1;
    }

    /// Adds what somebody else counted.
    pub fn add_all(&mut self, other: &Self) {
        for (value, more) in self.values.iter_mut().zip(other.values) {
            *value += more;
        }
    }

    /// Adds some.
    #[inline]
    pub(crate) fn add(&mut self, counter: Counter, amount: usize) {
        self.values[counter as usize] += amount as u64;
    }
}

/// Times of a shard, in ns.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// From a record's entry into the ring (the feed's clock) until the shard read it; one sample
    /// per batch, of its oldest record.
    pub ring_delay_ns: Histogram<u64>,
    /// From the read that brought the oldest entry of a message until the message was sent.
    pub visit_wait_ns: Histogram<u64>,
    /// One visit: collecting and sending. Where messages are sent in groups, the mean of the group.
    pub visit_ns: Histogram<u64>,
    /// The send within it, likewise.
    pub send_ns: Histogram<u64>,
    /// One turn of the loop.
    pub turn_ns: Histogram<u64>,
}

/// Times of one visit, in ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisitTimes {
    /// `None`: there was nothing in it that came from the ring just now.
    pub(crate) wait_ns: Option<u64>,
    pub(crate) visit_ns: u64,
    pub(crate) send_ns: u64,
}

impl Histograms {
    pub(crate) fn record_visit(&mut self, times: VisitTimes) {
        self.send_ns.saturating_record(times.send_ns);
        self.visit_ns.saturating_record(times.visit_ns);
        if let Some(wait_ns) = times.wait_ns {
            self.visit_wait_ns.saturating_record(wait_ns);
        }
    }
}

/// The longest time that is told from longer ones, one minute.
const LONGEST_NS: u64 = 60_000_000_000;

impl Default for Histograms {
    fn default() -> Self {
        // Two digits are 1 %: 27 KiB for each histogram.
        let histogram = || {
            let bounds = Histogram::new_with_bounds(1, LONGEST_NS, 2);
            bounds.expect("the bounds are constant and valid")
        };
        Self {
            ring_delay_ns: histogram(),
            visit_wait_ns: histogram(),
            visit_ns: histogram(),
            send_ns: histogram(),
            turn_ns: histogram(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_docs_are_sentences() {
        for (i, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, i);
            assert!(Counter::ALL[..i].iter().all(|other| other.name() != counter.name()));
            assert!(counter.doc().ends_with('.'), "{}", counter.name());
        }
    }
}
