//! The one table of configuration keys. Flags, environment variables, the file's keys, the resolved
//! [`Config`] and `docs/CONFIG.md` all derive from it, so they cannot disagree.
//!
//! A key `slow-age` is the flag `--slow-age`, the variable `TICKCAST_SLOW_AGE` and the file's key
//! `slow-age`. The doc comment of a key is its documentation everywhere. The word at its end says whether the key
//! can change while the gateway runs.

use crate::config::error::ConfigError;
use crate::config::layers::Layers;
use crate::config::paths::{FileOrNone, OptionalPath};
use crate::config::proxy::NetworkList;
use crate::config::reload::{Changes, Reload};
use crate::config::setting::{
    Address, Anonymous, AutoCount, BusInterest, BusUrl, Bytes, Count, Derivations,
    DescriptorTables, LogFilter, LogFormat, OriginList, PublicStatus, Publish, ReplaySpeed,
    ReplayStart, SendBackend, Setting, ShardCount, Span, Spin, Switch,
};
use crate::config::sources::{RestUrl, SourceList, SymbolList};
use crate::proxies::{ForwardedHeader, ProxyProtocol};

/// One configuration key, as documentation and parsers see it.
pub struct Key {
    /// Its name: flag and file key; the variable's name derives from it.
    pub name: &'static str,
    /// The heading that it stands under.
    pub group: &'static str,
    /// Its value where nobody sets it.
    pub default: &'static str,
    /// What it does, in sentences.
    pub doc: &'static str,
    /// What stands for its value in help.
    pub placeholder: &'static str,
    /// What its value must be.
    pub expected: fn() -> String,
    /// What divides the parts of its value, if it may have several.
    pub separator: Option<char>,
    /// Whether it can change while the gateway runs.
    pub reload: Reload,
}

impl Key {
    /// The environment variable: `slow-age` is `TICKCAST_SLOW_AGE`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Whether the flag may stand without a value, meaning `true`.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.default == "true" || self.default == "false"
    }
}

/// What the names of environment variables begin with.
pub const ENV_PREFIX: &str = "TICKCAST_";

/// Declares the keys, the resolved configuration and how one is read from the layers.
macro_rules! keys {
    ($($group:literal {
        $($(#[doc = $doc:literal])+ $field:ident $name:literal: $setting:ty = $default:literal, $reload:ident;)+
    })+) => {
        /// Every key, in the order of documentation.
        pub const KEYS: &[Key] = &[$($(Key {
            name: $name,
            group: $group,
            default: $default,
            doc: concat!($($doc),+),
            placeholder: <$setting as Setting>::PLACEHOLDER,
            expected: <$setting as Setting>::expected,
            separator: <$setting as Setting>::SEPARATOR,
            reload: Reload::$reload,
        },)+)+];

        /// The resolved configuration: every value read and within its bounds.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $field: <$setting as Setting>::Value,)+)+
        }

        impl Config {
            /// Reads each key from the layer that decides it.
            pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
                Ok(Self { $($($field: layers.read::<$setting>($name)?,)+)+ })
            }

            /// This configuration with what can be taken of a newer one while the gateway runs, and how
            /// the two differ.
            #[must_use]
            pub fn renewed(&self, newer: &Self) -> (Self, Changes) {
                let (mut next, mut changes) = (self.clone(), Changes::default());
                $($(if self.$field != newer.$field {
                    let can_follow = <$setting as Setting>::can_follow(&self.$field, &newer.$field);
                    if Reload::$reload == Reload::Live && can_follow {
                        next.$field.clone_from(&newer.$field);
                        changes.live.push($name);
                    } else {
                        changes.restart.push($name);
                    }
                })+)+
                (next, changes)
            }
        }
    };
}

