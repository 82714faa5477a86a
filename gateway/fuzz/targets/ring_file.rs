//! A ring in a file that another process wrote, or that is none: two bytes for each place that is damaged, one
//! for what stands there then.

use std::io::{Seek, SeekFrom, Write};

use ring::{Ring, Shape, Start};

pub fn run(bytes: &[u8]) {
    let path = super::file("ring", &[]);
    std::fs::remove_file(&path).expect("it was made");
    let shape = Shape { capacity: 64, images: 2, image_words: 64 };
    let Ok((mut publisher, _ring)) = Ring::create(&path, shape, 7) else { return };
    for word in 0..100 {
        publisher.publish(&[word; ring::RECORD_WORDS]);
    }
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("it was made");
    for damage in bytes.chunks_exact(3) {
        let place = u16::from_le_bytes([damage[0], damage[1]]);
        file.seek(SeekFrom::Start(place.into())).expect("a file has places");
        file.write_all(&damage[2..]).expect("there is room for 64 KiB");
    }
    let Ok(ring) = Ring::open(&path) else { return };
    let mut records = Vec::new();
    let mut reader = ring.reader(Start::Oldest);
    for _ in 0..4 {
        let _ = reader.read(&mut records, 32);
    }
    let mut words = Vec::new();
    for slot in 0..ring.images() {
        let _ = ring.read_image(slot, &mut words);
    }
    let _ = ring.state();
}
