//! The model of capacity: costs that were measured, multiplied.
//!
//! A market, a way to use it ([`Profile`]), machines ([`Machine`]) and a bus ([`crate::Costs`]) go in; connections,
//! ticks, bytes, cores and memory of each gateway come out, and what the bus has to carry. The formulas are in
//! docs/CAPACITY.md, whose tables this writes.

use std::fmt::Write as _;

use crate::costs::{Costs, Threading};

/// What there is to see.
#[derive(Clone, Copy, Debug)]
pub struct Market {
    /// Instruments.
    pub instruments: f64,
    /// Ticks a second.
    pub rate: f64,
    /// Instruments in a bucket.
    pub bucket: f64,
    /// How long ticks are gathered, s.
    pub batch_age: f64,
    /// Bytes of a tick in a batch, of a batch's head, of the bus's frame around it.
    pub tick_bytes: f64,
    /// See `tick_bytes`.
    pub batch_bytes: f64,
}

/// How somebody uses it.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Messages a second.
    pub messages: f64,
    /// Ticks in each.
    pub ticks: f64,
    /// Whether the connection is encrypted by the gateway.
    pub is_tls: bool,
}

/// What a gateway's machine has, and the part of it that may be used.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Cores for shards.
    pub cores: f64,
    /// Bytes of memory.
    pub memory: f64,
    /// Bytes a second of its network.
    pub network: f64,
    /// The part of all that which is planned with.
    pub share: f64,
    /// Connections it may have: what was shown on one machine.
    pub connections: f64,
}

/// What was measured of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// CPU for each message, s.
    pub message_cpu: f64,
    /// CPU for each further tick of a message, s.
    pub tick_cpu: f64,
    /// Bytes of a tick to a client, and of a message beside its ticks (frame, TCP, IP, Ethernet).
    pub tick_bytes: f64,
    /// See `tick_bytes`.
    pub message_bytes: f64,
    /// Bytes of the process for a connection, in plaintext.
    pub user_bytes: f64,
    /// With TLS.
    pub user_tls_bytes: f64,
    /// Bytes of the kernel for a connection, at one end.
    pub kernel_bytes: f64,
    /// Bytes of a process without connections: logs, ring, encoded entries.
    pub process_bytes: f64,
    /// CPU of a handshake, s.
    pub handshake_cpu: f64,
    /// CPU of the thread for the bus: each batch, each tick, s.
    pub batch_cpu: f64,
    /// See `batch_cpu`.
    pub bus_tick_cpu: f64,
}

/// As in the records that docs/CAPACITY.md names.
pub const MEASURED: Measured = Measured {
    message_cpu: 3.9e-6,
    tick_cpu: 0.05e-6,
    tick_bytes: 64.0,
    message_bytes: 70.0,
    user_bytes: 207.0,
    user_tls_bytes: 8_095.0,
    kernel_bytes: 3_700.0,
    process_bytes: 400e6,
    handshake_cpu: 50e-6,
    batch_cpu: 6e-6,
    bus_tick_cpu: 0.4e-6,
};

/// 500 instruments, 10,000 ticks a second, by default settings of `feed-sim --out`.
pub const MARKET: Market = Market {
    instruments: 500.0,
    rate: 10_000.0,
    bucket: 16.0,
    batch_age: 1e-3,
    tick_bytes: 74.0,
    batch_bytes: 160.0,
};

/// Eight cores for shards, 32 GB, 10 Gbit/s, half of each planned with; connections as shown with one machine.
pub const MACHINE: Machine =
    Machine { cores: 8.0, memory: 32e9, network: 1.25e9, share: 0.5, connections: 1e6 };

/// Ways to use a market.
pub const PROFILES: [Profile; 4] = [
    Profile {
        name: "glance: 1 message a second, 1 tick",
        messages: 1.0,
        ticks: 1.0,
        is_tls: false,
    },
    Profile {
        name: "watch list: 1 message a second, 20 ticks",
        messages: 1.0,
        ticks: 20.0,
        is_tls: false,
    },
    Profile { name: "watch list, TLS at the gateway", messages: 1.0, ticks: 20.0, is_tls: true },
    Profile {
        name: "trader: 20 messages a second, 2 ticks",
        messages: 20.0,
        ticks: 2.0,
        is_tls: false,
    },
];

/// What limits a gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Connections.
    pub connections: f64,
    /// By what.
    pub by: &'static str,
}

/// What a gateway with so many connections needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Ticks to clients a second.
    pub ticks: f64,
    /// Cores.
    pub cores: f64,
    /// Bytes a second to clients.
    pub egress: f64,
    /// Bytes of memory.
    pub memory: f64,
}

