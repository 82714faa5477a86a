//! The scene of a fault: a feed, a bus, three gateways, nginx in front of them, and clients that check every trade.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::balancer::{Balancer, Kind, Target};
use crate::crowd::{Crowd, Life};
use crate::support::bus_server::{BusKind, BusServer, Keeps};
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, Process, feed_sim, free_address, get, until};
use crate::table::{Counted, Outcome, Plan};

/// Long enough to play no part.
const LONG: Duration = Duration::from_mins(2);

/// The feed's first instruments; it has sixteen.
const SYMBOLS: [&str; 8] =
    ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT", "DOGEUSDT", "ADAUSDT", "AVAXUSDT"];

/// Trades after a fault that everybody must have before it counts as over.
const ENOUGH: usize = 60;

/// The lines of feeds: one, or two of the same market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Two,
}

/// See the module's header.
pub(crate) struct Scene {
    pub(crate) plan: Plan,
    // Ends first, so that no client sees the end of anything else.
    pub(crate) crowd: Crowd,
    balancer: Balancer,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) feeds: Vec<Process>,
    pub(crate) bus: BusServer,
    pub(crate) certificate: Certificate,
    arguments: Vec<String>,
    seats: usize,
    /// What each gateway had counted when everybody began to watch.
    before: HashMap<SocketAddr, Counted>,
}

impl Scene {
    /// Everything runs and nobody is connected.
    pub(crate) fn start(kind: BusKind, keeps: Keeps, lines: Lines) -> Self {
        let mut bus = BusServer::reserve(kind, keeps);
        bus.run();
        Self::on(bus, lines)
    }

