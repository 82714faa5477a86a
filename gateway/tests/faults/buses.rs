//! Buses that are killed and started again, with what they kept or without, and buses that stall.

use crate::scene::{Lines, Scene};
use crate::support::bus_server::{BUSES, BusKind, Keeps};
use crate::table::Outcome;

fn restart(kind: BusKind, keeps: Keeps) -> Outcome {
    let mut scene = Scene::start(kind, keeps, Lines::One);
    let lives = scene.seat(scene.plan.clients);
    scene.watch();
    scene.bus.kill();
    scene.endure();
    scene.bus.run();
    let outcome = scene.settle(&lives);
    outcome.print("kill -9 of the bus, started again", scene.bus_name());
    assert!(scene.feeds[0].is_running(), "{}", scene.feeds[0].log());
    assert_eq!(outcome.sums.losses, 0, "clients stay where they are: {outcome:?}");
    outcome
}

#[test]
fn a_bus_that_keeps_everything_may_be_killed() {
    for kind in BUSES {
        restart(kind, Keeps::Everything).assert_whole();
    }
}

/// What was acknowledged and not yet read by everybody is gone; whoever missed it is told.
#[test]
fn a_bus_that_forgets_may_be_killed_and_what_that_cost_is_said() {
    for kind in BUSES {
        let outcome = restart(kind, Keeps::Nothing);
        outcome.assert_honest();
        assert_eq!(outcome.sums.resets, 0, "numbers go on: {outcome:?}");
    }
}

#[test]
fn a_bus_that_stalls_costs_time_and_nothing_else() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::One);
        let lives = scene.seat(scene.plan.clients);
        scene.watch();
        scene.bus.stall();
        scene.endure();
        scene.bus.go_on();
        let outcome = scene.settle(&lives);
        outcome.print("the bus stalls (SIGSTOP)", scene.bus_name());
        outcome.assert_whole();
        assert_eq!(outcome.sums.losses, 0, "{outcome:?}");
    }
}
