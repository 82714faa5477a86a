//! What a ring takes of the machine's memory: read of a process of its own, in which nothing else comes and goes.

#![cfg(not(loom))]

use tickcast_ring::{Ring, Shape};

#[test]
fn images_that_are_small_take_little_memory_however_large_they_may_become() {
    let resident_pages = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let shape = Shape { capacity: 2, images: 1000, image_words: 100_000 };
    let before = resident_pages();
    let (mut publisher, ring) = Ring::heap(shape, 1);
    for slot in 0..1000 {
        publisher.write_image(slot, &[1; 100]).unwrap();
    }
    let mut words = Vec::new();
    assert_eq!(ring.read_image(999, &mut words), Some(0));
    assert_eq!(words, [1; 100]);
    // All of it would be 400,000 pages.
    let taken = resident_pages() - before;
    assert!((1_000..20_000).contains(&taken), "{taken}");
}
