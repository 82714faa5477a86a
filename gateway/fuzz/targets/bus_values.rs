//! What nodes read from a bus: batches, catalogs, images. What can be read can be written and read again.

use bus::{Batch, Catalog, StoredImage};

pub fn run(bytes: &[u8]) {
    let _ = Batch::decode_origin(bytes);
    if let Ok(batch) = Batch::decode(bytes) {
        assert_eq!(Batch::decode(&batch.encode()).as_ref(), Ok(&batch));
    }
    if let Ok(catalog) = Catalog::decode(bytes) {
        let again = catalog.encode().expect("it was read");
        assert_eq!(Catalog::decode(&again).as_ref().ok(), Some(&catalog));
    }
    if let Ok(image) = StoredImage::decode(bytes) {
        assert!(StoredImage::decode(&image.encode()).is_ok());
    }
}
