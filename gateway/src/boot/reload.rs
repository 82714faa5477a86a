//! Reading the configuration again while the gateway runs: on SIGHUP, and when an operator asks.
//!
//! All of it is read and checked before anything changes: the file, what it names, what follows for shards. Then keys
//! that are live are taken over, and those that are not stay, in the configuration that is in force as in everything
//! else: what runs is always what one configuration means. Which keys are live stands in the table of keys. The files
//! of `auth` are their own: they are read again whatever becomes of the rest, by the [keeper](crate::auth::Keeper).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hub::LimitsError;
use tokio::sync::{Notify, watch};

use super::certificate::{self, Certificate, CertificateError};
use super::settings;
use super::supervisor::Supervisor;
use crate::config::{Changes, Config, ConfigError};
use crate::fleet::Fleet;
use crate::routes::PublicRoutes;
use crate::shard::ShardSettings;
use crate::telemetry::{self, Process, ReadAgain};

/// Reads the configuration from where it was read at the start.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration is refused, as it would be at the start.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Limits that contradict each other.
    #[error("these settings do not go together: {0}")]
    Limits(#[from] LimitsError),
}

/// What the main thread goes by, and may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// How long a drain takes at most.
    pub drain_window: Duration,
    /// The most memory of the process, bytes; 0: any.
    pub memory_max: u64,
}

impl Running {
    /// As configured.
    pub(super) const fn of(config: &Config) -> Self {
        Self { drain_window: config.drain_window, memory_max: config.memory_max }
    }
}

/// All that can change while the gateway runs. Whatever is taken over comes through here.
#[derive(Debug)]
struct Live {
    shards: ShardSettings,
    running: Running,
    certificate: Option<(PathBuf, PathBuf)>,
    exchange_weight: u64,
    log_level: String,
}

impl Live {
    /// What a configuration means, where shards had these settings so far.
    fn of(config: &Config, shards: &ShardSettings) -> Result<Self, LimitsError> {
        Ok(Self {
            shards: settings::renewed(config, shards)?,
            running: Running::of(config),
            certificate: config.tls_cert.clone().zip(config.tls_key.clone()),
            exchange_weight: config.exchange_weight,
            log_level: config.log_level.clone(),
        })
    }
}

/// What the reloader has a hand on.
pub(super) struct Reins {
    pub(super) fleet: Arc<Fleet>,
    pub(super) process: Arc<Process>,
    pub(super) routes: Arc<PublicRoutes>,
    pub(super) running: watch::Sender<Arc<Running>>,
    /// To have the files of `auth` read again.
    pub(super) credentials: Arc<Notify>,
    pub(super) supervisor: Arc<Supervisor>,
}

/// See the module's header.
pub struct Reloader {
    read: ReadConfig,
    in_force: Mutex<InForce>,
    reins: Reins,
}

struct InForce {
    config: Config,
    shards: Arc<ShardSettings>,
}

impl Reloader {
    /// A gateway runs by this configuration, and its shards by these settings.
    pub(super) fn new(
        read: ReadConfig,
        config: Config,
        shards: Arc<ShardSettings>,
        reins: Reins,
    ) -> Self {
        Self { read, in_force: Mutex::new(InForce { config, shards }), reins }
    }

    /// Reads everything again, and says what has changed and what takes a restart.
    ///
    /// # Errors
    /// If anything of it is bad: nothing has changed then.
    pub fn reload(&self) -> Result<Changes, ReloadError> {
        self.reins.supervisor.reloading();
        self.reins.credentials.notify_one();
        let changes = self.take_over();
        self.reins.process.count_reload(ReadAgain::Config, &changes);
        match &changes {
            Ok(Changes { live, restart }) => {
                tracing::info!(changed = live.join(", "), "configuration read again");
                if !restart.is_empty() {
                    tracing::warn!("needs a restart: {}", restart.join(", "));
                }
            }
            Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        }
        self.reins.supervisor.ready(super::SERVING);
        changes
    }

    fn take_over(&self) -> Result<Changes, ReloadError> {
        let newer = (self.read)()?;
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, changes) = in_force.config.renewed(&newer);
        let live = Live::of(&config, &in_force.shards)?;
        let certificate = self.certificate(&live)?;
        // From here on nothing fails.
        let shards = self.reins.apply(live, certificate);
        *in_force = InForce { config, shards };
        Ok(changes)
    }

    fn certificate(&self, live: &Live) -> Result<Option<Certificate>, CertificateError> {
        let Some((chain, key)) = &live.certificate else { return Ok(None) };
        let read = certificate::load(chain, key);
        self.reins.process.count_reload(ReadAgain::Certificate, &read);
        read.map(Some)
    }
}

