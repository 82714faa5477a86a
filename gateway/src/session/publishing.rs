//! What sessions publish: who may, how much, and the answers that come later.
//!
//! Only sessions that publish have anything here: their tokens, and what of theirs is on its way to the bus. A
//! session that ends takes it along; answers that come for it then are dropped.

use std::collections::HashMap;
use std::sync::Arc;

use hub::Hub;
use wire::command::{CommandId, Publish};
use wire::reply::{self, AckWriter, ErrorCode};

use super::bucket::{Allowance, Bucket, Verdict};
use super::sessions::{Sessions, to_ms};
use super::{Fin, Opcode, append};
use crate::clock::realtime_ns;
use crate::publish::{Directory, Entitlement, PublishPort, PublishSettings, Right, Settlement};
use crate::shard::counters::Counter;
use crate::shard::limits::OUTBOUND_BYTES_MAX;

/// All publishers of a shard, by slot.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    by_slot: HashMap<u32, Publisher>,
    last_ticket: u64,
    directory: Option<Arc<Directory>>,
    port: Option<PublishPort>,
}

/// One session that publishes.
#[derive(Debug)]
struct Publisher {
    bucket: Bucket,
    /// Ticks that wait for their answer.
    in_flight: usize,
    waiting: HashMap<u64, Waiting>,
}

/// A publication without its answer.
#[derive(Debug)]
struct Waiting {
    id: Option<CommandId>,
    results: Vec<TickResult>,
    /// How many of them wait for the bus.
    submitted: usize,
}

/// What became of one tick.
#[derive(Debug)]
struct TickResult {
    topic: String,
    /// `None`: it is on its way.
    refused: Option<(ErrorCode, String)>,
}

impl Publishers {
    /// A session is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
    }

    fn publisher(&mut self, slot: u32, settings: &PublishSettings, now_ms: u32) -> &mut Publisher {
        self.by_slot.entry(slot).or_insert_with(|| Publisher {
            bucket: Bucket::full(allowance(settings), now_ms),
            in_flight: 0,
            waiting: HashMap::new(),
        })
    }
}

const fn allowance(settings: &PublishSettings) -> Allowance {
    Allowance::of_rate(settings.ticks_per_second)
}

impl Sessions {
    /// Where ticks to be published go.
    pub(crate) fn set_publish_port(&mut self, port: PublishPort) {
        self.publishers.port = Some(port);
    }

    /// What can be published from now on.
    pub(crate) fn use_directory(&mut self, directory: Arc<Directory>) {
        self.publishers.directory = Some(directory);
    }

    /// Checks what a client wants published and hands it on. The answer is written at once where it is known
    /// at once, and by [`Sessions::settle`] otherwise.
    pub(super) fn publish(&mut self, slot: u32, publish: &Publish, now_ns: u64) {
        let count = publish.ticks.len();
        self.tally.counters.add(Counter::PublishTicks, count);
        if let Err((code, msg)) = self.admit(slot, publish, now_ns) {
            self.tally.counters.add(Counter::PublishRefused, count);
            if matches!(code, ErrorCode::Busy) {
                self.tally.counters.count(Counter::PublishBusy);
            }
            reply::error(&mut self.reply, publish.id.as_ref(), code, msg);
        }
    }

