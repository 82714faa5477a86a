//! One connection to the upstream: what is asked for on it, and what comes.
//!
//! Topics are named one by one, never by wildcard: only then does the answer say at which number each
//! stands, and only then can all of them be resumed, however many they are.

use std::collections::HashMap;

use client::{
    Channel, Client, CommandError, ErrorCode, Event, Position, SnapshotPolicy, Subscribed,
    Subscription, Symbol,
};
use tokio::time::{Duration, MissedTickBehavior, interval, sleep};
use wire::command::TOPICS_PER_COMMAND_MAX;
use wire::{FeedState, Pattern};

use super::fetching::Fetching;
use super::{Edge, End, LOOK_EVERY};
use crate::clock::{monotonic_ns, saturating_ns};
use crate::config::BusInterest;

/// Events relayed at once: what has come together, but not so many that shards wait for them.
const BATCH_MAX: usize = 4096;

/// How long the source waits for shards that are far behind. Beyond, they are lapped, as with any feed.
const SHARDS_WAIT_MAX: Duration = Duration::from_millis(500);

/// How often shards that are far behind are asked where they are.
const ASK_EVERY: Duration = Duration::from_millis(2);

impl From<CommandError> for End {
    fn from(error: CommandError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Edge {
    /// Serves a connection until its end.
    pub(super) async fn serve(&mut self, client: &mut Client) -> End {
        match self.exchange(client).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn exchange(&mut self, client: &mut Client) -> Result<std::convert::Infallible, End> {
        self.resume(client).await?;
        self.want(client).await?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let table = std::sync::Arc::clone(&self.table);
        let mut read_to = 0;
        loop {
            tokio::select! {
                event = client.next() => {
                    let event = event.map_err(|ended| End::Lost(ended.to_string()))?;
                    self.relay(client, event)?;
                    self.wait_for_shards(&mut read_to).await;
                }
                () = table.changed() => self.want(client).await?,
                _ = looks.tick() => {
                    self.look_at_time();
                    self.leave(client).await?;
                    if let Some(stream) = &mut self.stream {
                        stream.flush();
                    }
                }
            }
        }
    }

    /// Relays an event and those that have come with it.
    fn relay(&mut self, client: &mut Client, first: Event) -> Result<(), End> {
        let mut next = Some(first);
        let mut left = BATCH_MAX;
        while let Some(event) = next {
            self.position.note(&event);
            let stream = self.stream.as_mut().expect("begun before a connection is served");
            if let Event::FeedStatus { epoch, .. } | Event::Heartbeat { epoch, .. } = event
                && epoch != stream.epoch()
            {
                stream.flush();
                return Err(End::Epoch);
            }
            if let Some(state) = stream.enter(&event) {
                stream.flush();
                // Ours has restarted when our ring says so.
                self.watch.tell(if state == FeedState::Restarted {
                    FeedState::Live
                } else {
                    state
                });
            }
            left -= 1;
            next = if left > 0 { client.ready() } else { None };
        }
        if let Some(stream) = &mut self.stream {
            stream.flush();
        }
        Ok(())
    }

    /// Subscribes again to what an earlier connection had, behind what came last.
    async fn resume(&mut self, client: &mut Client) -> Result<(), End> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.restart_fetching();
        let topics: Vec<(u32, Channel)> = stream
            .present()
            .into_iter()
            .flat_map(|id| stream.channels(id).map(move |channel| (id, channel)))
            .collect();
        for chunk in topics.chunks(TOPICS_PER_COMMAND_MAX) {
            let names = self.names(chunk);
            let subscription = Subscription::new(names).resume(self.position.clone());
            let answer = self.meanwhile(client.subscribe(subscription)).await?;
            // The upstream's past is another: what it has now is the beginning.
            let is_ahead = |code| code == Some(ErrorCode::ResumeAhead);
            let refused = answer.refused().filter(|(_, refusal)| is_ahead(refusal.code));
            let anew: Vec<String> = refused.map(|(topic, _)| topic.to_owned()).collect();
            if !anew.is_empty() {
                tracing::warn!(upstream = %self.url, topics = anew.len(), "numbers were given twice");
                self.meanwhile(client.subscribe(Subscription::new(anew))).await?;
            }
        }
        Ok(())
    }

    /// Asks for what is wanted and was not asked for.
    async fn want(&mut self, client: &mut Client) -> Result<(), End> {
        // Taken, so that the next change is noticed.
        self.table.take_changed(|_, _| {});
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let wanted = match self.config.bus_interest {
            BusInterest::All => stream.absent(),
            BusInterest::Clients => stream.wanted(&self.table, monotonic_ns()),
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let epoch = stream.epoch();
        let mut fetching: HashMap<u32, Fetching> =
            wanted.iter().map(|id| (*id, Fetching::new(monotonic_ns()))).collect();
        let all =
            wanted.iter().flat_map(|id| stream.channels(*id).map(move |channel| (*id, channel)));
        let (trades, others): (Vec<_>, Vec<_>) =
            all.partition(|(_, channel)| *channel == Channel::Trade);
        for chunk in others.chunks(TOPICS_PER_COMMAND_MAX) {
            let subscription = Subscription::new(self.names(chunk));
            let answer = self.meanwhile(client.subscribe(subscription)).await?;
            self.note(&answer, chunk, &mut fetching);
        }
        for chunk in trades.chunks(TOPICS_PER_COMMAND_MAX) {
            let names = self.names(chunk);
            let probe = Subscription::new(names.clone()).snapshot(SnapshotPolicy::Skip);
            let answer = self.meanwhile(client.subscribe(probe)).await?;
            self.note(&answer, chunk, &mut fetching);
            self.meanwhile(client.unsubscribe(names.clone())).await?;
            let first = Position::new(epoch, chunk.iter().map(|topic| (self.topic(*topic), 0)));
            self.meanwhile(client.subscribe(Subscription::new(names).resume(first))).await?;
        }
        tracing::debug!(upstream = %self.url, instruments = wanted.len(), "asked for");
        let stream = self.stream.as_mut().expect("looked at above");
        for (id, fetching) in fetching {
            stream.asked(id, fetching);
        }
        Ok(())
    }

    /// Notes at which number each topic stands.
    fn note(
        &self,
        answer: &Subscribed,
        asked: &[(u32, Channel)],
        fetching: &mut HashMap<u32, Fetching>,
    ) {
        for (result, (id, channel)) in answer.results.iter().zip(asked) {
            match (&result.outcome, fetching.get_mut(id)) {
                (Ok(newest), Some(fetching)) => fetching.expect(*channel, newest.unwrap_or(0)),
                (Err(refusal), _) => {
                    tracing::error!(upstream = %self.url, topic = result.topic, %refusal, "not to be had");
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// Lets go what nobody wants any more.
    async fn leave(&mut self, client: &mut Client) -> Result<(), End> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if self.config.bus_interest == BusInterest::All {
            return Ok(());
        }
        let gone = stream.let_go(saturating_ns(self.config.bus_linger), monotonic_ns());
        let topics: Vec<(u32, Channel)> = gone
            .into_iter()
            .flat_map(|id| stream.channels(id).map(move |channel| (id, channel)))
            .collect();
        for chunk in topics.chunks(TOPICS_PER_COMMAND_MAX) {
            let names = self.names(chunk);
            self.meanwhile(client.unsubscribe(names)).await?;
        }
        Ok(())
    }

    fn topic(&self, (id, channel): (u32, Channel)) -> (Symbol, Channel) {
        let stream = self.stream.as_ref().expect("topics are of the stream");
        (stream.instrument(id).symbol, channel)
    }

    fn names(&self, topics: &[(u32, Channel)]) -> Vec<String> {
        let name = |topic: &(u32, Channel)| {
            let (symbol, channel) = self.topic(*topic);
            Pattern::One(symbol, channel).to_string()
        };
        topics.iter().map(name).collect()
    }

    /// Waits while a shard is further behind than a quarter of the ring, for a while: the past of an
    /// instrument comes faster than any feed.
    async fn wait_for_shards(&mut self, read_to: &mut u64) {
        let Some(stream) = &self.stream else { return };
        let (head, far) = (stream.position(), self.config.ring_capacity / 4);
        if head.saturating_sub(*read_to) < far {
            return;
        }
        let deadline = tokio::time::Instant::now() + SHARDS_WAIT_MAX;
        loop {
            let reports = self.fleet.report(0).await;
            let lag = reports.iter().filter_map(|report| report.ring).map(|ring| ring.lag).max();
            if lag.unwrap_or(0) < far || tokio::time::Instant::now() >= deadline {
                *read_to = head;
                return;
            }
            sleep(ASK_EVERY).await;
        }
    }
}
