//! Recovery images, as shards read them from a ring and nodes from a bus.

use wire::InstrumentImage;

pub fn run(bytes: &[u8]) {
    let words: Vec<u64> = super::words(bytes).collect();
    let Ok(image) = InstrumentImage::decode(&words) else { return };
    let mut again = Vec::new();
    image.encode(&mut again);
    assert_eq!(InstrumentImage::decode(&again).as_ref(), Ok(&image));
}
