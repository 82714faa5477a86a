//! A session: one connected state of the bus, from finding its nodes to the first fault of any of them.
//!
//! To each node two connections are made when first needed: one for requests, one for what is subscribed,
//! so that a burst of live entries delays no answer, and the server's limit for subscribers' buffers does
//! not count answers. A session is never repaired: whatever breaks or moves ends it, and the
//! [supervisor](super::supervisor) opens the next one, which reads the slots anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

use crate::backend::BusError;
use crate::redis::dial::Dial;
use crate::redis::live::Live;
use crate::redis::slots::{SlotMap, parse_redirection, slot_of};
use crate::redis::{answer, limits};
use crate::url::{Host, Topology};

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Certainly not executed.
    NotDone(BusError),
    /// Certainly not executed, and soon it might be: the slot moves, or a connection is being made anew.
    NotYet(RedisError),
    /// Executed or not.
    Unknown(BusError),
    /// The server answered with an error.
    Refused(RedisError),
}

/// One node and the connections to it.
struct Node {
    host: Host,
    requests: OnceCell<MultiplexedConnection>,
    live: OnceCell<MultiplexedConnection>,
}

/// The nodes, while all of them answer.
pub(super) struct Session {
    dial: Dial,
    topology: Topology,
    slots: SlotMap,
    nodes: Mutex<Vec<Arc<Node>>>,
    live: Live,
    broken: mpsc::Sender<String>,
}

impl Session {
    /// Finds the bus by one of these hosts. Nothing is subscribed yet. The receiver hears why it ends.
    pub(super) async fn open(
        dial: &Dial,
        topology: Topology,
        hosts: &[Host],
        live: &Live,
    ) -> Result<(Arc<Self>, mpsc::Receiver<String>), RedisError> {
        // One reason is enough.
        let (broken, receiver) = mpsc::channel(1);
        let mut last_error = RedisError::from((ErrorKind::InvalidClientConfig, "no host"));
        for host in hosts {
            let session = Self {
                dial: dial.clone(),
                topology,
                slots: SlotMap::single(host.clone()),
                nodes: Mutex::default(),
                live: live.clone(),
                broken: broken.clone(),
            };
            match session.discover(host).await {
                Ok(session) => return Ok((Arc::new(session), receiver)),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// The nodes that have slots, as this session began.
    pub(super) fn hosts(&self) -> &[Host] {
        self.slots.nodes()
    }

    async fn discover(mut self, host: &Host) -> Result<Self, RedisError> {
        let node = self.node(host);
        let mut connection = self.requests(&node).await?;
        let hello = redis::cmd("HELLO").query_async(&mut connection).await?;
        check_hello(&hello, self.topology)?;
        if self.topology == Topology::Cluster {
            self.slots = self.slots_by(&node).await?;
        }
        Ok(self)
    }

    async fn slots_by(&self, node: &Node) -> Result<SlotMap, RedisError> {
        let mut connection = self.requests(node).await?;
        let mut shape = redis::pipe();
        shape.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
        let (info, slots): (Value, Value) = shape.query_async(&mut connection).await?;
        if !answer::text(&info).is_some_and(|info| info.contains("cluster_state:ok")) {
            return Err((ErrorKind::ClusterConnectionNotFound, "the cluster is down").into());
        }
        SlotMap::parse(&slots, &node.host)
            .ok_or_else(|| (ErrorKind::UnexpectedReturnType, "malformed slots").into())
    }

    /// Asks the node that has the slot, once, and once more where that node sends us.
    pub(super) async fn request(
        &self,
        slot: u16,
        pipeline: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let node = self.node_of(slot).map_err(Failure::NotYet)?;
        let answer = self.ask(&node, pipeline, deadline).await;
        let Err(Failure::Refused(error)) = answer else { return answer };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => {
                let host =
                    error.redirect_node().and_then(|(to, _)| parse_redirection(to, &node.host));
                let Some(host) = host else { return Err(Failure::Refused(error)) };
                let answers = self.ask(&self.node(&host), &asking(pipeline), deadline).await?;
                Ok(answers.into_iter().skip(1).step_by(2).collect())
            }
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ReadOnly) => {
                self.end(format!("{} no longer has slot {slot}", node.host));
                Err(Failure::NotYet(error))
            }
            ErrorKind::Server(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading,
            ) => Err(Failure::NotYet(error)),
            _ => Err(Failure::Refused(error)),
        }
    }

    async fn ask(
        &self,
        node: &Node,
        pipeline: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let connection = tokio::time::timeout_at(deadline, self.requests(node)).await;
        let mut connection = match connection {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                self.end(format!("{}: {error}", node.host));
                return Err(Failure::NotYet(error));
            }
            Err(_) => return Err(Failure::NotDone(BusError::TimedOut)),
        };
        let sent = connection.send_packed_commands(pipeline, 0, pipeline.len());
        let values = match tokio::time::timeout_at(deadline, sent).await {
            Ok(Ok(values)) => values,
            Ok(Err(error)) => {
                self.end(format!("{}: {error}", node.host));
                return Err(Failure::Unknown(BusError::Unreachable(error.into())));
            }
            Err(_) => return Err(Failure::Unknown(BusError::TimedOut)),
        };
        let values: Result<Vec<Value>, RedisError> =
            values.into_iter().map(Value::extract_error).collect();
        values.map_err(Failure::Refused)
    }

