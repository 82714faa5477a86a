//! What a configuration value can be: each type reads itself from a text and says what it expects.
//!
//! Texts come from flags, environment variables and files alike, so there is one reader per type.
//! Bounds are part of the type: a value that exists is within them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::shard::Origins;

/// A kind of configuration value.
pub trait Setting {
    /// What it is once read.
    type Value: Clone + PartialEq;

    /// What stands for the value in help and documentation, such as `ADDRESS`.
    const PLACEHOLDER: &'static str;

    /// What divides the parts of a value that may be several; flags are then given several times.
    const SEPARATOR: Option<char> = None;

    /// Reads a value.
    ///
    /// # Errors
    /// If the text is not one.
    fn parse(text: &str) -> Result<Self::Value, Refusal>;

    /// What a text must be; completes the sentence "expected …".
    fn expected() -> String;

    /// Whether a running gateway can go on with another value of a key that is live.
    fn can_follow(_now: &Self::Value, _next: &Self::Value) -> bool {
        true
    }
}

/// Why a text is not a value of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not what was expected; [`Setting::expected`] says what that is.
    Malformed,
    /// Well-formed, but this build cannot do it.
    NotBuiltIn(&'static str),
    /// It begins like the URL of a bus and is none.
    BusUrl(bus::UrlError),
}

/// An IP address and port.
pub struct Address;

impl Setting for Address {
    type Value = SocketAddr;
    const PLACEHOLDER: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<SocketAddr, Refusal> {
        text.parse().map_err(|_| Refusal::Malformed)
    }

    fn expected() -> String {
        "an IP address and a port, such as 127.0.0.1:9443 or [::1]:9443".to_owned()
    }
}

/// A whole number within bounds; `k`, `M` and `G` stand for thousands, millions and milliards.
pub struct Count<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Setting for Count<MIN, MAX> {
    type Value = u64;
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Result<u64, Refusal> {
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k') => (&text[..text.len() - 1], 1_000),
            Some(b'M') => (&text[..text.len() - 1], 1_000_000),
            Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
            _ => (text, 1),
        };
        number(digits)
            .and_then(|number| number.checked_mul(factor))
            .filter(|number| (MIN..=MAX).contains(number))
            .ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}, such as 250, 10k or 2M")
    }
}

/// A whole number within bounds, or `auto`: what follows from other settings.
pub struct AutoCount<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Setting for AutoCount<MIN, MAX> {
    type Value = Option<u64>;
    const PLACEHOLDER: &'static str = "N|auto";

    fn parse(text: &str) -> Result<Option<u64>, Refusal> {
        if text == "auto" { Ok(None) } else { Count::<MIN, MAX>::parse(text).map(Some) }
    }

    fn expected() -> String {
        format!("auto or {}", Count::<MIN, MAX>::expected())
    }
}

/// An amount of memory within bounds: bytes, or with a unit.
pub struct Bytes<const MIN: u64, const MAX: u64>;

/// Units of memory, longest name first so that `KiB` is not taken for `B`.
const BYTE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl<const MIN: u64, const MAX: u64> Setting for Bytes<MIN, MAX> {
    type Value = u64;
    const PLACEHOLDER: &'static str = "BYTES";

    fn parse(text: &str) -> Result<u64, Refusal> {
        let unit = BYTE_UNITS.iter().find_map(|(name, factor)| {
            text.strip_suffix(name).map(|digits| (digits.trim_end(), *factor))
        });
        let (digits, factor) = unit.unwrap_or((text, 1));
        number(digits)
            .and_then(|number| number.checked_mul(factor))
            .filter(|bytes| (MIN..=MAX).contains(bytes))
            .ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        format!(
            "an amount of memory from {} to {}, such as 65536, 256KiB or 1GiB",
            show_bytes(MIN),
            show_bytes(MAX)
        )
    }
}

/// The shortest exact way of writing an amount of memory.
fn show_bytes(bytes: u64) -> String {
    let binary = BYTE_UNITS[..3].iter().rev();
    let unit = binary.into_iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match unit {
        Some((name, size)) => format!("{}{name}", bytes / size),
        None => bytes.to_string(),
    }
}

/// A duration within bounds given in milliseconds.
pub struct Span<const MIN_MS: u64, const MAX_MS: u64>;

/// Units of time, in milliseconds; `ms` before `m` and `s`.
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl<const MIN_MS: u64, const MAX_MS: u64> Setting for Span<MIN_MS, MAX_MS> {
    type Value = Duration;
    const PLACEHOLDER: &'static str = "DURATION";

    fn parse(text: &str) -> Result<Duration, Refusal> {
        let (digits, unit_ms) = TIME_UNITS
            .iter()
            .find_map(|(name, unit_ms)| text.strip_suffix(name).map(|digits| (digits, *unit_ms)))
            .ok_or(Refusal::Malformed)?;
        number(digits)
            .and_then(|number| number.checked_mul(unit_ms))
            .filter(|ms| (MIN_MS..=MAX_MS).contains(ms))
            .map(Duration::from_millis)
            .ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        format!(
            "a duration with its unit from {} to {}, such as 250ms, 30s, 5m or 1h",
            show_ms(MIN_MS),
            show_ms(MAX_MS)
        )
    }
}

