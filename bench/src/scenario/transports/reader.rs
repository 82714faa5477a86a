//! What comes back: answers, streams and frames of one connection, and the quotes in them.

use super::way::Way;
use crate::frame::{self, Last, Opcode, Parsed};
use crate::generator::market::{Item, JsonReader, read_sbe};
use crate::generator::upgrade;

/// What is read of a connection so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    inbox: Vec<u8>,
    /// Of a stream: its head was read, and whether its body comes in chunks.
    stream: Option<Chunks>,
    /// Of a stream in chunks: the body without their lengths.
    body: Vec<u8>,
    pub(super) place: Place,
}

/// Where an answer of long polling stands in its channels.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) last_modified: String,
    pub(super) etag: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunks {
    None,
    Some,
}

/// Why a connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("not an answer of HTTP/1.1: {0}")]
    Answer(String),
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("quotes that cannot be read")]
    Quotes,
    #[error("a frame that cannot be read")]
    Frame,
    #[error("the server closed it")]
    Closed,
}

/// An answer's head.
struct Head {
    status: u16,
    content_length: usize,
    chunks: Chunks,
    last_modified: String,
    etag: String,
    /// Of the head itself.
    bytes: usize,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Finds quotes, and returns how many answers there were.
    pub(super) fn read(
        &mut self,
        way: Way,
        json: &mut JsonReader,
        mut visit: impl FnMut(Item),
    ) -> Result<u32, ReadError> {
        match way {
            _ if way.is_web_socket() => self.read_frames(way, json, visit).map(|()| 0),
            Way::EventStream | Way::NchanEventStream => {
                self.read_events(way, json, visit).map(|()| 0)
            }
            _ => {
                let mut answers = 0;
                while let Some((head, body)) = self.take_answer()? {
                    answers += 1;
                    match head.status {
                        200 if way == Way::Poll => {
                            json.read(last(&body)?, &mut visit).map_err(|_| ReadError::Quotes)?;
                        }
                        200 => {
                            read_sbe(&body, &mut visit).map_err(|_| ReadError::Quotes)?;
                            self.place.last_modified = head.last_modified;
                            self.place.etag = head.etag;
                        }
                        // There is no message yet, or none that is newer.
                        204 | 304 | 404 => {}
                        status => return Err(ReadError::Status(status)),
                    }
                }
                Ok(answers)
            }
        }
    }

    fn take_answer(&mut self) -> Result<Option<(Head, Vec<u8>)>, ReadError> {
        let Some(head) = head(&self.inbox)? else { return Ok(None) };
        let end = head.bytes + head.content_length;
        if self.inbox.len() < end {
            return Ok(None);
        }
        let body = self.inbox[head.bytes..end].to_vec();
        self.inbox.drain(..end);
        Ok(Some((head, body)))
    }

    fn read_frames(
        &mut self,
        way: Way,
        json: &mut JsonReader,
        mut visit: impl FnMut(Item),
    ) -> Result<(), ReadError> {
        if self.stream.is_none() {
            let checked = upgrade::check_response(&self.inbox, way.subprotocol());
            match checked.map_err(|error| ReadError::Answer(error.to_string()))? {
                Some(head) => drop(self.inbox.drain(..head)),
                None => return Ok(()),
            }
            self.stream = Some(Chunks::None);
        }
        let mut at = 0;
        while let Parsed::Frame(frame) =
            frame::parse(&self.inbox[at..]).map_err(|_| ReadError::Frame)?
        {
            let is_whole = frame.last == Last::Yes;
            let read = match frame.opcode {
                Opcode::Binary if is_whole => read_sbe(frame.payload, &mut visit),
                // What is not a list is a reply.
                Opcode::Text if is_whole && frame.payload.starts_with(b"[") => {
                    json.read(frame.payload, &mut visit)
                }
                Opcode::Close => return Err(ReadError::Closed),
                Opcode::Binary | Opcode::Text | Opcode::Continuation if !is_whole => {
                    return Err(ReadError::Frame);
                }
                _ => Ok(()),
            };
            read.map_err(|_| ReadError::Quotes)?;
            at += frame.len;
        }
        self.inbox.drain(..at);
        Ok(())
    }

    fn read_events(
        &mut self,
        way: Way,
        json: &mut JsonReader,
        mut visit: impl FnMut(Item),
    ) -> Result<(), ReadError> {
        if self.stream.is_none() {
            let Some(head) = head(&self.inbox)? else { return Ok(()) };
            if head.status != 200 {
                return Err(ReadError::Status(head.status));
            }
            self.inbox.drain(..head.bytes);
            self.stream = Some(head.chunks);
        }
        if self.stream == Some(Chunks::Some) {
            while let Some((start, length)) = chunk(&self.inbox)? {
                self.body.extend_from_slice(&self.inbox[start..start + length]);
                self.inbox.drain(..start + length + 2);
            }
        } else {
            self.body.append(&mut self.inbox);
        }
        let mut at = 0;
        while let Some(length) = self.body[at..].windows(2).position(|two| two == b"\n\n") {
            let data = data(&self.body[at..at + length]);
            at += length + 2;
            let read = match (way, data.first()) {
                (Way::EventStream, Some(b'[')) => json.read(&data, &mut visit),
                (Way::NchanEventStream, Some(_)) => read_sbe(&data, &mut visit),
                _ => Ok(()),
            };
            read.map_err(|_| ReadError::Quotes)?;
        }
        self.body.drain(..at);
        Ok(())
    }
}

