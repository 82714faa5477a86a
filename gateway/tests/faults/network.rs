//! A network that is cut between one gateway and the bus, without a word to either: the gateway lives in a network
//! namespace of its own, with one cable to its clients and one to the bus.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::balancer::Target;
use crate::scene::{Lines, Scene};
use crate::support::bus_server::{BUSES, BusServer, Keeps};
use crate::support::process::until;
use crate::table::{Counted, Outcome};

/// A hardware address that nobody has: what is sent there is gone.
const NOWHERE: &str = "02:00:00:00:00:99";

/// A namespace and its two cables. Addresses are of the networks for documentation (RFC 5737), which
/// nobody routes.
struct Network {
    name: String,
    /// The part of addresses that tells this process's networks from others'.
    place: u8,
}

impl Network {
    fn new() -> Self {
        let process = std::process::id();
        let name = format!("tickcast-{process}");
        let place = u8::try_from(process % 63).expect("less than 63") * 4;
        let network = Self { name, place };
        network.make();
        network
    }

    fn make(&self) {
        let name = self.name.as_str();
        let made = Command::new("ip").args(["netns", "add", name]).output();
        let why = made.map(|made| String::from_utf8_lossy(&made.stderr).into_owned());
        assert!(
            why.as_ref().is_ok_and(String::is_empty),
            "THE CUT NETWORK IS NOT TESTED: `ip netns add` says {why:?}. It takes iproute2, and root or \
             CAP_SYS_ADMIN with CAP_NET_ADMIN."
        );
        for (cable, near, far) in [
            ("c", self.client_side(), self.far_from_clients()),
            ("b", self.bus_side(), self.far_from_bus()),
        ] {
            let (here, there) = (self.here(cable), self.there(cable));
            ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name]);
            ip(&["addr", "add", &format!("{near}/30"), "dev", &here]);
            ip(&["link", "set", &here, "up"]);
            ip(&["-n", name, "addr", "add", &format!("{far}/30"), "dev", &there]);
            ip(&["-n", name, "link", "set", &there, "up"]);
        }
        ip(&["-n", name, "link", "set", "lo", "up"]);
    }

    fn here(&self, cable: &str) -> String {
        format!("tc{}{cable}", self.name.trim_start_matches("tickcast-"))
    }

    fn there(&self, cable: &str) -> String {
        format!("eth-{cable}")
    }

    const fn client_side(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.place + 1)
    }

    const fn far_from_clients(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.place + 2)
    }

    const fn bus_side(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.place + 1)
    }

    const fn far_from_bus(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.place + 2)
    }

    /// Nothing gets from the gateway to the bus or back, and nobody is told.
    fn cut(&self) {
        let (far, near) = (self.far_from_bus().to_string(), self.bus_side().to_string());
        let to_nowhere = ["lladdr", NOWHERE, "nud", "permanent", "dev"];
        let (here, there) = (self.here("b"), self.there("b"));
        ip(&[&["neigh", "replace", &far][..], &to_nowhere, &[&here]].concat());
        ip(&[&["-n", &self.name, "neigh", "replace", &near][..], &to_nowhere, &[&there]].concat());
    }

    fn mend(&self) {
        let (far, near) = (self.far_from_bus().to_string(), self.bus_side().to_string());
        ip(&["neigh", "del", &far, "dev", &self.here("b")]);
        ip(&["-n", &self.name, "neigh", "del", &near, "dev", &self.there("b")]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The kernel takes a namespace apart when it likes, and its cables with it; the next test has cables of
        // the same names and addresses.
        for cable in ["c", "b"] {
            let _ = Command::new("ip").args(["link", "del", &self.here(cable)]).status();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {why}", arguments.join(" "));
}

#[test]
fn a_gateway_that_is_cut_off_from_the_bus_says_so_and_then_has_everything() {
    for kind in BUSES {
        let network = Network::new();
        let mut bus =
            BusServer::reserve_at(IpAddr::V4(network.bus_side()), kind, Keeps::Everything);
        bus.run();
        let mut scene = Scene::on(bus, Lines::One);
        let ip = IpAddr::V4(network.far_from_clients());
        let place = Target { listen: SocketAddr::new(ip, 9443), admin: SocketAddr::new(ip, 9444) };
        let url = Scene::direct(scene.start_within(&network.name, place));
        let here = scene.seat_at(&url, scene.plan.clients / 3);
        let others = scene.seat(scene.plan.clients * 2 / 3);
        scene.watch();
        network.cut();
        scene.endure();
        until("everybody there to hear that the feed is silent", || {
            here.iter().all(|life| life.tape().sums.silent > 0).then_some(())
        });
        let meanwhile = Outcome::of(&others, Counted::default());
        network.mend();
        let outcome = scene.settle(&here);
        outcome.print("network cut between a gateway and the bus: its clients", scene.bus_name());
        meanwhile.print("network cut: the others' clients", scene.bus_name());
        outcome.assert_whole();
        meanwhile.assert_whole();
        assert_eq!(outcome.sums.losses + meanwhile.sums.losses, 0, "{outcome:?}");
        assert_eq!(meanwhile.sums.silent, 0, "{meanwhile:?}");
        scene.settle(&others).assert_whole();
    }
}
