//! Bad ways between clients and the gateway: everything is slow, in pieces, late or in another order, and
//! nothing is missing.

use std::time::Duration;

use cable::{Cable, Shape};

use crate::bystanders::Bystanders;
use crate::gateway;

const MS: u64 = 1_000_000;

/// Subscribers over a way of this shape miss nothing.
fn nothing_is_missing(shape: Shape, many: usize) {
    let gateway = gateway(&["--rate", "400"]);
    let cable = Cable::shaped(gateway.listen, shape).unwrap();
    let far = Bystanders::at(cable.address, many);
    let near = Bystanders::at(gateway.listen, 1);
    std::thread::sleep(Duration::from_secs(1));
    far.noticed_nothing();
    near.noticed_nothing();
}

#[test]
fn byte_by_byte() {
    nothing_is_missing(Shape { piece_bytes: 1, ..Shape::default() }, 2);
}

#[test]
fn in_pieces_that_fit_no_frame() {
    nothing_is_missing(Shape { piece_bytes: 7, delay_ns: 3 * MS, ..Shape::default() }, 4);
}

#[test]
fn far_away_on_a_narrow_way() {
    let narrow = Shape { delay_ns: 60 * MS, rate: Some(400_000.0), ..Shape::default() };
    nothing_is_missing(Shape { window_bytes: 64 << 10, queue_bytes: 16 << 10, ..narrow }, 3);
}

#[test]
fn in_another_order_than_they_came() {
    nothing_is_missing(Shape { spread_ns: 500 * MS, ..Shape::default() }, 12);
}

#[test]
fn stalled_for_a_while_again_and_again() {
    let gateway = gateway(&["--rate", "4000"]);
    let cable = Cable::to(gateway.listen);
    let far = Bystanders::at(cable.address, 4);
    for _ in 0..5 {
        cable.stall();
        std::thread::sleep(Duration::from_millis(300));
        cable.go_on();
        far.catch_up();
    }
    far.noticed_nothing();
}