/// What a bus has to carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BusLoad {
    /// Batches appended a second.
    pub batches: f64,
    /// Ticks in each.
    pub ticks_per_batch: f64,
    /// Messages to gateways a second.
    pub messages: f64,
    /// Bytes to gateways a second.
    pub egress: f64,
    /// The part of its appending core that is used, and of the cores that send.
    pub append_cores: f64,
    /// See `append_cores`.
    pub send_cores: f64,
}

impl Measured {
    /// What a gateway with so many connections of this profile needs.
    #[must_use]
    pub fn load(&self, profile: &Profile, connections: f64) -> Load {
        let messages = connections * profile.messages;
        let ticks = messages * profile.ticks;
        let user = if profile.is_tls { self.user_tls_bytes } else { self.user_bytes };
        Load {
            ticks,
            cores: messages * self.message_cpu + (ticks - messages) * self.tick_cpu,
            egress: ticks * self.tick_bytes + messages * self.message_bytes,
            memory: self.process_bytes + connections * (user + self.kernel_bytes),
        }
    }

    /// How many connections of this profile a machine holds.
    #[must_use]
    pub fn bound(&self, profile: &Profile, machine: &Machine) -> Bound {
        let one = self.load(profile, 1.0);
        let each = one.memory - self.process_bytes;
        let bounds = [
            Bound { connections: machine.share * machine.cores / one.cores, by: "CPU" },
            Bound { connections: machine.share * machine.network / one.egress, by: "network" },
            Bound {
                connections: (machine.share * machine.memory - self.process_bytes) / each,
                by: "memory",
            },
            Bound { connections: machine.connections, by: "connections shown" },
        ];
        let least = bounds.into_iter().min_by(|a, b| a.connections.total_cmp(&b.connections));
        least.expect("there are four")
    }
}

impl Market {
    /// Batches a second: the first tick of a bucket begins one, which takes what comes until its age.
    #[must_use]
    pub fn batches(&self) -> f64 {
        let buckets = (self.instruments / self.bucket).ceil();
        let each = self.rate / buckets;
        buckets * each / (1.0 + each * self.batch_age)
    }

    /// What a bus carries to so many gateways, each of which wants this part of the buckets, with so many
    /// servers.
    #[must_use]
    pub fn bus(&self, costs: &Costs, gateways: f64, wanted: f64, servers: f64) -> BusLoad {
        let batches = self.batches();
        let ticks_per_batch = self.rate / batches;
        let payload = ticks_per_batch * self.tick_bytes + self.batch_bytes;
        let messages = batches * gateways * wanted;
        let seconds = |ns: u64, ps: u64| ns as f64 / 1e9 + payload * ps as f64 / 1e12;
        BusLoad {
            batches,
            ticks_per_batch,
            messages,
            egress: messages * payload,
            append_cores: batches * seconds(costs.append_ns, costs.append_byte_ps) / servers,
            send_cores: messages * seconds(costs.deliver_ns, costs.deliver_byte_ps) / servers,
        }
    }

    /// How many gateways a bus serves with half of its cores and half of its network, and which of them ends first.
    #[must_use]
    pub fn gateways_max(&self, costs: &Costs, wanted: f64, servers: f64) -> (f64, &'static str) {
        let one = self.bus(costs, 1.0, wanted, servers);
        let by_cores = match costs.threading {
            Threading::One => (0.5 - one.append_cores) / one.send_cores,
            Threading::Many(_) if one.append_cores > 0.5 => 0.0,
            Threading::Many(cores) => 0.5 * f64::from(cores) / one.send_cores,
        };
        let by_network = 0.5 * costs.network_bytes as f64 * servers / one.egress;
        if by_cores < by_network { (by_cores.max(0.0), "cores") } else { (by_network, "network") }
    }
}

/// All tables, as Markdown.
#[must_use]
pub fn tables() -> String {
    let mut text = String::new();
    gateways(&mut text);
    millions(&mut text);
    buses(&mut text);
    text
}

fn gateways(text: &mut String) {
    text.push_str("One gateway, and 1, 10 and 100 of them (connections; ticks a second to clients; bytes a second):\n\n");
    text.push_str("| profile | a gateway | limited by | cores | egress | memory | ticks/s | 10 gateways | 100 gateways |\n|---|---|---|---|---|---|---|---|---|\n");
    for profile in &PROFILES {
        let bound = MEASURED.bound(profile, &MACHINE);
        let load = MEASURED.load(profile, bound.connections);
        row(
            text,
            &[
                profile.name.to_owned(),
                amount(bound.connections),
                bound.by.to_owned(),
                format!("{:.1}", load.cores),
                format!("{}B/s", amount(load.egress)),
                format!("{}B", amount(load.memory)),
                amount(load.ticks),
                amount(10.0 * bound.connections),
                amount(100.0 * bound.connections),
            ],
        );
    }
    text.push('\n');
}