    /// Subscribes the channels, or no longer, and returns when it is so.
    pub(super) async fn change(
        &self,
        change: Change,
        channels: &[String],
        timeout: Duration,
    ) -> Result<(), RedisError> {
        let mut by_node: Vec<(Arc<Node>, Vec<&String>)> = Vec::new();
        for channel in channels {
            let node = self.node_of(slot_of(channel))?;
            match by_node.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
                Some((_, channels)) => channels.push(channel),
                None => by_node.push((node, vec![channel])),
            }
        }
        let command = change.command(self.topology);
        let parts = by_node.iter().flat_map(|(node, channels)| {
            channels.chunks(limits::SUBSCRIPTIONS_AT_ONCE).map(move |part| (node, part))
        });
        let all = try_join_all(parts.map(async |(node, part)| {
            let mut connection = self.live(node).await?;
            let mut pipeline = redis::pipe();
            for channel in part {
                // One command each: a command for many is answered many times, which the client
                // library takes for answers to other commands.
                pipeline.cmd(command).arg(channel);
            }
            let answers = connection.send_packed_commands(&pipeline, 0, part.len()).await?;
            answers.into_iter().try_for_each(|answer| answer.extract_error().map(|_| ()))
        }));
        match tokio::time::timeout(timeout, all).await {
            Ok(answers) => answers.map(|_| ()),
            Err(_) => Err((ErrorKind::Io, "no answer in time").into()),
        }
    }

    /// Ends the session, for this reason, if it has not ended.
    pub(super) fn end(&self, reason: String) {
        // Full: there is a reason already.
        let _ = self.broken.try_send(reason);
    }

    /// Returns when the session has ended, and why.
    pub(super) async fn watch(
        &self,
        broken: &mut mpsc::Receiver<String>,
        timeout: Duration,
    ) -> String {
        let mut turns = tokio::time::interval(limits::CHECK_INTERVAL);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = 0_u32;
        loop {
            let check = async {
                turns.tick().await;
                tokio::time::timeout(timeout, self.check(turn)).await
            };
            let reason = tokio::select! {
                biased;
                // We hold a sender ourselves: the channel never closes.
                Some(reason) = broken.recv() => reason,
                checked = check => match checked {
                    Ok(Ok(())) => {
                        turn = turn.wrapping_add(1);
                        continue;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "no answer in time".to_owned(),
                },
            };
            return reason;
        }
    }

    /// Whether every connection answers, and from time to time whether the slots are where they were.
    async fn check(&self, turn: u32) -> Result<(), RedisError> {
        let nodes = lock(&self.nodes).clone();
        let connections = nodes.iter().flat_map(|node| [node.requests.get(), node.live.get()]);
        try_join_all(connections.flatten().map(async |connection| {
            let pong: Result<Value, RedisError> =
                redis::cmd("PING").query_async(&mut connection.clone()).await;
            pong.map(|_| ())
        }))
        .await?;
        if self.topology == Topology::Single || !turn.is_multiple_of(limits::CHECKS_PER_SHAPE) {
            return Ok(());
        }
        try_join_all(nodes.iter().map(async |node| {
            if self.slots_by(node).await?.agrees_with(&self.slots) {
                return Ok(());
            }
            Err((ErrorKind::ClusterConnectionNotFound, "the slots have moved").into())
        }))
        .await
        .map(|_| ())
    }

    fn node_of(&self, slot: u16) -> Result<Arc<Node>, RedisError> {
        let none = || (ErrorKind::ClusterConnectionNotFound, "no node has the slot");
        let place = self.slots.node_of(slot).ok_or_else(none)?;
        Ok(self.node(&self.slots.nodes()[place]))
    }

    fn node(&self, host: &Host) -> Arc<Node> {
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.iter().find(|node| node.host == *host) {
            return Arc::clone(node);
        }
        let node =
            Arc::new(Node { host: host.clone(), requests: OnceCell::new(), live: OnceCell::new() });
        nodes.push(Arc::clone(&node));
        node
    }

    async fn requests(&self, node: &Node) -> Result<MultiplexedConnection, RedisError> {
        let open = || self.dial.open(&node.host, self.live.faults_only(&node.host, &self.broken));
        node.requests.get_or_try_init(open).await.cloned()
    }

    async fn live(&self, node: &Node) -> Result<MultiplexedConnection, RedisError> {
        let open = || self.dial.open(&node.host, self.live.listener(&node.host, &self.broken));
        node.live.get_or_try_init(open).await.cloned()
    }
}

