//! What the configuration means for a shard: the process's budgets divided, defaults that follow
//! from other settings filled in.

use std::sync::Arc;
use std::time::Duration;

use hub::{Limits, LimitsError};
use sys::SocketOptions;
use wire::exchange::control::ErrorShape;
use wire::exchange::{LegacyTradeIds, SymbolCase};

use crate::admission::{Admission, Rates};
use crate::clock::saturating_ns;
use crate::config::{self, Config, Switch};
use crate::exchange::{ExchangeSettings, Served, ShutdownEvent};
use crate::proxies::Proxies;
use crate::publish::PublishSettings;
use crate::shard::{Access, Echo, SendBackend, ShardSettings, Spin};

/// How long an idle shard looks at the ring at most, where it spins: a few wake-ups' worth.
const SPIN_MAX: Duration = Duration::from_micros(50);

/// The fewest entries of a shard's log: below that an ordinary scheduling delay would make clients
/// fall off it.
const LOG_ENTRIES_MIN: usize = 1 << 10;

/// The settings of each shard.
pub(super) fn settings(config: &Config) -> Result<ShardSettings, LimitsError> {
    let hub = limits(config);
    hub.validate()?;
    Ok(ShardSettings {
        hub,
        sockets: SocketOptions {
            unsent_max_bytes: u32::try_from(config.notsent_lowat).ok().filter(|bytes| *bytes > 0),
            send_buffer_bytes: Some(size(config.sndbuf)).filter(|bytes| *bytes > 0),
            receive_buffer_bytes: None,
            // Twice the slow-consumer age: the ladder decides, not the kernel.
            user_timeout: Some(config.slow_age * 2),
            pacing_bytes_per_second: Some(config.outbound_rate).filter(|rate| *rate > 0),
        },
        connections_max: size(config.connections_max).div_ceil(config.shards),
        handshake_timeout: config.handshake_timeout,
        heartbeat: config.heartbeat,
        ping_interval: config.ping_interval,
        pong_timeout: config.pong_timeout,
        idle_timeout: config.idle_timeout,
        command_rate: u32::try_from(config.command_rate).unwrap_or(u32::MAX),
        close_grace: config.close_grace,
        visit_connections: size(config.visit_connections),
        send_backend: match config.send_backend {
            config::SendBackend::IoUring => SendBackend::Batches,
            config::SendBackend::Auto | config::SendBackend::Epoll => SendBackend::OneByOne,
        },
        spin: spin(config.spin),
        age_max: Some(config.session_age).filter(|age| !age.is_zero()),
        admission: Admission::new(
            u32::try_from(config.address_connections).unwrap_or(u32::MAX),
            u32::try_from(config.address_rate).unwrap_or(u32::MAX),
        ),
        origins: config.cors_origins.clone(),
        stream_origins: config.stream_origins.clone(),
        access: Access::Open,
        proxies: Proxies {
            protocol: config.proxy_protocol,
            header: config.forwarded_header,
            trusted: config.trusted_proxies.clone(),
        },
        echo: match config.test_echo {
            Switch::On => Echo::Served,
            Switch::Off => Echo::Absent,
        },
        publish: PublishSettings::of(config),
        exchange: exchange(config),
    })
}

/// The settings of shards that had others so far: with their access, and going on with what they have counted.
pub(super) fn renewed(config: &Config, old: &ShardSettings) -> Result<ShardSettings, LimitsError> {
    let new = settings(config)?;
    Ok(ShardSettings {
        access: old.access.clone(),
        admission: new.admission.with_counts_of(&old.admission),
        exchange: ExchangeSettings { rates: Arc::clone(&old.exchange.rates), ..new.exchange },
        ..new
    })
}

