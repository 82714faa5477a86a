//! Feeds that die.

use crate::scene::{Lines, Scene};
use crate::support::bus_server::{BUSES, Keeps};
use crate::support::process::{get, until};

/// Two feeds of one market, each with a stream of its own on the bus, merged by every gateway: nobody notices.
#[test]
fn a_feed_that_is_killed_beside_another_is_noticed_by_nobody() {
    for kind in BUSES {
        let mut scene = Scene::start(kind, Keeps::Everything, Lines::Two);
        let lines_live = |scene: &Scene, many: usize| {
            for gateway in &scene.gateways {
                until("the lines to be seen", || {
                    let (_, body) = get(gateway.admin, "/readyz")?;
                    (body.matches("\"live\":true").count() == many).then_some(())
                });
            }
        };
        lines_live(&scene, 2);
        let lives = scene.seat(scene.plan.clients);
        scene.watch();
        scene.feeds[0].kill();
        scene.endure();
        let outcome = scene.settle(&lives);
        outcome.print("kill -9 of a feed, another runs", scene.bus_name());
        outcome.assert_whole();
        assert_eq!((outcome.sums.losses, outcome.sums.silent), (0, 0), "{outcome:?}");
        lines_live(&scene, 1);
    }
}
