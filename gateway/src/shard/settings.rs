//! What an operator can set about a shard. Fixed bounds, with their derivations, are in
//! `limits.rs`.
//!
//! Built by boot from the configuration; the defaults here are the configuration's.

use std::sync::Arc;
use std::time::Duration;

use sys::SocketOptions;

use crate::admission::Admission;
use crate::auth::{Authenticator, QueryToken};
use crate::exchange::ExchangeSettings;
use crate::proxies::Proxies;
use crate::publish::PublishSettings;

/// Settings of one shard. All shards of a process have the same.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// The hub's limits, already divided by the number of shards where they are memory.
    pub hub: hub::Limits,
    /// Options of accepted sockets.
    pub sockets: SocketOptions,
    /// The most connections of this shard, all protocols together. Clamped to what the shard's table
    /// of open files has room for. At this number the shard closes its listener, so that the kernel
    /// gives new connections to other shards.
    pub connections_max: usize,
    /// From accept to the end of the WebSocket handshake, and between two requests of an HTTP client.
    pub handshake_timeout: Duration,
    /// How long a native client hears nothing before it is sent a heartbeat. Announced in `hello`.
    pub heartbeat: Duration,
    /// How long a client says nothing before it is pinged.
    pub ping_interval: Duration,
    /// How long a client says nothing, pings notwithstanding, before it is disconnected.
    pub pong_timeout: Duration,
    /// How long a native client may be without a subscription before it is disconnected.
    pub idle_timeout: Duration,
    /// Commands and control frames a second that a client may send, in bursts of twice as many.
    pub command_rate: u32,
    /// From the close frame until the socket is closed, or reset if the client does not read.
    pub close_grace: Duration,
    /// Connections visited between two looks at the ring.
    pub visit_connections: usize,
    /// How the messages of visits are sent.
    pub send_backend: SendBackend,
    /// Whether an idle shard looks at the ring for a while before it sleeps.
    pub spin: Spin,
    /// How old a session may become, less up to a twenty-fourth, so that those opened together do not all come
    /// back together; `None`: as old as it likes. The exchange's face has its own.
    pub age_max: Option<Duration>,
    /// What is allowed to one client address; shared by all shards.
    pub admission: Admission,
    /// Which pages of other origins may read answers.
    pub origins: Origins,
    /// Which pages of other origins may open WebSocket connections.
    pub stream_origins: Origins,
    /// Who may connect, and see what.
    pub access: Access,
    /// Load balancers in front, and what they say of clients.
    pub proxies: Proxies,
    /// Whether `/v1/echo` is served.
    pub echo: Echo,
    /// Who may publish, and how much.
    pub publish: PublishSettings,
    /// The exchange-compatible face.
    pub exchange: ExchangeSettings,
}

/// Who may connect, and see what.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody, everything.
    #[default]
    Open,
    /// Who shows a credential, what that allows.
    Credentials {
        /// Whom it is shown to; shared by all shards.
        authenticator: Arc<Authenticator>,
        /// Whether one in a query counts.
        in_query: QueryToken,
    },
}

impl Access {
    /// Whom credentials are shown to, if there are any.
    pub(crate) const fn authenticator(&self) -> Option<&Arc<Authenticator>> {
        match self {
            Self::Open => None,
            Self::Credentials { authenticator, .. } => Some(authenticator),
        }
    }
}

/// Origins (RFC 6454) other than our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// No other.
    #[default]
    None,
    /// These, as browsers write them: `https://example.com`.
    Listed(Vec<String>),
    /// All.
    Any,
}

/// How the messages of visits are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendBackend {
    /// Each as soon as it is gathered, with a system call of its own.
    OneByOne,
    /// Those of a group with one system call, by `io_uring`. Where the kernel forbids it, one by one.
    Batches,
}

/// What an idle shard does before it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spin {
    /// Sleeps at once. Right where shards share their cores with anything else.
    Off,
    /// Looks at the ring for up to this long, less after spins that were in vain: saves the wake-up,
    /// some 10 µs, and costs a core.
    Adaptive(Duration),
    /// Never sleeps. A tick finds the shard awake; the core does nothing else.
    Always,
}

/// Whether the echo service for conformance suites is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// `/v1/echo` is not found.
    Absent,
    /// `/v1/echo` echoes messages.
    Served,
}

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            hub: hub::Limits::default(),
            sockets: SocketOptions {
                unsent_max_bytes: Some(64 << 10),
                send_buffer_bytes: None,
                receive_buffer_bytes: None,
                // Twice the hub's slow-consumer age: the ladder decides, not the kernel.
                user_timeout: Some(Duration::from_mins(1)),
                pacing_bytes_per_second: None,
            },
            connections_max: 1_000_000,
            handshake_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(5),
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(10),
            command_rate: 100,
            close_grace: Duration::from_secs(5),
            visit_connections: 64,
            send_backend: SendBackend::OneByOne,
            spin: Spin::Off,
            age_max: None,
            admission: Admission::new(0, 0),
            origins: Origins::None,
            stream_origins: Origins::Any,
            access: Access::Open,
            proxies: Proxies::default(),
            echo: Echo::Absent,
            publish: PublishSettings::default(),
            exchange: ExchangeSettings::default(),
        }
    }
}
