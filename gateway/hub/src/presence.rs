//! Presence: instruments whose data comes into the stream and goes out of it, as a source's interest has
//! it.
//!
//! While an instrument is not in the stream, nothing is said of its present state, for nobody knows it:
//! who asks for it waits. Entries that come meanwhile are its past. They go to the log and to those who
//! go on after a number. Then the source says that it is attached; its recovery image, as of that
//! place in the ring, completes what the past did not bring, and whoever waited is looked at again.

use wire::{Channel, Presence, Tick};

use crate::hub::Hub;
use crate::log::NOWHERE;

impl Hub {
    /// The instrument whose recovery image is to be given to [`Hub::handle_image`] before the next
    /// record, if there is one. To be asked after each record.
    #[inline]
    pub fn next_image(&mut self) -> Option<u32> {
        self.intake.image_wanted.take()
    }

    pub(crate) fn handle_presence(&mut self, tick: &Tick) {
        let presence = tick.presence();
        self.set_presence(tick.instrument, presence);
        if presence == Presence::Attached {
            self.intake.image_wanted = Some(tick.instrument);
        }
    }

    pub(crate) fn set_presence(&mut self, instrument: u32, presence: Presence) {
        let Some(slot) = self.market.instruments.by_id(instrument) else { return };
        if self.market.instruments.set_presence(slot, presence) == presence {
            return;
        }
        match presence {
            Presence::Detached => {
                self.counters.detaches += 1;
                if let Some(book) = &mut self.market.instruments.get_mut(slot).book {
                    book.doubt();
                }
            }
            Presence::Attached => {
                self.counters.attaches += 1;
                for channel in Channel::all() {
                    if let Some(topic) = self.market.instruments.get(slot).topic(channel) {
                        self.rouse(topic);
                    }
                }
            }
        }
    }

    /// Forgets the numbers of a topic of which the log has nothing any more, so that its past may be
    /// appended once more. `false`: it is in the stream, or the log has entries of it, which are to stay
    /// in order.
    pub(crate) fn forget(&mut self, topic: u32) -> bool {
        let known = self.market.topics.get_mut(topic);
        let is_past = known.tail == NOWHERE
            && known.channel.partial_levels().is_none()
            && !self.market.instruments.get(known.slot).is_attached();
        if is_past {
            known.head_seq = 0;
        }
        is_past
    }
}
