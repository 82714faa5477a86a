//! The driver: the task that owns the connection, makes the next when it is lost, subscribes again
//! and resumes.
//!
//! It ends when the client is dropped, or when it has said why there will be no more events. Events
//! wait in a bounded queue; while that is full nothing is read, and the server sees a slow client.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::backoff::Backoff;
use crate::decode::Decoder;
use crate::endpoint::Endpoint;
use crate::error::{CommandError, ConnectError, Ended, LostReason};
use crate::event::{Connected, Disconnected, Event, Refused, Revoked};
use crate::link::{Link, Received};
use crate::options::{Options, bearer};
use crate::position::Position;
use crate::publish::{Draft, auth, publish};
use crate::repeats::Repeats;
use crate::reply::{Hello, Reply};
use crate::retries::{Retries, Verdict};
use crate::subscription::{
    Listing, Registry, Subscribed, Subscription, TopicResult, bare, patterns, unsubscribe,
};

/// A connection that lasted this long was a good one: the next outage begins with short pauses.
const GOOD_AFTER: Duration = Duration::from_secs(10);

type ReplyTo = oneshot::Sender<Result<Answer, CommandError>>;
type Batches = mpsc::Sender<Result<Vec<Event>, Ended>>;

/// A command of the client's.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) reply: ReplyTo,
}

#[derive(Debug)]
pub(crate) enum Action {
    Subscribe(Subscription),
    Unsubscribe(Vec<String>),
    List,
    Ping,
    Publish(Vec<Draft>),
    Auth(String),
}

#[derive(Debug)]
pub(crate) enum Answer {
    Topics(Subscribed),
    List(Vec<Listing>),
    Pong,
}

/// Why a connection is not served any more.
enum Stop {
    ClientGone,
    Lost(LostReason),
}

impl From<LostReason> for Stop {
    fn from(reason: LostReason) -> Self {
        Self::Lost(reason)
    }
}

/// What outlives a connection.
pub(crate) struct Driver {
    endpoint: Endpoint,
    options: Options,
    commands: mpsc::Receiver<Request>,
    batches: Batches,
    registry: Registry,
    position: Position,
    repeats: Repeats,
    last_id: u64,
    reconnects: u64,
}

/// What does not.
struct Session {
    link: Link,
    decoder: Decoder,
    pending: HashMap<u64, Pending>,
    /// Subscriptions to be made when the gateway has a feed: until then it knows no instrument.
    waiting: Vec<Subscription>,
    /// Topics that were refused for the moment.
    retries: Retries,
    topics_max: usize,
    silence_max: Duration,
    heard: Instant,
}

/// A command whose answer is awaited.
enum Pending {
    Client(Action, ReplyTo),
    /// Our own, after a reconnect.
    Again(Subscription),
}

impl Driver {
    /// Connects, and goes on in a task of its own.
    pub(crate) async fn start(
        endpoint: Endpoint,
        options: Options,
        commands: mpsc::Receiver<Request>,
        batches: Batches,
    ) -> Result<(), ConnectError> {
        let (registry, position) = (Registry::default(), Position::default());
        let driver = Self {
            endpoint,
            options,
            commands,
            batches,
            registry,
            position,
            repeats: Repeats::default(),
            last_id: 0,
            reconnects: 0,
        };
        let (link, hello) = driver.open().await?;
        tokio::spawn(driver.run(link, hello));
        Ok(())
    }