/// The shortest exact way of writing a duration.
fn show_ms(ms: u64) -> String {
    let unit = TIME_UNITS.iter().rev().find(|(_, size)| ms >= *size && ms.is_multiple_of(*size));
    unit.map_or_else(|| format!("{ms}ms"), |(name, size)| format!("{}{name}", ms / size))
}

/// A whole number of plain digits.
fn number(digits: &str) -> Option<u64> {
    // `u64::from_str` would take a leading plus sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Origins of pages, with commas between; `*` for all.
pub struct OriginList;

impl Setting for OriginList {
    type Value = Origins;
    const PLACEHOLDER: &'static str = "ORIGINS";

    fn parse(text: &str) -> Result<Origins, Refusal> {
        match text {
            "" => return Ok(Origins::None),
            "*" => return Ok(Origins::Any),
            _ => {}
        }
        // Compared byte for byte with what browsers send: lower case, and nothing behind the port.
        let is_origin = |origin: &str| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| {
                let allowed =
                    |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
                !host.is_empty() && host.bytes().all(allowed)
            })
        };
        let origins: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
        let all_valid = origins.iter().all(|origin| is_origin(origin));
        if all_valid { Ok(Origins::Listed(origins)) } else { Err(Refusal::Malformed) }
    }

    fn expected() -> String {
        "* or origins with commas between, such as https://example.com,http://localhost:3000"
            .to_owned()
    }
}

/// What a gateway takes of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusInterest {
    /// What its clients are subscribed to.
    Clients,
    /// Everything.
    All,
}

impl Setting for BusInterest {
    type Value = Self;
    const PLACEHOLDER: &'static str = "clients|all";

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "clients" => Ok(Self::Clients),
            "all" => Ok(Self::All),
            _ => Err(Refusal::Malformed),
        }
    }

    fn expected() -> String {
        "clients or all".to_owned()
    }
}

/// The bus that joins gateways.
pub struct BusUrl;

/// The bus that joins gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// This gateway stands alone.
    None,
    /// What its clients publish goes here.
    At(bus::BusUrl),
}

impl Setting for BusUrl {
    type Value = Bus;
    const PLACEHOLDER: &'static str = "BUS";

    fn parse(text: &str) -> Result<Bus, Refusal> {
        match text {
            "none" => Ok(Bus::None),
            _ => text.parse().map(Bus::At).map_err(|error| match error {
                bus::UrlError::Scheme => Refusal::Malformed,
                other => Refusal::BusUrl(other),
            }),
        }
    }

    fn expected() -> String {
        "none, nats://HOST[:PORT][/PREFIX] or redis://HOST[:PORT][/PREFIX]".to_owned()
    }
}

/// A log filter: a level, or levels by module, as `tracing` reads them.
pub struct LogFilter;

impl Setting for LogFilter {
    type Value = String;
    const PLACEHOLDER: &'static str = "FILTER";

    fn parse(text: &str) -> Result<String, Refusal> {
        let level =
            |text: &str| matches!(text, "off" | "error" | "warn" | "info" | "debug" | "trace");
        // `EnvFilter` would take `inof` for the name of a module.
        let valid = text.split(',').all(|directive| match directive.rsplit_once('=') {
            Some((target, text)) => !target.is_empty() && level(text),
            None => level(directive),
        });
        if valid { Ok(text.to_owned()) } else { Err(Refusal::Malformed) }
    }

    fn expected() -> String {
        "off, error, warn, info, debug or trace, also by module: info,gateway::source=debug"
            .to_owned()
    }
}

/// Declares a setting that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $(#[$first_doc:meta])* $first:ident = $first_word:literal,
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[$first_doc])* $first,
            $($(#[$variant_doc])* $variant,)*
        }

        impl Setting for $name {
            type Value = Self;
                        const PLACEHOLDER: &'static str = concat!($first_word $(, "|", $word)*);

            fn parse(text: &str) -> Result<Self, Refusal> {
                match text {
                    $first_word => Ok(Self::$first),
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Refusal::Malformed),
                }
            }

            fn expected() -> String {
                [$first_word, $($word),*].join(" or ")
            }
        }
    };
}

words! {
    /// Something that is done or not.
    Switch {
        /// It is done.
        On = "true",
        /// It is not done.
        Off = "false",
    }
}

words! {
    /// Who may publish.
    Publish {
        /// Nobody.
        Off = "off",
        /// Whoever is connected.
        Local = "local",
        /// Whom `auth` grants it.
        Granted = "granted",
    }
}

words! {
    /// From where clients may come who show no credentials.
    Anonymous {
        /// From this machine: `listen` is a loopback address.
        Loopback = "loopback",
        /// From anywhere.
        Anywhere = "anywhere",
    }
}

