//! A plain reader of event streams (the HTML standard, section 9.2.6) that hands out events as they
//! came, and knows the last id as a browser does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an event may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its name; empty: `message`.
    pub name: String,
    /// Its data.
    pub data: String,
    /// Its own id, if it has one.
    pub id: Option<String>,
    /// How long to wait before coming back, if it says, ms.
    pub retry_ms: Option<u32>,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(StreamEvent),
    /// A comment.
    Comment(String),
    /// The stream ended.
    End,
}

/// One stream.
pub struct EventSource {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// The head of the answer.
    pub head: String,
    /// The id to come back with.
    pub last_event_id: Option<String>,
}

impl EventSource {
    /// Asks for a stream.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn open(address: SocketAddr, query: &str, last_event_id: Option<&str>) -> Self {
        let resume = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n"));
        let mut source = Self::open_with(address, query, &resume.unwrap_or_default());
        source.last_event_id = source.last_event_id.or_else(|| last_event_id.map(str::to_owned));
        source
    }

    /// The same with these lines in the request's head.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn open_with(address: SocketAddr, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a connected socket");
        write!(stream, "GET /v1/sse?{query} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
            .expect("the gateway reads");
        let (inbox, head, last_event_id) = (Vec::new(), String::new(), None);
        let mut source = Self { stream, inbox, head, last_event_id };
        source.head = source.take_until(b"\r\n\r\n").expect("the gateway answers");
        source
    }

    /// Asks for a stream and reads up to and with its ack.
    ///
    /// # Panics
    /// If it does not begin so.
    #[must_use]
    pub fn stream(address: SocketAddr, query: &str, last_event_id: Option<&str>) -> (Self, Value) {
        let mut source = Self::open(address, query, last_event_id);
        assert!(source.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", source.head);
        assert!(source.head.contains("content-type: text/event-stream\r\n"), "{}", source.head);
        assert_eq!(source.event().name, "hello");
        let ack = source.event();
        assert_eq!(ack.name, "ack");
        (source, serde_json::from_str(&ack.data).expect("an ack is JSON"))
    }

    /// What comes next.
    ///
    /// # Panics
    /// If it is not as the standard has it, or nothing comes.
    pub fn next(&mut self) -> Heard {
        let Some(block) = self.take_until(b"\n\n") else { return Heard::End };
        if let Some(comment) = block.strip_prefix(':') {
            return Heard::Comment(comment.trim().to_owned());
        }
        let mut event = StreamEvent::default();
        for line in block.lines() {
            let (field, value) = line.split_once(": ").expect("a field and its value");
            match field {
                "event" => value.clone_into(&mut event.name),
                "data" => event.data.push_str(value),
                "id" => event.id = Some(value.to_owned()),
                "retry" => event.retry_ms = Some(value.parse().expect("digits")),
                _ => panic!("unknown field: {line}"),
            }
        }
        if event.id.is_some() {
            self.last_event_id.clone_from(&event.id);
        }
        Heard::Event(event)
    }

    /// The next event; comments are passed over.
    ///
    /// # Panics
    /// If the stream ends instead.
    pub fn event(&mut self) -> StreamEvent {
        loop {
            match self.next() {
                Heard::Event(event) => return event,
                Heard::Comment(_) => {}
                Heard::End => panic!("the stream ended"),
            }
        }
    }

    /// The next data, which are events of the native protocol.
    ///
    /// # Panics
    /// If something else comes.
    pub fn data(&mut self) -> Vec<Value> {
        let event = self.event();
        assert_eq!(event.name, "", "{event:?}");
        serde_json::from_str(&event.data).expect("an array")
    }

    /// What is left of the answer.
    pub fn body(mut self) -> String {
        let _ = self.stream.read_to_end(&mut self.inbox);
        String::from_utf8_lossy(&self.inbox).into_owned()
    }

    /// Everything before `end`, which is taken too; `None`: the connection ended before.
    fn take_until(&mut self, end: &[u8]) -> Option<String> {
        let mut from = 0;
        loop {
            let found = self.inbox[from..].windows(end.len()).position(|window| window == end);
            if let Some(at) = found.map(|at| from + at) {
                let text = String::from_utf8(self.inbox[..at].to_vec()).expect("UTF-8");
                self.inbox.drain(..at + end.len());
                return Some(text + "\r\n");
            }
            from = self.inbox.len().saturating_sub(end.len());
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(bytes) => self.inbox.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came for {PATIENCE:?}: {error}"),
            }
        }
    }
}