fn exchange(config: &Config) -> ExchangeSettings {
    ExchangeSettings {
        served: match config.exchange {
            Switch::On => Served::Yes,
            Switch::Off => Served::No,
        },
        streams_max: size(config.exchange_streams),
        message_rate: u32::try_from(config.exchange_message_rate).unwrap_or(u32::MAX),
        connection_rate: u32::try_from(config.exchange_connections).unwrap_or(u32::MAX),
        rates: Arc::new(Rates::new(ExchangeSettings::RATE_WINDOW)),
        age_max: Some(config.exchange_age).filter(|age| !age.is_zero()),
        shutdown_event: match config.exchange_shutdown_event {
            Switch::On => ShutdownEvent::Sent,
            Switch::Off => ShutdownEvent::Omitted,
        },
        symbol_case: match config.exchange_any_case {
            Switch::On => SymbolCase::Any,
            Switch::Off => SymbolCase::Lower,
        },
        trade_ids: match config.exchange_trade_ids {
            Switch::On => LegacyTradeIds::Append,
            Switch::Off => LegacyTradeIds::Omit,
        },
        errors: match config.exchange_flat_errors {
            Switch::On => ErrorShape::Union,
            Switch::Off => ErrorShape::Nested,
        },
    }
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::for_shards(config.shards);
    limits.connections_max =
        u32::try_from(size(config.connections_max).div_ceil(config.shards)).unwrap_or(u32::MAX);
    limits.instruments_max = u32::try_from(config.instruments_max).unwrap_or(u32::MAX);
    set_log(&mut limits, size(config.log_entries) / config.shards);
    let budget = size(config.memory_budget) / config.shards;
    while limits.log_bytes() > budget && limits.log_entries > LOG_ENTRIES_MIN {
        let half = limits.log_entries / 2;
        set_log(&mut limits, half);
        limits.arena_bytes = limits.arena_bytes.map(|bytes| (bytes / 2).max(1 << 18));
    }
    if let Some(entries) = config.lag_entries {
        limits.lag_entries_max = entries;
    }
    if let Some(entries) = config.slow_entries {
        limits.slow_entries_max = entries;
    }
    limits.lag_age_max_ns = saturating_ns(config.lag_age);
    limits.slow_age_max_ns = saturating_ns(config.slow_age);
    limits.visit_entries = size(config.visit_entries);
    limits.visit_bytes = size(config.visit_bytes);
    limits.visit_interval_ns = saturating_ns(config.visit_interval);
    limits
}

/// Gives the log at most so many entries, and ticks and the lag limit in proportion.
fn set_log(limits: &mut Limits, entries_max: usize) {
    let entries_max = entries_max.max(LOG_ENTRIES_MIN);
    let power = entries_max.next_power_of_two();
    limits.log_entries = if power > entries_max { power / 2 } else { power };
    // Two ticks an entry (see `Limits::log_ticks`), and room for a whole depth group.
    let group_ticks = limits.group_levels_max.div_ceil(wire::LEVELS_PER_TICK);
    limits.log_ticks = (limits.log_entries * 2).max(group_ticks.next_power_of_two());
    limits.lag_entries_max = u64::try_from(limits.log_entries / 4).unwrap_or(u64::MAX);
}

fn spin(spin: config::Spin) -> Spin {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match spin {
        config::Spin::Never => Spin::Off,
        // With two cores or fewer the feed, or another shard, needs what spinning would take.
        config::Spin::Auto if cores <= 2 => Spin::Off,
        config::Spin::Auto => Spin::Adaptive(SPIN_MAX),
        config::Spin::Always => Spin::Always,
    }
}

/// A number of the configuration as a size; only 64-bit targets are supported.
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Asked, load};

    fn config(args: &[&str]) -> Config {
        let args = std::iter::once("gateway").chain(args.iter().copied());
        match load(args.map(std::ffi::OsString::from), []) {
            Ok(Asked::Run { config, .. }) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn budgets_are_of_the_process_and_divided() {
        for shards in ["1", "2", "3", "16", "64"] {
            let config = config(&["--shards", shards, "--memory-budget", "512MiB"]);
            let settings = settings(&config).unwrap();
            let all = settings.hub.log_bytes() * config.shards;
            assert!(all <= 512 << 20, "{shards} shards use {all} bytes");
            assert!(settings.connections_max * config.shards >= 1_000_000);
        }
    }

    #[test]
    fn the_configurations_defaults_are_the_shards_own() {
        let mut settings = settings(&config(&["--shards", "1", "--spin", "never"])).unwrap();
        // The one difference: a process takes what its table of open files has room for.
        assert_eq!(settings.hub.connections_max, 1_000_000);
        settings.hub.connections_max = Limits::default().connections_max;
        assert_eq!(format!("{settings:#?}"), format!("{:#?}", ShardSettings::default()));
    }

    #[test]
    fn a_small_log_is_possible_and_its_limits_follow() {
        let settings = settings(&config(&["--shards", "1", "--log-entries", "5000"])).unwrap();
        assert_eq!(settings.hub.log_entries, 4096);
        assert_eq!(settings.hub.lag_entries_max, 1024);
        assert_eq!(settings.sockets.user_timeout, Some(Duration::from_mins(1)));
    }
}