impl Reins {
    /// Has everybody go by it.
    fn apply(&self, live: Live, read: Option<Certificate>) -> Arc<ShardSettings> {
        let Live { shards, running, certificate: _, exchange_weight, log_level } = live;
        if !telemetry::change_level(&log_level) {
            tracing::error!("the level of log lines cannot be changed");
        }
        let shards = Arc::new(shards);
        self.fleet.use_settings(&shards);
        if let Some(certificate) = read {
            self.fleet.use_certificate(&certificate.tls);
            self.process.note_expiry(certificate.expires_at_s);
            tracing::info!("certificate read again");
            certificate.warn_of_expiry(SystemTime::now());
        }
        self.routes.weights.set_limit(exchange_weight);
        self.running.send_replace(Arc::new(running));
        shards
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Asked, KEYS, Reload, load};

    /// Texts among which every key has a value other than its default.
    const VALUES: &[&str] = &[
        "true",
        "false",
        "on",
        "off",
        "2",
        "7",
        "2048",
        "1s",
        "2s",
        "3s",
        "25s",
        "70s",
        "5m",
        "128KiB",
        "32MiB",
        "debug",
        "json",
        "127.0.0.1:1",
        "10.0.0.0/8",
        "https://a.example",
        "forwarded",
        "anywhere",
        "ws://127.0.0.1:1",
        "nats://127.0.0.1:1/a",
        "http://127.0.0.1:1",
        "BTCUSDT",
        "local",
        "all",
        "charts",
        "none",
        "max",
        "first-subscriber",
        "own",
        "io-uring",
        "always",
        "any",
        "a.pem",
    ];

    /// What a key needs beside it to be a configuration at all.
    const COMPANIONS: &[(&str, &[&str])] = &[
        ("tls-cert", &["--tls-key=key.pem"]),
        ("tls-key", &["--tls-cert=chain.pem"]),
        ("proxy-protocol", &["--trusted-proxies=127.0.0.1"]),
        ("publish", &["--bus=nats://127.0.0.1:1/a"]),
        ("auth-query", &["--auth=auth.toml"]),
    ];

    fn read(args: &[&str]) -> Result<Config, ConfigError> {
        let args = std::iter::once("gateway").chain(args.iter().copied());
        match load(args.map(OsString::from), [])? {
            Asked::Run { config, .. } => Ok(*config),
            Asked::Print(text) => panic!("{text}"),
        }
    }

    fn meaning(config: &Config) -> String {
        let old = settings::settings(config).unwrap();
        format!("{:#?}", Live::of(config, &old).unwrap())
    }

    /// For one key: a configuration, and one in which nothing but this key is different.
    fn pair(key: &str) -> (Config, Config) {
        let companions =
            COMPANIONS.iter().find(|(name, _)| *name == key).map_or(&[][..], |it| it.1);
        let before = match key {
            // From one file to another.
            "tls-cert" | "tls-key" => [
                companions,
                &[if key == "tls-cert" { "--tls-cert=b.pem" } else { "--tls-key=b.pem" }],
            ]
            .concat(),
            _ => companions.to_vec(),
        };
        let before = read(&before).unwrap();
        let others = VALUES.iter().filter_map(|value| {
            let flag = format!("--{key}={value}");
            read(&[companions, &[flag.as_str()]].concat()).ok()
        });
        for after in others {
            let (_, Changes { live, restart }) = before.renewed(&after);
            if [live, restart].concat() == [key] {
                return (before, after);
            }
        }
        panic!("no other value of {key} among those to try");
    }

    #[test]
    fn what_is_said_to_be_live_has_an_effect_and_what_is_not_has_none() {
        for key in KEYS {
            let (before, after) = pair(key.name);
            let (next, changes) = before.renewed(&after);
            match key.reload {
                Reload::Live => {
                    assert_eq!(changes.live, [key.name]);
                    assert_ne!(
                        meaning(&before),
                        meaning(&next),
                        "{} is live and does nothing",
                        key.name
                    );
                    assert_eq!(meaning(&after), meaning(&next), "{}", key.name);
                    let [hub, newer] =
                        [&before, &next].map(|it| settings::settings(it).unwrap().hub);
                    assert_eq!(hub.followed(&newer), newer, "hubs do not follow {}", key.name);
                }
                Reload::Restart => {
                    assert_eq!(changes.restart, [key.name]);
                    assert_eq!(format!("{before:?}"), format!("{next:?}"), "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn nobody_begins_or_ceases_to_speak_tls() {
        let (without, with) = (read(&[]).unwrap(), read(&["--tls-cert=a", "--tls-key=b"]).unwrap());
        for (before, after) in [(&without, &with), (&with, &without)] {
            let (next, changes) = before.renewed(after);
            assert_eq!(changes, Changes { live: vec![], restart: vec!["tls-cert", "tls-key"] });
            assert_eq!(next.tls_cert, before.tls_cert);
        }
    }

    #[test]
    fn some_are_taken_over_and_others_stay_at_once() {
        let before = read(&[]).unwrap();
        let after =
            read(&["--shards=7", "--log-entries=2048", "--session-age=1h", "--rate=2000"]).unwrap();
        let (next, changes) = before.renewed(&after);
        assert_eq!(changes.live, ["session-age"]);
        assert_eq!(changes.restart, ["shards", "log-entries"]);
        assert_eq!((next.shards, next.session_age), (before.shards, after.session_age));
    }
}