fn millions(text: &mut String) {
    let users = 10e6;
    text.push_str("10 million users (one gateway more than these may fail; coming back takes all of one gateway's cores' share):\n\n");
    text.push_str("| profile | gateways | connections each | ticks/s in all | egress in all | memory in all | users of one gateway back after |\n|---|---|---|---|---|---|---|\n");
    for profile in &PROFILES {
        let bound = MEASURED.bound(profile, &MACHINE);
        let gateways = (users / bound.connections).ceil();
        let each = users / gateways;
        let load = MEASURED.load(profile, each);
        // What one had comes to the others, which have half of their cores for it.
        let spare = (1.0 - MACHINE.share) * MACHINE.cores * (gateways - 1.0);
        let back = each * MEASURED.handshake_cpu / spare;
        row(
            text,
            &[
                profile.name.to_owned(),
                format!("{gateways:.0} + 1"),
                amount(each),
                amount(gateways * load.ticks),
                format!("{}bit/s", amount(8.0 * gateways * load.egress)),
                format!("{}B", amount(gateways * load.memory)),
                format!("{:.1} s", back),
            ],
        );
    }
    text.push('\n');
}

fn buses(text: &mut String) {
    text.push_str("The bus, if every gateway wants all of it (half of its cores and of its network planned with):\n\n");
    text.push_str("| bus | ticks/s | N | age | batches/s | ticks a batch | each gateway takes | thread of a gateway | appending core | 10 gateways: sending cores, egress | 100 gateways | gateways at most | ends first |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for costs in [&Costs::NATS, &Costs::REDIS] {
        for (rate, bucket, batch_age) in [
            (10_000.0, 1.0, 1e-3),
            (10_000.0, 16.0, 1e-3),
            (10_000.0, 256.0, 1e-3),
            (10_000.0, 16.0, 10e-3),
            (100_000.0, 16.0, 1e-3),
            (100_000.0, 16.0, 10e-3),
        ] {
            let market = Market { rate, bucket, batch_age, ..MARKET };
            let one = market.bus(costs, 1.0, 1.0, 1.0);
            let (ten, hundred) =
                (market.bus(costs, 10.0, 1.0, 1.0), market.bus(costs, 100.0, 1.0, 1.0));
            let thread = one.batches * MEASURED.batch_cpu + rate * MEASURED.bus_tick_cpu;
            let (most, by) = market.gateways_max(costs, 1.0, 1.0);
            let both =
                |load: &BusLoad| format!("{:.2}, {}B/s", load.send_cores, amount(load.egress));
            row(
                text,
                &[
                    costs.name.to_owned(),
                    amount(rate),
                    format!("{bucket:.0}"),
                    format!("{:.0} ms", batch_age * 1e3),
                    amount(one.batches),
                    format!("{:.1}", one.ticks_per_batch),
                    format!("{}B/s", amount(one.egress)),
                    format!("{:.0} %", 100.0 * thread),
                    format!("{:.0} %", 100.0 * one.append_cores),
                    both(&ten),
                    both(&hundred),
                    format!("{:.0}", most.floor()),
                    by.to_owned(),
                ],
            );
        }
    }
}

fn row(text: &mut String, cells: &[String]) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Three digits and a unit's prefix.
fn amount(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e12 => (value / 1e12, " T"),
        value if value >= 1e9 => (value / 1e9, " G"),
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, " "),
    };
    let digits = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.digits$}{unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_limited_by_what_it_has_least_of() {
        let trader = PROFILES[3];
        let bound = MEASURED.bound(&trader, &MACHINE);
        let load = MEASURED.load(&trader, bound.connections);
        assert_eq!(bound.by, "CPU");
        assert!((load.cores - 4.0).abs() < 1e-6, "half of eight: {}", load.cores);
        let rich = Machine { cores: 1e6, network: 1e15, memory: 1e15, ..MACHINE };
        assert_eq!(MEASURED.bound(&trader, &rich).connections, 1e6);
    }

    #[test]
    fn batches_grow_with_load_and_age_and_never_exceed_ticks() {
        let one = Market { rate: 10.0, bucket: 1.0, ..MARKET };
        assert!((one.batches() - 10.0).abs() < 0.01, "{}", one.batches());
        let busy = Market { rate: 1e6, bucket: 500.0, ..MARKET };
        assert!((busy.batches() - 1_000.0).abs() < 2.0, "one for each millisecond");
        let (few, more) = (
            MARKET.gateways_max(&Costs::REDIS, 1.0, 1.0).0,
            MARKET.gateways_max(&Costs::REDIS, 1.0, 4.0).0,
        );
        assert!(more > 3.9 * few, "servers divide the work: {few} {more}");
    }
}
