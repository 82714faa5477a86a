//! A source's rings as somebody sees them who is no shard: which is the newest, and the images with which an
//! epoch in it begins. For those who read what a source brings before shards do.

use ring::Ring;
use wire::InstrumentImage;

use super::status::FeedStatus;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// How many rings the source had attached when the last one was taken.
    attaches: u64,
    /// How many images there were that may not have been all.
    images_seen: usize,
}

impl Roll {
    /// The ring that the source has attached since the last that was taken, and the images of its epoch, as soon as
    /// they are there.
    pub(super) fn newer(&mut self, status: &FeedStatus) -> Option<(Ring, Vec<InstrumentImage>)> {
        let (attaches, ring) = status.attached_ring();
        if attaches == self.attaches {
            return None;
        }
        let ring = ring?;
        let images = self.images(&ring, None)?;
        self.attaches = attaches;
        Some((ring, images))
    }

    /// The images of all instruments of this epoch, or of whichever the ring is in, as soon as they are there.
    pub(super) fn images(
        &mut self,
        ring: &Ring,
        epoch: Option<u64>,
    ) -> Option<Vec<InstrumentImage>> {
        let images = images(ring, epoch)?;
        // A feed that has just begun may not have written all of them.
        if images.len() < ring.images() && images.len() != self.images_seen {
            self.images_seen = images.len();
            return None;
        }
        self.images_seen = 0;
        Some(images)
    }
}

/// The images of a ring that are of one epoch: this one, or that of the first. None: there is none.
pub(super) fn images(ring: &Ring, epoch: Option<u64>) -> Option<Vec<InstrumentImage>> {
    let mut words = Vec::new();
    let mut images = Vec::<InstrumentImage>::new();
    for slot in 0..ring.images() {
        let Some(_) = ring.read_image(slot, &mut words) else { break };
        let Ok(image) = InstrumentImage::decode(&words) else { break };
        let wanted = epoch.or(images.first().map(|first| first.epoch)).unwrap_or(image.epoch);
        if image.epoch != wanted || image.definition.id as usize != slot {
            break;
        }
        images.push(image);
    }
    if images.is_empty() { None } else { Some(images) }
}
