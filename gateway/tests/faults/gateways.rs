//! Gateways that die, stall, come and go. Their clients come back through the proxy, at another one, and go on by number.

use std::sync::Arc;

use crate::crowd::Life;
use crate::scene::{Lines, Scene, until_ready};
use crate::support::bus_server::{BUSES, Keeps};
use crate::support::process::until;
use crate::table::Outcome;

#[test]
fn a_gateway_that_is_killed_costs_nobody_a_trade() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::One);
        let lives = scene.seat(scene.plan.clients);
        scene.watch();
        let here = scene.gateways[0].metric("tickcast_sessions");
        assert!(here >= 1.0, "the proxy spreads them");
        scene.gateways[0].process.kill();
        let mut dead = scene.gateways.remove(0);
        until("its clients to notice", || {
            let losses: u64 = lives.iter().map(|life| life.tape().sums.losses).sum();
            (losses as f64 >= here).then_some(())
        });
        scene.endure();
        let outcome = scene.settle(&lives);
        outcome.print("kill -9 of a gateway", scene.bus_name());
        outcome.assert_whole();
        assert!(!dead.process.is_running());
    }
}

/// Those whose gateway goes must all find another at once, one that was away itself a moment ago: nginx must not
/// have given that up.
#[test]
fn a_rolling_restart_of_all_gateways_costs_nobody_a_trade() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::One);
        let lives = scene.seat(scene.plan.clients);
        scene.watch();
        for index in 0..scene.gateways.len() {
            assert_eq!(scene.gateways[index].process.terminate(), Some(0), "it drains in time");
            scene.start_again(index);
        }
        let outcome = scene.settle(&lives);
        outcome.print("rolling restart of all gateways", scene.bus_name());
        outcome.assert_whole();
        assert!(outcome.sums.losses >= lives.len() as u64, "everybody had to move: {outcome:?}");
    }
}

/// Clients at the gateways themselves: those at the first one, and the others.
fn seat_apart(scene: &mut Scene) -> (Vec<Arc<Life>>, Vec<Arc<Life>>) {
    let third = scene.plan.clients / 3;
    let urls: Vec<String> = scene.gateways.iter().map(Scene::direct).collect();
    let here = scene.seat_at(&urls[0], third);
    let mut others = scene.seat_at(&urls[1], third);
    others.extend(scene.seat_at(&urls[2], third));
    (here, others)
}

#[test]
fn a_gateway_that_stalls_slows_neither_the_feed_nor_the_others() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::One);
        let (here, others) = seat_apart(&mut scene);
        scene.watch();
        scene.gateways[0].process.stall();
        let before = Outcome::of(&others, crate::table::Counted::default()).sums.trades;
        // By what they have read: on a busy machine clients may still be at what came before.
        until("its clients to have had nothing for so long", || {
            here.iter().all(|life| life.tape().silence() >= scene.plan.outage).then_some(())
        });
        // However slow the machine is: the others go on while it stands still.
        until("the others to get some trades each", || {
            let now = Outcome::of(&others, crate::table::Counted::default());
            (now.sums.trades >= before + 20 * now.clients as u64).then_some(())
        });
        let meanwhile = Outcome::of(&others, crate::table::Counted::default());
        scene.gateways[0].process.go_on();
        let outcome = scene.settle(&here);
        outcome.print("a gateway stalls (SIGSTOP): its clients", scene.bus_name());
        meanwhile.print("a gateway stalls (SIGSTOP): the others' clients", scene.bus_name());
        outcome.assert_whole();
        meanwhile.assert_whole();
        assert!(outcome.silence_max >= scene.plan.outage, "{outcome:?}");
        assert_eq!(meanwhile.sums.losses, 0, "{meanwhile:?}");
        scene.settle(&others).assert_whole();
    }
}

#[test]
fn a_gateway_that_joins_under_load_has_everything_from_its_first_client_on() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::One);
        let (_, others) = seat_apart(&mut scene);
        scene.watch();
        let url = {
            let gateway = scene.start_another();
            until_ready(gateway);
            Scene::direct(gateway)
        };
        let here = scene.seat_at(&url, scene.plan.clients / 3);
        scene.endure();
        let outcome = scene.settle(&here);
        outcome.print("a gateway joins: its clients", scene.bus_name());
        outcome.assert_whole();
        assert_eq!(outcome.sums.losses, 0, "{outcome:?}");
        let meanwhile = scene.settle(&others);
        meanwhile.print("a gateway joins: the others' clients", scene.bus_name());
        meanwhile.assert_whole();
    }
}
