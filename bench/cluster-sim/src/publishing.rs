//! Clients that publish through a gateway: the real sequencers, one for each bucket of theirs.

use std::collections::BTreeMap;

use bus::sequencer::{Appended, Now, PublishError, Request, Sequencer, Terms};
use bus::{Catalog, Slice, StoredImage};
use wire::Tick;

use crate::feed::{EPOCH, trade};

/// As the gateway's own.
const TERMS: Terms = Terms {
    batch_ticks: 256,
    patience_ns: 5_000_000_000,
    attempts_max: 64,
    image_batches: 256,
    image_delay_ns: 1_000_000_000,
    pause_ns: 50_000_000,
};

/// What became of what was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) uncertain: u64,
}

/// What the bus said.
pub(crate) enum Said {
    Images(Vec<StoredImage>),
    Read(Slice),
    Appended(Appended),
    Stored,
    Failed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Publisher {
    sequencers: BTreeMap<u32, Sequencer>,
    /// What each ticket offered: instrument, and the id that its trade has.
    offered: BTreeMap<u64, (u32, u64)>,
    tickets: u64,
    writer: u64,
    pub(crate) settled: Settled,
    /// Ticks that were acknowledged: instrument, id, number.
    pub(crate) acknowledged: Vec<(u32, u64, u64)>,
}

impl Publisher {
    pub(crate) fn new(writer: u64, catalog: &Catalog, first: u32, count: u32) -> Self {
        let mut by_bucket: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for instrument in
            catalog.instruments().iter().filter(|it| (first..first + count).contains(&it.id))
        {
            by_bucket.entry(catalog.bucket_of(instrument.id)).or_default().push(*instrument);
        }
        let sequencers = by_bucket.into_iter().map(|(bucket, instruments)| {
            (bucket, Sequencer::new(TERMS, writer, 1, EPOCH, instruments))
        });
        Self {
            sequencers: sequencers.collect(),
            offered: BTreeMap::new(),
            tickets: 0,
            writer,
            settled: Settled::default(),
            acknowledged: Vec::new(),
        }
    }

    /// A client offers a trade.
    pub(crate) fn offer(&mut self, bucket: u32, instrument: u32, now: Now) {
        self.tickets += 1;
        let id = (self.writer << 32) | self.tickets;
        self.offered.insert(self.tickets, (instrument, id));
        let ticks: Vec<Tick> = vec![trade(instrument, now.unix_ns, id)];
        self.sequencers.get_mut(&bucket).expect("clients' bucket").offer(self.tickets, ticks, now);
    }

    /// What is to be asked now, by bucket.
    pub(crate) fn poll(&mut self, now: Now) -> Vec<(u32, Vec<u32>, Request)> {
        let mut requests = Vec::new();
        for (bucket, sequencer) in &mut self.sequencers {
            if let Some(request) = sequencer.poll(now) {
                let ids = sequencer.instruments().iter().map(|it| it.id).collect();
                requests.push((*bucket, ids, request));
            }
            while let Some((ticket, numbers)) = sequencer.settled() {
                let (instrument, id) = self.offered.remove(&ticket).expect("it was offered once");
                match numbers {
                    Ok(numbers) => {
                        self.settled.taken += 1;
                        self.acknowledged.push((instrument, id, numbers[0]));
                    }
                    Err(PublishError::Uncertain) => self.settled.uncertain += 1,
                    Err(_) => self.settled.refused += 1,
                }
            }
        }
        requests
    }

    pub(crate) fn hear(&mut self, bucket: u32, said: Said, now: Now) {
        let sequencer = self.sequencers.get_mut(&bucket).expect("it asked");
        match said {
            Said::Images(images) => sequencer.handle_images(&images),
            Said::Read(slice) => sequencer.handle_read(&slice, now),
            Said::Appended(appended) => sequencer.handle_appended(appended, now),
            Said::Stored => sequencer.handle_stored(),
            Said::Failed => sequencer.handle_failed(now),
        }
    }

    /// When to poll again at latest.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.sequencers.values().filter_map(Sequencer::deadline_ns).min()
    }

    /// Whether nothing offered waits for its answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.offered.is_empty()
    }
}