    /// The same on a bus that runs.
    pub(crate) fn on(bus: BusServer, lines: Lines) -> Self {
        let plan = Plan::chosen();
        let urls: Vec<String> = match lines {
            Lines::One => vec![bus.url()],
            Lines::Two => ["a", "b"].map(|line| format!("{}/{line}", bus.url())).to_vec(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let storage = if bus.keeps() == Keeps::Everything { "file" } else { "memory" };
        let feeds = urls.iter().map(|url| {
            let rate = plan.rate.to_string();
            let market = ["--symbols", "16", "--seed", "7", "--rate", &rate, "--start-at", &now];
            let stream = ["--epoch", "4711", "--bus-bucket", "4", "--storage", storage];
            feed_sim(&[&["--out", url][..], &market, &stream, &["--retention", "5m"]].concat())
        });
        let feeds = feeds.collect();

        let certificate = Certificate::new();
        let mut arguments: Vec<String> = Vec::new();
        for url in urls {
            arguments.extend(["--source".to_owned(), url]);
        }
        // A slow machine must not be mistaken for a slow client, nor for a gateway that is gone: clients give up
        // after two heartbeats.
        let patient =
            ["--shards", "1", "--lag-age", "1h", "--slow-age", "1h", "--heartbeat", "15s"];
        // Nor a slow feed for one that is gone.
        arguments.extend(["--feed-silent-after", "8s"].map(str::to_owned));
        arguments.extend(patient.iter().chain(&["--drain-window", "1s"]).map(|&s| s.to_owned()));
        if lines == Lines::Two {
            // Nor a slow line for one that has lost something.
            arguments.extend(["--arbitration-wait", "10s"].map(str::to_owned));
        }
        arguments.extend(Kind::Nginx.gateway_arguments(&certificate));
        let places: Vec<Target> =
            (0..3).map(|_| Target { listen: free_address(), admin: free_address() }).collect();
        let gateways: Vec<Gateway> =
            places.iter().map(|place| gateway(&arguments, *place)).collect();
        gateways.iter().for_each(until_ready);
        let balancer = Balancer::start(Kind::Nginx, &places, LONG, &certificate);
        let (crowd, seats, before) = (Crowd::new(), 0, HashMap::new());
        Self { plan, crowd, balancer, gateways, feeds, bus, certificate, arguments, seats, before }
    }

    /// So many clients through the proxy.
    pub(crate) fn seat(&mut self, many: usize) -> Vec<Arc<Life>> {
        let url = self.balancer.url();
        self.seat_at(&url, many)
    }

    /// So many clients at this URL: of each ten one has everything, the others three instruments.
    pub(crate) fn seat_at(&mut self, url: &str, many: usize) -> Vec<Arc<Life>> {
        let mut lives = Vec::new();
        for _ in 0..many {
            let nth = self.seats;
            self.seats += 1;
            let topics = if nth.is_multiple_of(10) {
                vec!["*.trade".to_owned()]
            } else {
                (0..3).map(|of| format!("{}.trade", SYMBOLS[(nth + of) % SYMBOLS.len()])).collect()
            };
            lives.push(self.crowd.seat(url, &topics, &self.certificate));
        }
        lives
    }

    /// The URL of a gateway itself.
    pub(crate) fn direct(gateway: &Gateway) -> String {
        format!("ws://{}/v1/stream", gateway.listen)
    }

    /// Everybody has trades; from here on it is measured.
    pub(crate) fn watch(&mut self) {
        self.crowd.catch_up(ENOUGH);
        self.before = self.count();
        self.crowd.watch();
    }

    /// Waits until everybody has all trades of the time since, and says what these clients saw.
    pub(crate) fn settle(&self, lives: &[Arc<Life>]) -> Outcome {
        self.crowd.catch_up(ENOUGH);
        let mut counted = Counted::default();
        for (listen, now) in self.count() {
            let more = now.since(self.before.get(&listen).copied().unwrap_or_default());
            counted.replayed += more.replayed;
            counted.lost += more.lost;
        }
        Outcome::of(lives, counted)
    }

    fn count(&self) -> HashMap<SocketAddr, Counted> {
        let count = |gateway: &Gateway| Counted {
            replayed: gateway.metric("tickcast_bus_ticks_replayed_total"),
            lost: gateway.metric("tickcast_bus_lost_total"),
        };
        self.gateways.iter().map(|gateway| (gateway.listen, count(gateway))).collect()
    }

    /// Starts a gateway where one was.
    pub(crate) fn start_again(&mut self, index: usize) {
        let old = &self.gateways[index];
        let place = Target { listen: old.listen, admin: old.admin };
        self.gateways[index] = gateway(&self.arguments, place);
        until_ready(&self.gateways[index]);
    }

    /// Starts one more, of which the proxy does not know.
    pub(crate) fn start_another(&mut self) -> &Gateway {
        let place = Target { listen: free_address(), admin: free_address() };
        self.add(gateway(&self.arguments, place))
    }

    /// The same in another network namespace.
    pub(crate) fn start_within(&mut self, namespace: &str, place: Target) -> &Gateway {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_gateway")]);
        // Its clients are on another machine, as far as it knows.
        command.args(["--anonymous", "anywhere"]);
        self.add(gateway_by(command, &self.arguments, place))
    }

    fn add(&mut self, gateway: Gateway) -> &Gateway {
        until_ready(&gateway);
        self.gateways.push(gateway);
        self.gateways.last().expect("just now")
    }

    /// Lets the fault last.
    pub(crate) fn endure(&self) {
        std::thread::sleep(self.plan.outage);
    }

    /// The bus's name in the table.
    pub(crate) fn bus_name(&self) -> &'static str {
        match (self.bus.kind(), self.bus.keeps()) {
            (BusKind::Nats, Keeps::Everything) => "NATS, file",
            (BusKind::Nats, Keeps::Nothing) => "NATS, memory",
            (BusKind::Redis, Keeps::Everything) => "Redis, append-only always",
            (BusKind::Redis, Keeps::Nothing) => "Redis, memory",
        }
    }
}

fn gateway(arguments: &[String], place: Target) -> Gateway {
    gateway_by(Command::new(env!("CARGO_BIN_EXE_gateway")), arguments, place)
}

fn gateway_by(mut command: Command, arguments: &[String], place: Target) -> Gateway {
    let (listen, admin) = (place.listen.to_string(), place.admin.to_string());
    command.args(["--listen", &listen, "--admin-listen", &admin]).args(arguments);
    Gateway::over(command, place.listen, place.admin)
}

/// Waits until a gateway would take clients.
pub(crate) fn until_ready(gateway: &Gateway) {
    until("a gateway that is ready", || {
        get(gateway.admin, "/readyz").filter(|(status, _)| *status == 200)
    });
}