    fn admit(
        &mut self,
        slot: u32,
        publish: &Publish,
        now_ns: u64,
    ) -> Result<(), (ErrorCode, String)> {
        let settings = &self.settings.publish;
        let now_ms = to_ms(now_ns);
        let count = publish.ticks.len();
        let token = self.table.token(slot);
        let grant = self.badges.grant(slot).cloned();
        let right = match (settings.entitlement, &grant) {
            (Entitlement::Anyone, _) => Some(Right::Anything),
            (Entitlement::Granted, Some(grant)) if grant.publishes() => Some(Right::Granted(grant)),
            _ => None,
        };
        let Some(right) = right else {
            let msg = "publish: this connection is not entitled to it";
            return Err((ErrorCode::NotEntitled, msg.to_owned()));
        };
        let publisher = self.publishers.publisher(slot, settings, now_ms);
        let cost = u32::try_from(count).unwrap_or(u32::MAX);
        if publisher.bucket.try_take(allowance(settings), cost, now_ms) != Verdict::Accepted {
            let rate = settings.ticks_per_second;
            let msg = format!("publish: at most {rate} ticks a second");
            return Err((ErrorCode::TooFast, msg));
        }
        let in_flight_max = settings.in_flight_max;
        if publisher.in_flight + count > in_flight_max {
            let msg = format!("publish: at most {in_flight_max} ticks without an answer");
            return Err((ErrorCode::Busy, msg));
        }
        let (Some(directory), Some(port), Some(token)) =
            (&self.publishers.directory, &self.publishers.port, token)
        else {
            let msg = "publish: the bus has not said yet what can be published";
            return Err((ErrorCode::Unavailable, msg.to_owned()));
        };
        if publish.epoch.is_some_and(|epoch| epoch != directory.epoch()) {
            let epoch = directory.epoch();
            let msg = format!("epoch: the present one is {epoch}; ids of another mean nothing");
            return Err((ErrorCode::BadField, msg));
        }
        let (mut results, mut ticks) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let ts_ns = realtime_ns();
        for draft in &publish.ticks {
            results.push(match draft {
                Err(bad) => TickResult {
                    topic: bad.topic.as_str().to_owned(),
                    refused: Some((bad.error.code(), bad.error.to_string())),
                },
                Ok(draft) => {
                    let refused = match directory.tick(draft, right, ts_ns) {
                        Ok(tick) => {
                            ticks.push(tick);
                            None
                        }
                        Err(error) => Some((error.code(), error.to_string())),
                    };
                    TickResult { topic: directory.name(draft, right), refused }
                }
            });
        }
        let submitted = ticks.len();
        self.publishers.last_ticket += 1;
        let ticket = self.publishers.last_ticket;
        if submitted > 0
            && port.submit(self.shard, token, ticket, directory.epoch(), ticks).is_err()
        {
            let msg = "publish: too much waits for the bus";
            return Err((ErrorCode::Busy, msg.to_owned()));
        }
        self.tally.counters.add(Counter::PublishRefused, count - submitted);
        let waiting = Waiting { id: publish.id, results, submitted };
        if submitted == 0 {
            write_ack(&mut self.reply, &waiting, &[]);
            return Ok(());
        }
        if let Some(publisher) = self.publishers.by_slot.get_mut(&slot) {
            publisher.in_flight += submitted;
            publisher.waiting.insert(ticket, waiting);
        }
        if let Some(session) = self.table.get_mut(slot) {
            // Publishing has a rate of its own, and who publishes is not idle, subscribed or not.
            session.bucket.give_back();
            session.subscribed_ms = now_ms;
        }
        Ok(())
    }

    /// The bus has answered: so is the client, if it is still there.
    pub(crate) fn settle(&mut self, settlement: &Settlement, hub: &mut Hub, now_ns: u64) {
        let slot = settlement.token.slot;
        let is_there = self.table.is_current(settlement.token);
        let publisher = self.publishers.by_slot.get_mut(&slot).filter(|_| is_there);
        let waiting = publisher.and_then(|publisher| {
            let waiting = publisher.waiting.remove(&settlement.ticket)?;
            publisher.in_flight -= waiting.submitted;
            Some(waiting)
        });
        let accepted = settlement.numbers.iter().filter(|number| number.is_ok()).count();
        self.tally.counters.add(Counter::PublishAccepted, accepted);
        self.tally.counters.add(Counter::PublishFailed, settlement.numbers.len() - accepted);
        let Some(waiting) = waiting else {
            self.tally.counters.count(Counter::PublishUnheard);
            return;
        };
        self.reply.clear();
        write_ack(&mut self.reply, &waiting, &settlement.numbers);
        self.replies.clear();
        append(&mut self.replies, Opcode::Text, Fin::Last, &self.reply);
        self.push_replies(slot, hub, now_ns);
        let Some(session) = self.table.get_mut(slot) else { return };
        if session.outbound.pending().len() > OUTBOUND_BYTES_MAX && !session.is_unread {
            // It does not take its answers: what it sends waits in its socket.
            session.is_unread = true;
            self.tally.counters.count(Counter::ReadsPaused);
        }
    }
}

fn write_ack(out: &mut Vec<u8>, waiting: &Waiting, numbers: &[Result<u64, bus::PublishError>]) {
    let mut numbers = numbers.iter();
    let mut ack = AckWriter::new(out, waiting.id.as_ref());
    for result in &waiting.results {
        match &result.refused {
            Some((code, msg)) => ack.refused(&result.topic, *code, msg),
            None => match numbers.next() {
                Some(Ok(number)) => ack.accepted(&result.topic, Some(*number)),
                Some(Err(error)) => ack.refused(&result.topic, code_of(*error), error),
                // Every tick that was submitted has an answer.
                None => ack.refused(&result.topic, ErrorCode::Uncertain, "no answer"),
            },
        }
    }
    ack.finish();
}

const fn code_of(error: bus::PublishError) -> ErrorCode {
    match error {
        bus::PublishError::Uncertain => ErrorCode::Uncertain,
        _ => ErrorCode::Unavailable,
    }
}