words! {
    /// Who is shown how the gateway is.
    PublicStatus {
        /// Who can reach it, if only this machine can.
        Auto = "auto",
        /// Who can reach it.
        On = "on",
        /// Nobody but operators.
        Off = "off",
    }
}

words! {
    /// What an embedded feed derives from its trades.
    Derivations {
        /// Everything that can be.
        All = "all",
        /// What charts open with: bars of seven intervals, and the 24-hour ticker.
        Charts = "charts",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// When a replay begins.
    ReplayStart {
        /// At once.
        Now = "now",
        /// When the first client has subscribed.
        FirstSubscriber = "first-subscriber",
    }
}

words! {
    /// How log lines are written.
    LogFormat {
        /// For people; in colours on a terminal.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// Whether each shard has a table of open files of its own.
    DescriptorTables {
        /// Own ones where the kernel allows it.
        Auto = "auto",
        /// Own ones; fail to start where the kernel does not allow it.
        Own = "own",
        /// One for the process, as usual.
        Shared = "shared",
    }
}

words! {
    /// How the messages of visits are sent.
    SendBackend {
        /// One by one.
        Auto = "auto",
        /// One by one.
        Epoll = "epoll",
        /// A group's with one system call, where the kernel allows it.
        IoUring = "io-uring",
    }
}

words! {
    /// Whether an idle shard looks at the ring before it sleeps.
    Spin {
        /// For a while, where there are more than two cores.
        Auto = "auto",
        /// Instead of sleeping.
        Always = "always",
        /// Never: sleep at once.
        Never = "never",
    }
}

/// How many shards: `auto` is one per core.
pub struct ShardCount;

/// The most shards: their own tables of open files reach a million sockets with fifty or so.
const SHARDS_MAX: u64 = 256;

impl Setting for ShardCount {
    type Value = usize;
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Result<usize, Refusal> {
        if text == "auto" {
            return Ok(std::thread::available_parallelism().map_or(1, usize::from));
        }
        let count = number(text).filter(|count| (1..=SHARDS_MAX).contains(count));
        count.and_then(|count| usize::try_from(count).ok()).ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        format!("auto (one per core) or a whole number from 1 to {SHARDS_MAX}")
    }
}

/// How fast a replay goes.
pub struct ReplaySpeed;

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// As fast as every shard and every subscriber can take it.
    Max,
}

impl Setting for ReplaySpeed {
    type Value = Speed;
    const PLACEHOLDER: &'static str = "N|max";

    fn parse(text: &str) -> Result<Speed, Refusal> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let times = text.parse::<f64>().ok().filter(|times| plain && *times > 0.0);
        times.map(Speed::Times).ok_or(Refusal::Malformed)
    }

    fn expected() -> String {
        "max or a positive number of times, such as 1, 0.5 or 20".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_suffixes_and_keep_their_bounds() {
        type Small = Count<1, 2_000_000>;
        assert_eq!(Small::parse("10k"), Ok(10_000));
        assert_eq!(Small::parse("2M"), Ok(2_000_000));
        for bad in ["", "0", "2000001", "+5", "-1", "1.5", "k", "99999999999999999999G"] {
            assert_eq!(Small::parse(bad), Err(Refusal::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn memory_and_time_name_their_units() {
        type Memory = Bytes<1024, { 1 << 30 }>;
        assert_eq!(Memory::parse("4KiB"), Ok(4096));
        assert_eq!(Memory::parse("2048"), Ok(2048));
        assert_eq!(Memory::parse("1 MB"), Ok(1_000_000));
        assert_eq!(Memory::parse("512B"), Err(Refusal::Malformed));
        assert!(Memory::expected().contains("from 1KiB to 1GiB"));

        type Time = Span<100, 3_600_000>;
        assert_eq!(Time::parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(Time::parse("5m"), Ok(Duration::from_mins(5)));
        for bad in ["30", "99ms", "2h", "s", "-1s"] {
            assert_eq!(Time::parse(bad), Err(Refusal::Malformed), "{bad:?}");
        }
        assert!(Time::expected().contains("from 100ms to 1h"));
    }

    #[test]
    fn origins_are_what_browsers_send() {
        assert_eq!(OriginList::parse(""), Ok(Origins::None));
        assert_eq!(OriginList::parse("*"), Ok(Origins::Any));
        let listed = Origins::Listed(vec!["https://a.example".into(), "http://[::1]:3000".into()]);
        assert_eq!(OriginList::parse("https://a.example, http://[::1]:3000"), Ok(listed));
        for bad in ["a.example", "https://", "https://a.example/", "https://A.example", "*,*", ","]
        {
            assert_eq!(OriginList::parse(bad), Err(Refusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_log_level_that_is_misspelt_is_not_taken_for_a_module() {
        assert!(LogFilter::parse("info,gateway=debug").is_ok());
        assert_eq!(LogFilter::parse("inof"), Err(Refusal::Malformed));
        assert_eq!(LogFilter::parse("gateway=loud"), Err(Refusal::Malformed));
    }
}