    async fn open(&self) -> Result<(Link, Hello), ConnectError> {
        let open = Link::open(&self.endpoint);
        timeout(self.options.connect_timeout, open).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn run(mut self, mut link: Link, mut hello: Hello) {
        let mut backoff = Backoff::new(self.options.reconnect);
        loop {
            let since = Instant::now();
            let Err(Stop::Lost(reason)) = self.serve(link, &hello).await else { return };
            if since.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let again = tokio::select! {
                again = self.reconnect(reason, &mut backoff) => again,
                // Nobody waits for another connection.
                () = self.batches.closed() => return,
            };
            match again {
                Ok(next) => (link, hello) = next,
                Err(ended) => {
                    let _ = self.batches.send(Err(ended)).await;
                    return;
                }
            }
            self.reconnects += 1;
        }
    }

    async fn reconnect(
        &self,
        reason: LostReason,
        backoff: &mut Backoff,
    ) -> Result<(Link, Hello), Ended> {
        let pause = if reason.is_retriable() { backoff.pause() } else { None };
        let Some(mut pause) = pause else { return Err(Ended::Lost(reason)) };
        let lost = Event::Disconnected(Disconnected { reason, retry_in: pause });
        let _ = self.batches.send(Ok(vec![lost])).await;
        loop {
            sleep(pause).await;
            match self.open().await {
                Ok(next) => return Ok(next),
                Err(error) => match backoff.pause().filter(|_| error.is_retriable()) {
                    Some(next) => pause = next,
                    None => return Err(Ended::Reconnect(Arc::new(error))),
                },
            }
        }
    }

    /// Serves one connection until it is lost or the client is gone.
    async fn serve(&mut self, link: Link, hello: &Hello) -> Result<(), Stop> {
        let heartbeat = Duration::from_millis(hello.heartbeat_ms.max(1));
        let mut session = Session {
            link,
            decoder: Decoder::default(),
            pending: HashMap::new(),
            waiting: Vec::new(),
            retries: Retries::default(),
            topics_max: hello.limits.topics_per_command,
            silence_max: self.options.silence_max.unwrap_or(heartbeat * 2),
            heard: Instant::now(),
        };
        let outcome = self.exchange(&mut session, hello).await;
        for (_, pending) in session.pending.drain() {
            if let Pending::Client(_, reply) = pending {
                let _ = reply.send(Err(CommandError::Disconnected));
            }
        }
        if matches!(outcome, Err(Stop::ClientGone)) {
            session.link.close().await;
        }
        outcome
    }

    async fn exchange(&mut self, session: &mut Session, hello: &Hello) -> Result<(), Stop> {
        // Asked for before the position enters another epoch: the server announces what that means.
        let again = self.registry.commands(&self.position, hello.limits.topics_per_command);
        let (epoch, reconnects) = (hello.epoch, self.reconnects);
        self.deliver(vec![Event::Connected(Connected { epoch, reconnects })]).await?;
        session.heard = Instant::now();
        if epoch == 0 {
            session.waiting = again;
        } else {
            self.subscribe_again(session, again).await?;
        }
        loop {
            let retry = session.retries.due();
            tokio::select! {
                () = sleep_until(retry.unwrap_or(session.heard)), if retry.is_some() => {
                    self.retry(session).await?;
                }
                received = session.link.next() => self.handle(session, received?).await?,
                request = self.commands.recv() => {
                    let request = request.ok_or(Stop::ClientGone)?;
                    self.ask(session, request).await?;
                }
                () = sleep_until(session.heard + session.silence_max) => {
                    return Err(LostReason::Silent.into());
                }
            }
        }
    }

    async fn ask(&mut self, session: &mut Session, request: Request) -> Result<(), Stop> {
        let Request { action, reply } = request;
        if reply.is_closed() {
            // Nobody waits for it any more.
            return Ok(());
        }
        self.last_id += 1;
        let id = self.last_id;
        let text = match &action {
            Action::Subscribe(subscription) => subscription.command(id),
            Action::Unsubscribe(topics) => unsubscribe(id, topics),
            Action::List => bare("list", id),
            Action::Ping => bare("ping", id),
            Action::Publish(ticks) => publish(id, ticks),
            Action::Auth(token) => auth(id, token),
        };
        session.pending.insert(id, Pending::Client(action, reply));
        Ok(session.link.send(text).await?)
    }

    async fn subscribe_again(
        &mut self,
        session: &mut Session,
        subscriptions: Vec<Subscription>,
    ) -> Result<(), Stop> {
        for subscription in subscriptions {
            self.last_id += 1;
            session.link.send(subscription.command(self.last_id)).await?;
            session.pending.insert(self.last_id, Pending::Again(subscription));
        }
        Ok(())
    }

    async fn handle(&mut self, session: &mut Session, received: Received) -> Result<(), Stop> {
        match received {
            Received::Binary(bytes) => {
                let mut events = Vec::new();
                let decoded = session.decoder.decode(&bytes, &mut events);
                let has_feed = events
                    .iter()
                    .any(|event| matches!(event, Event::FeedStatus { epoch, .. } if *epoch != 0));
                self.deliver(events).await?;
                decoded.map_err(|violation| LostReason::Protocol(violation.text()))?;
                if has_feed {
                    let waiting = std::mem::take(&mut session.waiting);
                    self.subscribe_again(session, waiting).await?;
                }
            }
            Received::Text(text) => {
                let Ok(reply) = serde_json::from_slice(&text) else {
                    return Err(LostReason::Protocol("a reply that cannot be read").into());
                };
                self.answer(session, reply).await?;
            }
            Received::Ping(payload) => session.link.pong(payload).await?,
            Received::Pong => {}
        }
        // Time spent waiting for the client does not count as the server's silence.
        session.heard = Instant::now();
        Ok(())
    }

    /// Hands events to the client, after a gap where the server could not know of one.
    async fn deliver(&mut self, events: Vec<Event>) -> Result<(), Stop> {
        let mut batch = Vec::with_capacity(events.len());
        for event in events {
            let Some(event) = self.repeats.news(event) else { continue };
            if let Some(gap) = self.position.skipped(&event) {
                batch.push(Event::Gap(gap));
            }
            self.position.note(&event);
            batch.push(event);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.batches.send(Ok(batch)).await.map_err(|_| Stop::ClientGone)
    }

    async fn answer(&mut self, session: &mut Session, reply: Reply) -> Result<(), Stop> {
        let (id, answer) = match reply {
            Reply::Ack { id, results } => {
                let results = results.into_iter().map(TopicResult::from).collect();
                (id, Ok(Answer::Topics(Subscribed { results })))
            }
            Reply::List { id, topics } => {
                (id, Ok(Answer::List(topics.into_iter().map(Listing::from).collect())))
            }
            Reply::Pong { id } => (id, Ok(Answer::Pong)),
            Reply::Error { id, fault } => (id, Err(CommandError::Refused(fault.into()))),
            Reply::Expiring { in_ms } => {
                let within = Duration::from_millis(in_ms);
                return self.deliver(vec![Event::Expiring { within }]).await;
            }
            Reply::Revoked { topics, narrowed, more } => {
                self.position.forget(&patterns(&topics));
                topics.iter().for_each(|topic| self.registry.remove(topic));
                let revoked = Revoked { topics, narrowed, more };
                return self.deliver(vec![Event::Revoked(revoked)]).await;
            }
            Reply::Hello(_) | Reply::Unknown => return Ok(()),
        };
        match id.and_then(|id| session.pending.remove(&id)) {
            Some(Pending::Client(action, reply)) => {
                if let Ok(Answer::Topics(topics)) = &answer {
                    self.note(&action, topics);
                }
                let _ = reply.send(answer);
                Ok(())
            }
            Some(Pending::Again(subscription)) => {
                self.note_again(session, subscription, answer).await
            }
            None => Ok(()),
        }
    }

    /// Keeps what the server took of the client's command.
    fn note(&mut self, action: &Action, answer: &Subscribed) {
        let accepted = answer.accepted();
        match action {
            Action::Subscribe(subscription) => {
                if let Some(position) = &subscription.resume {
                    self.position.adopt(position, &patterns(&accepted));
                }
                for topic in accepted {
                    self.registry.insert(topic, subscription.terms);
                }
            }
            Action::Unsubscribe(_) => {
                self.position.forget(&patterns(&accepted));
                accepted.iter().for_each(|topic| self.registry.remove(topic));
            }
            // The connections that follow show it at once.
            Action::Auth(token) => self.endpoint.credential = bearer(token),
            Action::List | Action::Ping | Action::Publish(_) => {}
        }
    }

    /// Looks after what the server did not take again.
    async fn note_again(
        &mut self,
        session: &mut Session,
        subscription: Subscription,
        answer: Result<Answer, CommandError>,
    ) -> Result<(), Stop> {
        let results = match answer {
            Ok(Answer::Topics(Subscribed { results })) => results,
            Err(CommandError::Refused(refusal)) => {
                let all = subscription.topics.iter().cloned();
                all.map(|topic| TopicResult { topic, outcome: Err(refusal.clone()) }).collect()
            }
            _ => return Ok(()),
        };
        let (mut anew, mut refused) = (Vec::new(), Vec::new());
        for TopicResult { topic, outcome } in results {
            let Err(refusal) = outcome else {
                session.retries.forget(&topic);
                continue;
            };
            match session.retries.note(&topic, &refusal) {
                Verdict::Later => {}
                Verdict::Anew => anew.push(topic),
                Verdict::Refused => {
                    self.registry.remove(&topic);
                    refused.push(Event::Refused(Refused { topic, refusal }));
                }
            }
        }
        if !anew.is_empty() {
            // How far it has come is not forgotten: what comes again is passed over, and what was
            // skipped is announced.
            self.repeats.expect(&self.position, &anew);
            let subscription =
                Subscription { topics: anew, terms: subscription.terms, resume: None };
            self.subscribe_again(session, vec![subscription]).await?;
        }
        self.deliver(refused).await
    }

    /// Asks again for what was refused for the moment, unless nobody wants it any more.
    async fn retry(&mut self, session: &mut Session) -> Result<(), Stop> {
        let topics = session.retries.take();
        let wanted = |topic: &str| topics.contains(topic);
        let again = self.registry.commands_of(wanted, &self.position, session.topics_max);
        self.subscribe_again(session, again).await
    }
}