keys! {
    "Network" {
        /// Where clients connect: WebSocket, HTTP and the page, on one port.
        listen "listen": Address = "127.0.0.1:9443", Restart;
        /// Where operators connect: health, metrics, connections, drain. Keep it private.
        admin_listen "admin-listen": Address = "127.0.0.1:9444", Restart;
        /// Certificate chain in PEM. With it and `tls-key`, `listen` speaks TLS. SIGHUP reads both again, also from other paths; to begin or to cease to speak TLS takes a restart.
        tls_cert "tls-cert": OptionalPath = "", Live;
        /// Private key of the certificate, in PEM.
        tls_key "tls-key": OptionalPath = "", Live;
        /// The most connections of the process, over all shards. A shard that has its part closes its listener, so that the kernel gives new ones to the others.
        connections_max "connections-max": Count<1, 10_000_000> = "1000000", Live;
        /// The most connections that one client address may have at once, of an IPv6 address its network of 64 bits; more are closed at once, or refused with status 429 where a proxy's header names the client. 0 is any number: set it where the open internet connects.
        address_connections "address-connections": Count<0, 10_000_000> = "0", Live;
        /// How many connections one client address may begin in a minute, counted likewise; 0 is any number.
        address_rate "address-rate": Count<0, 10_000_000> = "0", Live;
        /// Origins whose pages may open WebSocket connections, besides the gateway's own: others get status 403. `*` for all, or a list with commas. Programs that name no origin are not concerned.
        stream_origins "stream-origins": OriginList = "*", Live;
        /// The most bytes a second that one connection is sent, evened out by the kernel; a client that would get more is one that lags, and its channels' rules apply. 0 is any number.
        outbound_rate "outbound-rate": Bytes<0, { 1 << 40 }> = "0", Live;
        /// How long a connection may take from accept to the end of its handshake.
        handshake_timeout "handshake-timeout": Span<100, 600_000> = "10s", Live;
        /// Origins, other than the gateway's own, whose pages may read plain HTTP answers and event streams: `*` for all, or a list with commas such as `https://example.com,http://localhost:3000`.
        cors_origins "cors-origins": OriginList = "", Live;
        /// Whether `/v1/status` shows everybody on `listen` how the gateway is, for a panel of the dashboard: sums and times, no addresses. `auto` does where `listen` is a loopback address and there are no `trusted-proxies` at the start.
        public_status "public-status": PublicStatus = "auto", Restart;
        /// Load balancers whose word about their clients' addresses is taken: addresses and networks, with commas between. Everybody else's is ignored.
        trusted_proxies "trusted-proxies": NetworkList = "", Live;
        /// Whether every connection to `listen` begins with a PROXY protocol header, version 1 or 2, in front of TLS too. With `on` only `trusted-proxies` may connect.
        proxy_protocol "proxy-protocol": ProxyProtocol = "off", Live;
        /// Which header of a request names its client, where `trusted-proxies` send it. The other one is ignored: proxies pass on as it came what they do not set.
        forwarded_header "forwarded-header": ForwardedHeader = "x-forwarded-for", Live;
        /// The kernel's send buffer of a connection, which caps throughput at this much per round trip; 0 leaves it to the kernel.
        sndbuf "sndbuf": Bytes<0, { 1 << 30 }> = "0", Live;
        /// How much unsent data may wait in the kernel before a connection counts as not writable (TCP_NOTSENT_LOWAT); it bounds how old the data below us can be. 0 leaves it to the kernel.
        notsent_lowat "notsent-lowat": Bytes<0, { 1 << 30 }> = "64KiB", Live;
    }
    "Access" {
        /// Who may connect, and see what: a file of roles, keys and rules for tokens (docs/AUTH.md), or `none`: everybody, everything. SIGHUP reads it again.
        auth "auth": FileOrNone = "none", Restart;
        /// From where clients may come without `auth`: with `loopback` the gateway does not start on an address that other machines reach.
        anonymous "anonymous": Anonymous = "loopback", Restart;
        /// Whether a credential in the query, `?token=…`, counts. Proxies and browsers write queries into their logs.
        auth_query "auth-query": Switch = "false", Restart;
        /// How long every record of the source is held before anything here sees it: a gateway for those who are granted only delayed data. Who is granted only data that is older than this and `source-age` together is refused.
        delay "delay": Span<0, 86_400_000> = "0s", Restart;
        /// How old the source's data is already when it gets here, as from a gateway that has a `delay`.
        source_age "source-age": Span<0, 86_400_000> = "0s", Restart;
        /// The folder for what `delay` holds beyond two MiB, in files without names; where there is none, the system's for temporary files.
        delay_spool "delay-spool": OptionalPath = "", Restart;
        /// The most that `delay` may hold, in memory and in that folder. A record takes 120 bytes. Beyond it nothing is taken in until a sixteenth is free, and clients are told of the gap.
        delay_spool_max "delay-spool-max": Bytes<{ 1 << 20 }, { 1 << 44 }> = "8GiB", Restart;
    }
    "Shards" {
        /// How many event loops share the connections.
        shards "shards": ShardCount = "auto", Restart;
        /// Whether each shard's thread is pinned to a core.
        pin "pin": Switch = "false", Restart;
        /// Whether each shard has a table of open files of its own, which makes the limit on open files one per shard.
        descriptor_tables "descriptor-tables": DescriptorTables = "auto", Restart;
        /// How messages are sent: `epoll` sends each as soon as it is gathered, `io-uring` those of `visit-connections` connections with one system call (where the kernel forbids it, as `epoll`). `auto` is `epoll`.
        send_backend "send-backend": SendBackend = "auto", Restart;
        /// Whether an idle shard looks at the ring before it sleeps: `auto` for a while, where there are more than two cores; `always` without ever sleeping, which costs the whole core and saves the wake-up.
        spin "spin": Spin = "auto", Restart;
    }
    "Feed" {
        /// Where ticks come from: the embedded simulator, evenly paced quotes, recordings, a ring in shared memory, another gateway (`ws://` or `wss://`), an upstream that speaks the protocol of Binance's spot market (`binance:wss://`), or a bus that a feed elsewhere writes to (`nats://`, `tls://`, `redis://`, `rediss://`; the path is the prefix of all names at the bus, `tickcast` by default). Twice, for two lines of the same stream: a loss on one is covered by the other. As a flag it is then given twice, in the file it is a list, in the environment a semicolon stands between.
        source "source": SourceList = "sim", Restart;
        /// With two sources: how long what one of them has left out is waited for at the other, before clients are told of the gap.
        arbitration_wait "arbitration-wait": Span<0, 10_000> = "50ms", Restart;
        /// Root certificates in PEM by which `wss://` sources are verified; the system's where there are none.
        source_ca "source-ca": OptionalPath = "", Restart;
        /// The token or key that a `ws://`, `wss://` or `binance:` source is shown, where it asks for one. Another in the file is taken with the next start.
        source_token_file "source-token-file": OptionalPath = "", Restart;
        /// Symbols to take of a `binance:` source; all that it trades where there are none.
        source_symbols "source-symbols": SymbolList = "", Restart;
        /// Where the REST interface of a `binance:` source is, if not on the host of its streams: `https://api.binance.com` for theirs.
        source_rest "source-rest": RestUrl = "", Restart;
        /// The bus that joins several gateways: what clients publish goes there, and comes back to those whose `source` it is.
        bus "bus": BusUrl = "none", Restart;
        /// What is taken of a bus or of another gateway: the instruments that clients are subscribed to (of a bus, their buckets), or `all`.
        bus_interest "bus-interest": BusInterest = "clients", Restart;
        /// How long a bucket of a bus, or an instrument of another gateway, is kept once no client is subscribed to it any more: who comes back meanwhile finds it as it was.
        bus_linger "bus-linger": Span<0, 86_400_000> = "30s", Restart;
        /// How much of a bucket's past is fetched when it is taken: clients that come from another gateway go on within it without a loss.
        bus_history "bus-history": Span<0, 3_600_000> = "30s", Restart;
        /// How many instruments `sim` and `pulse` have.
        symbols "symbols": Count<1, 1_000_000> = "20", Restart;
        /// Ticks a second in total, of `sim` (on average) and `pulse` (evenly).
        rate "rate": Count<1, 100_000_000> = "2000", Restart;
        /// The simulator's seed: the same seed gives the same market.
        seed "seed": Count<0, { u64::MAX }> = "1", Restart;
        /// What is derived from the trades of `sim` and of replays: `all` (bars of all intervals, tickers, rolling tickers, average prices, aggregate trades), `charts` (bars of 1s, 1m, 5m, 15m, 1h, 4h and 1d, and the 24-hour ticker) or `none`. Where less is derived, the exchange's streams of what is not are silent.
        derive "derive": Derivations = "all", Restart;
        /// How fast a replay goes; at `max` the source waits for shards and subscribers.
        speed "speed": ReplaySpeed = "1", Restart;
        /// Whether a replay begins again at its end; each turn is a new epoch.
        replay_loop "loop": Switch = "false", Restart;
        /// When a replay begins.
        replay_start "replay-start": ReplayStart = "now", Restart;
        /// Records that the ring holds; a power of two. A shard that falls further behind is lapped.
        ring_capacity "ring-capacity": Count<1024, { 1 << 26 }> = "262144", Restart;
        /// How long the publisher of a shared ring, or the writers at a bus, may give no sign of life before clients are told.
        feed_silent_after "feed-silent-after": Span<100, 600_000> = "3s", Restart;
    }
    "Sessions" {
        /// How long clients of the native protocol hear nothing before they get a heartbeat message.
        heartbeat "heartbeat": Span<100, 600_000> = "5s", Restart;
        /// How long a client says nothing before it is pinged.
        ping_interval "ping-interval": Span<100, 3_600_000> = "20s", Live;
        /// How long a client says nothing, pings notwithstanding, before it is disconnected; more than `ping-interval`. A frame of which bytes come and never the last one is nothing.
        pong_timeout "pong-timeout": Span<100, 3_600_000> = "60s", Live;
        /// How long a client of the native protocol may be without a subscription before it is disconnected with code 4005.
        idle_timeout "idle-timeout": Span<100, 86_400_000> = "10m", Live;
        /// Commands and control frames a second that a client may send, in bursts of twice as many; a client that keeps on sending more is disconnected.
        command_rate "command-rate": Count<1, 1_000_000> = "100", Live;
        /// How long ago a client that cannot take data may last have been up to date before its channels' rules apply: conflation where the channel allows it.
        lag_age "lag-age": Span<1, 3_600_000> = "1s", Live;
        /// How many log entries a client that cannot take data may be behind before its channels' rules apply; `auto` is a quarter of the shard's log.
        lag_entries "lag-entries": AutoCount<1, { 1 << 30 }> = "auto", Live;
        /// How long a client may take no data at all before it is disconnected with code 4000.
        slow_age "slow-age": Span<100, 3_600_000> = "30s", Live;
        /// How many log entries a client that cannot take data may be behind before it is disconnected with code 4000; `auto` is no limit, since a client that waits costs nothing.
        slow_entries "slow-entries": AutoCount<1, { 1 << 62 }> = "auto", Live;
        /// How old a connection may become, less up to a twenty-fourth; it is closed with code 4006 then, to come back, perhaps at another gateway. 0 is as old as it likes. The exchange's face has `exchange-age`.
        session_age "session-age": Span<0, 2_073_600_000> = "0ms", Live;
        /// How long a client may take to answer a close frame before its connection is reset.
        close_grace "close-grace": Span<0, 600_000> = "5s", Live;
        /// How long a drain may take: connections are told and closed one after another over this time.
        drain_window "drain-window": Span<0, 3_600_000> = "10s", Live;
    }
    "Exchange" {
        /// Whether `/ws` and `/stream` are served, in the protocol of Binance's spot market streams, so that its clients work by changing a URL.
        exchange "exchange": Switch = "true", Restart;
        /// The most streams of one connection there.
        exchange_streams "exchange-streams": Count<1, 65_536> = "1024", Live;
        /// How many messages, pings and unasked pongs a second a client may send there before it is disconnected with code 1008; 0 is any number.
        exchange_message_rate "exchange-message-rate": Count<0, 1_000_000> = "5", Live;
        /// How often one address may connect there in five minutes; more is refused with status 429. 0 is any number.
        exchange_connections "exchange-connections": Count<0, 1_000_000> = "300", Live;
        /// How old a connection there may become, less up to a twenty-fourth; it is closed with code 1001 then. 0 is as old as it likes.
        exchange_age "exchange-age": Span<0, 2_073_600_000> = "24h", Live;
        /// Whether clients there are told of a drain by `serverShutdown`, which old ones take for something else.
        exchange_shutdown_event "exchange-shutdown-event": Switch = "true", Live;
        /// Whether symbols in upper case mean the same there; else their streams are acknowledged and silent, as at the exchange.
        exchange_any_case "exchange-any-case": Switch = "false", Restart;
        /// Whether trades there have the order ids `b` and `a`, always 0, without which clients from before June 2024 do not read them.
        exchange_trade_ids "exchange-trade-ids": Switch = "false", Restart;
        /// Whether errors there have code and message once more outside of `error`, where a few clients look for them.
        exchange_flat_errors "exchange-flat-errors": Switch = "false", Restart;
        /// The request weight that one client address may use within a minute at `/api/v3`, counted as the exchange counts it; 0 is no limit.
        exchange_weight "exchange-weight": Count<0, 1_000_000_000> = "6000", Live;
    }
    "Publishing" {
        /// Who may publish ticks of the instruments that clients write: nobody, whoever is connected, or whom `auth` grants it. Needs a `bus`.
        publish "publish": Publish = "off", Restart;
        /// Ticks a second that one connection may publish, in bursts of twice as many; what is more is refused.
        publish_rate "publish-rate": Count<1, 1_000_000> = "1000", Live;
        /// Ticks that one connection may have without an answer; what is more is refused with `busy`.
        publish_in_flight "publish-in-flight": Count<1, 65_536> = "4096", Live;
        /// How long published ticks wait for a bus that does not answer before their client is told so.
        publish_patience "publish-patience": Span<100, 600_000> = "20s", Restart;
    }
    "Memory and turns" {
        /// The most memory that the process may take, as the system counts it. Near it, at nineteen twentieths, new sessions are refused with status 503; beyond it, sessions are closed with code 4003 every quarter of a second until it is below: first those that do not read, the slowest first, then others, a sixty-fourth at a time. 0 is no ceiling.
        memory_max "memory-max": Bytes<0, { 1 << 50 }> = "0", Live;
        /// Entries of recent ticks in the logs of all shards together; each gets its part, a power of two.
        log_entries "log-entries": Count<1024, { 1 << 28 }> = "1048576", Restart;
        /// What logs and encodings of all shards may use together; logs are made smaller to keep within it.
        memory_budget "memory-budget": Bytes<{ 16 << 20 }, { 1 << 40 }> = "1GiB", Restart;
        /// The most instruments of all epochs since the start.
        instruments_max "instruments-max": Count<1, { 1 << 22 }> = "65536", Restart;
        /// Connections visited between two looks at the ring.
        visit_connections "visit-connections": Count<1, 65_536> = "64", Restart;
        /// Visits of one connection are at least so far apart: what comes meanwhile goes in one message. More of it costs latency and saves CPU; nothing is skipped.
        visit_interval "visit-interval": Span<0, 1_000> = "0ms", Restart;
        /// Log entries that one visit of a connection may examine.
        visit_entries "visit-entries": Count<64, 1_048_576> = "4096", Restart;
        /// Bytes that one visit of a connection may send: one message, one TLS record.
        visit_bytes "visit-bytes": Bytes<4096, { 16 << 20 }> = "16KiB", Restart;
    }
    "History" {
        /// How many of its last trades are kept of each instrument, for `/v1/trades`. With this and `history-bars` 0 there is no history.
        history_trades "history-trades": Count<0, 100_000> = "1000", Restart;
        /// How many final bars are kept of each instrument and interval, for `/v1/bars`.
        history_bars "history-bars": Count<0, 100_000> = "1000", Restart;
        /// What the history of all instruments may take; series are made shorter to keep within it.
        history_memory "history-memory": Bytes<0, { 1 << 40 }> = "256MiB", Restart;
    }
    "Logs and tests" {
        /// How log lines are written to standard error.
        log_format "log-format": LogFormat = "text", Restart;
        /// Which log lines are written.
        log_level "log-level": LogFilter = "info", Live;
        /// Serves `/v1/echo`, which echoes messages, for conformance suites.
        test_echo "test-echo": Switch = "false", Restart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_key() {
        Config::read(&Layers::default()).unwrap();
    }

    #[test]
    fn names_are_unique_and_plain() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", key.name);
            assert!(KEYS[..i].iter().all(|other| other.name != key.name), "{}", key.name);
            assert!(key.doc.trim_end().ends_with('.'), "{} is documented in sentences", key.name);
        }
    }
}
