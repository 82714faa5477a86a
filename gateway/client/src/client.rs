//! The client: the user's side of the channels to the [driver](crate::driver).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::driver::{Action, Answer, Driver, Request};
use crate::endpoint::Endpoint;
use crate::error::{CommandError, ConnectError, Ended, LostReason};
use crate::event::Event;
use crate::options::Options;
use crate::position::Position;
use crate::publish::Draft;
use crate::subscription::{Listing, Subscribed, Subscription, TopicResult, patterns};

/// Commands in flight; a client has one task that gives them.
const COMMANDS: usize = 4;

/// A connection that keeps itself alive. Dropping it closes the connection.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::Sender<Request>,
    batches: mpsc::Receiver<Result<Vec<Event>, Ended>>,
    /// Taken from `batches`, not yet from here.
    events: VecDeque<Event>,
    ended: Option<Ended>,
    position: Position,
    command_timeout: Duration,
}

impl Client {
    /// Connects to `ws://HOST:PORT/v1/stream` or `wss://…` and waits for the server's hello.
    ///
    /// # Errors
    /// If this first attempt fails. Later ones are repeated as the options say.
    pub async fn connect(url: &str, options: Options) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::parse(url, &options)?;
        let command_timeout = options.command_timeout;
        let (to_driver, commands) = mpsc::channel(COMMANDS);
        let (to_client, batches) = mpsc::channel(options.queue);
        Driver::start(endpoint, options, commands, to_client).await?;
        Ok(Self {
            commands: to_driver,
            batches,
            events: VecDeque::new(),
            ended: None,
            position: Position::default(),
            command_timeout,
        })
    }

    /// The next event. Cancel-safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// If there will be no more events; then always.
    pub async fn next(&mut self) -> Result<Event, Ended> {
        while self.events.is_empty() {
            self.receive().await?;
        }
        match self.events.pop_front() {
            Some(event) => {
                self.position.note(&event);
                Ok(event)
            }
            None => Err(Ended::Lost(LostReason::Broken(std::io::ErrorKind::BrokenPipe))),
        }
    }

    /// The next event if it has arrived already: to take together what came together. An end is told by
    /// [`Self::next`] only.
    pub fn ready(&mut self) -> Option<Event> {
        if self.events.is_empty()
            && let Ok(Ok(batch)) = self.peek()
        {
            self.events.extend(batch);
        }
        let event = self.events.pop_front()?;
        self.position.note(&event);
        Some(event)
    }

    /// How far [`Self::next`] has come: store it to resume in another process.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// Subscribes, or changes the terms of topics that are subscribed. One bad topic does not void
    /// the others: look at the results.
    ///
    /// # Errors
    /// If the command as a whole was refused, or its answer did not come.
    pub async fn subscribe(
        &mut self,
        subscription: Subscription,
    ) -> Result<Subscribed, CommandError> {
        let resume = subscription.resume.clone();
        match self.command(Action::Subscribe(subscription)).await? {
            Answer::Topics(topics) => {
                // Who stores the position again before anything has come goes on from where this one did.
                if let Some(resume) = resume {
                    self.position.begin_behind(&resume, &patterns(&topics.accepted()));
                }
                Ok(topics)
            }
            _ => Err(CommandError::Ended),
        }
    }

    /// Unsubscribes topics.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn unsubscribe<T: Into<String>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Subscribed, CommandError> {
        let topics = topics.into_iter().map(Into::into).collect();
        match self.command(Action::Unsubscribe(topics)).await? {
            Answer::Topics(topics) => Ok(topics),
            _ => Err(CommandError::Ended),
        }
    }

    /// What the server has subscribed for this connection.
    ///
    /// # Errors
    /// If the answer did not come.
    pub async fn list(&mut self) -> Result<Vec<Listing>, CommandError> {
        match self.command(Action::List).await? {
            Answer::List(listings) => Ok(listings),
            _ => Err(CommandError::Ended),
        }
    }

    /// How long the server takes to answer, its queue for this client included.
    ///
    /// # Errors
    /// If the answer did not come.
    pub async fn ping(&mut self) -> Result<Duration, CommandError> {
        let sent = Instant::now();
        self.command(Action::Ping).await.map(|_| sent.elapsed())
    }

    /// Publishes ticks and waits until the bus has them: the outcome of each is its number, or why it has none,
    /// in their order. If no answer comes ([`CommandError::Disconnected`], [`CommandError::Timeout`]) they may
    /// have been published or not.
    ///
    /// # Errors
    /// If the command as a whole was refused, or its answer did not come.
    pub async fn publish(
        &mut self,
        ticks: impl IntoIterator<Item = Draft>,
    ) -> Result<Vec<TopicResult>, CommandError> {
        let ticks = ticks.into_iter().collect();
        match self.command(Action::Publish(ticks)).await? {
            Answer::Topics(topics) => Ok(topics.results),
            _ => Err(CommandError::Ended),
        }
    }

    /// Shows a credential, on this connection and on those that follow if it is lost. If it has expired by then, the
    /// client ends with the server's 401.
    ///
    /// # Errors
    /// If it was refused, or the answer did not come.
    pub async fn auth(&mut self, token: impl Into<String>) -> Result<(), CommandError> {
        self.command(Action::Auth(token.into())).await.map(|_| ())
    }

    /// Gives a command and waits for its answer, keeping the events that arrive meanwhile: a full
    /// queue would hold up the answer for ever.
    async fn command(&mut self, action: Action) -> Result<Answer, CommandError> {
        let (reply, mut answer) = oneshot::channel();
        let (commands, timeout) = (self.commands.clone(), self.command_timeout);
        let exchange = async {
            let mut is_sent = false;
            let mut send = std::pin::pin!(commands.send(Request { action, reply }));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => return answer.unwrap_or(Err(CommandError::Ended)),
                    sent = &mut send, if !is_sent => {
                        is_sent = sent.is_ok();
                        if !is_sent {
                            return Err(CommandError::Ended);
                        }
                    }
                    received = self.receive() => if received.is_err() {
                        return Err(CommandError::Ended);
                    },
                }
            }
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(CommandError::Timeout))
    }

    /// A batch that is there already; an end is kept for who asks next.
    fn peek(&mut self) -> Result<Result<Vec<Event>, Ended>, mpsc::error::TryRecvError> {
        let received = self.batches.try_recv()?;
        if let Err(ended) = &received {
            self.ended = Some(ended.clone());
        }
        Ok(received)
    }

    /// Takes one batch from the driver. Cancel-safe.
    async fn receive(&mut self) -> Result<(), Ended> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        match self.batches.recv().await {
            Some(Ok(batch)) => {
                self.events.extend(batch);
                Ok(())
            }
            Some(Err(ended)) => {
                self.ended = Some(ended.clone());
                Err(ended)
            }
            None => Err(Ended::Lost(LostReason::Broken(std::io::ErrorKind::BrokenPipe))),
        }
    }
}