/// A change of what is subscribed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Subscribe,
    Unsubscribe,
}

impl Change {
    const fn command(self, topology: Topology) -> &'static str {
        match (self, topology) {
            (Self::Subscribe, Topology::Single) => "SUBSCRIBE",
            (Self::Subscribe, Topology::Cluster) => "SSUBSCRIBE",
            (Self::Unsubscribe, Topology::Single) => "UNSUBSCRIBE",
            (Self::Unsubscribe, Topology::Cluster) => "SUNSUBSCRIBE",
        }
    }
}

/// The same commands for a node that is still taking the slot over, each with another before it.
fn asking(pipeline: &Pipeline) -> Pipeline {
    let mut asking = redis::pipe();
    for command in pipeline.cmd_iter() {
        asking.cmd("ASKING").add_command(command.clone());
    }
    asking
}

/// Whether this server is what the URL says, and takes writes.
fn check_hello(hello: &Value, topology: Topology) -> Result<(), RedisError> {
    let Value::Map(fields) = hello else {
        return Err((ErrorKind::RESP3NotSupported, "the server does not speak RESP3").into());
    };
    let field = |name: &str| {
        let found = fields.iter().find(|(key, _)| answer::text(key) == Some(name));
        found.and_then(|(_, value)| answer::text(value)).unwrap_or_default()
    };
    let wrong = |what| Err((ErrorKind::InvalidClientConfig, what).into());
    match (topology, field("mode")) {
        (Topology::Single, "cluster") => {
            return wrong("the server is one of a cluster: the bus's URL needs ?topology=cluster");
        }
        (Topology::Cluster, mode) if mode != "cluster" => {
            return wrong("the server is none of a cluster: the bus's URL has ?topology=cluster");
        }
        _ => {}
    }
    if topology == Topology::Single && field("role") == "replica" {
        return wrong("the server is a replica: it takes no writes");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code panics while it holds one of these locks, and what is in them is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