/// An event's data: its lines, joined. nchan cuts a binary quote where a byte happens to be a line's end.
fn data(event: &[u8]) -> Vec<u8> {
    let lines = event.split(|byte| *byte == b'\n');
    let data: Vec<&[u8]> = lines.filter_map(|line| line.strip_prefix(b"data: ")).collect();
    data.join(&b'\n')
}

/// Where the data of the chunk that `bytes` begin with starts, and its length; none while not whole.
fn chunk(bytes: &[u8]) -> Result<Option<(usize, usize)>, ReadError> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let malformed = || ReadError::Answer("a chunk without a length".to_owned());
    let digits = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed())?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| malformed())?;
    if length == 0 {
        return Err(ReadError::Closed);
    }
    Ok((bytes.len() >= end + 2 + length + 2).then_some((end + 2, length)))
}

/// The list of last values in a snapshot.
fn last(body: &[u8]) -> Result<&[u8], ReadError> {
    const BEGIN: &[u8] = b"\"last\":";
    let begin = body.windows(BEGIN.len()).position(|window| window == BEGIN);
    let list = &body[begin.ok_or(ReadError::Quotes)? + BEGIN.len()..];
    let end = list.iter().position(|byte| *byte == b']').ok_or(ReadError::Quotes)?;
    Ok(&list[..=end])
}

fn head(bytes: &[u8]) -> Result<Option<Head>, ReadError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let malformed = || ReadError::Answer(text.lines().next().unwrap_or_default().to_owned());
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let field = |name: &str| {
        let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let content_length = field("content-length").map_or(Ok(0), |length| length.parse());
    Ok(Some(Head {
        status: status.ok_or_else(malformed)?,
        content_length: content_length.map_err(|_| malformed())?,
        chunks: match field("transfer-encoding") {
            Some(_) => Chunks::Some,
            None => Chunks::None,
        },
        last_modified: field("last-modified").unwrap_or_default(),
        etag: field("etag").unwrap_or_default(),
        bytes: end + 4,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote;

    /// Numbers of the quotes in `bytes`, which come in pieces of `piece` bytes; answers; the reader.
    fn read(way: Way, bytes: &[u8], piece: usize) -> (Vec<u64>, u32, Reader) {
        let (mut reader, mut json) = (Reader::default(), JsonReader::default());
        let (mut numbers, mut answers) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            let visit = |item| match item {
                Item::Data { seq, .. } => numbers.push(seq),
                other => panic!("{other:?} was not sent"),
            };
            answers += reader.read(way, &mut json, visit).unwrap();
        }
        (numbers, answers, reader)
    }

    fn quote(seq: u64) -> Vec<u8> {
        let mut quote = quote::template().to_vec();
        // Its time has bytes that end lines.
        quote::patch(&mut quote, u64::from_le_bytes(*b"\n\n\r\n\r\r\n\n"), seq);
        quote
    }

    /// As nchan writes events: each line of a message is one of data.
    fn event(seq: u64) -> Vec<u8> {
        let quote = quote(seq);
        let lines: Vec<Vec<u8>> =
            quote.split(|byte| *byte == b'\n').map(|line| [b"data: ", line].concat()).collect();
        [&b"id: 1795253732:[0],-\n"[..], &lines.join(&b'\n'), b"\n\n"].concat()
    }

    const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";

    #[test]
    fn events_are_found_whatever_the_pieces_they_come_in() {
        let body = [&b": hi\n\n"[..], &event(10), &event(2_570)].concat();
        let plain = [EVENTS, b"\r\n", &body].concat();
        let mut chunked = [EVENTS, b"Transfer-Encoding: chunked\r\n\r\n"].concat();
        for part in body.chunks(50) {
            chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
        for piece in [1, 7, 4096] {
            assert_eq!(read(Way::NchanEventStream, &plain, piece).0, [10, 2_570]);
            assert_eq!(read(Way::NchanEventStream, &chunked, piece).0, [10, 2_570]);
        }
    }

    #[test]
    fn an_answer_says_where_to_go_on() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\
                     Last-Modified: Sat, 21 Nov 2026 09:35:32 GMT\r\nEtag: [2],-\r\n\r\n";
        let unchanged = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n";
        let all = [&unchanged[..], head, &quote(8), unchanged].concat();
        for piece in [1, 4096] {
            let (numbers, answers, reader) = read(Way::NchanLongPoll, &all, piece);
            assert_eq!((numbers.as_slice(), answers), (&[8][..], 3));
            assert_eq!(reader.place.etag, "[2],-");
            assert_eq!(reader.place.last_modified, "Sat, 21 Nov 2026 09:35:32 GMT");
        }
    }

    #[test]
    fn of_a_snapshot_the_last_values_count() {
        let body = r#"{"epoch":"7","s":"S3","last":[{"e":"quote","s":"S3","seq":"5","ts":"9"}]}"#;
        let all = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(read(Way::Poll, all.as_bytes(), 11).0, [5]);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (mut reader, mut json) = (Reader::default(), JsonReader::default());
        reader.push(b"HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0\r\n\r\n");
        let read = reader.read(Way::NchanEventStream, &mut json, |_| {});
        assert_eq!(read, Err(ReadError::Status(406)));
    }
}
