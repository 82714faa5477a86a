//! One file of a recording: lines of a receive time and a frame, of one symbol.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use super::Failure;

/// See the module's header.
pub(super) struct File {
    path: String,
    sink: Sink,
    /// Receive times never go back, though books are asked for beside the stream.
    last_ns: u64,
    frames: u64,
    books: u64,
    book: Book,
}

enum Sink {
    Plain(BufWriter<fs::File>),
    Gzip(GzEncoder<BufWriter<fs::File>>),
}

/// How far the file is with its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Book {
    /// There is no depth event yet that one would be joined with.
    Unneeded,
    /// Depth events begin with this update id; a book is to be asked for.
    Wanted(u64),
    /// It has been asked for.
    Asked(u64),
    /// It is there.
    Written,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    data: Option<Event>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "U")]
    first_update_id: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    msg: String,
}

#[derive(Deserialize)]
struct Snapshot {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
}

/// The symbol of a frame, as its stream's name has it; `None`: it is the answer to a command. An error is
/// what the upstream says to it.
pub(super) fn symbol(text: &[u8]) -> Result<Option<String>, String> {
    // What cannot be read is of no stream that was asked for.
    let Ok(frame) = serde_json::from_slice::<Frame<'_>>(text) else { return Ok(None) };
    if let Some(refusal) = frame.error {
        return Err(refusal.msg);
    }
    let stream = frame.stream.and_then(|stream| stream.split_once('@'));
    Ok(stream.map(|(symbol, _)| symbol.to_owned()))
}

impl File {
    /// A new file: one that exists stays as it is.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = fs::File::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Exists(name.clone()),
            _ => Failure::Write(name.clone(), error),
        })?;
        let file = BufWriter::new(file);
        let is_packed = path.extension().is_some_and(|extension| extension == "gz");
        let sink = if is_packed {
            Sink::Gzip(GzEncoder::new(file, Compression::default()))
        } else {
            Sink::Plain(file)
        };
        let book = Book::Unneeded;
        Ok(Self { path: name, sink, last_ns: 0, frames: 0, books: 0, book })
    }

    /// Writes a frame of the stream.
    pub(super) fn write_frame(&mut self, received_ns: u64, text: &[u8]) -> Result<(), Failure> {
        if self.book == Book::Unneeded
            && let Ok(frame) = serde_json::from_slice::<Frame<'_>>(text)
            && let Some(first) = frame.data.and_then(|event| event.first_update_id)
        {
            self.book = Book::Wanted(first);
        }
        self.frames += 1;
        self.write_line(received_ns, text)
    }

    /// Whether a book is to be asked for now; it is said once.
    pub(super) fn wants_book(&mut self) -> bool {
        let Book::Wanted(first) = self.book else { return false };
        self.book = Book::Asked(first);
        true
    }

    /// Writes a book, if the depth events join on to it; otherwise another is wanted.
    pub(super) fn write_book(&mut self, received_ns: u64, text: &[u8]) -> Result<(), Failure> {
        let Book::Asked(first) = self.book else { return Ok(()) };
        match serde_json::from_slice::<Snapshot>(text) {
            Ok(snapshot) if snapshot.last_update_id + 1 >= first => {
                self.books += 1;
                self.book = Book::Written;
                self.write_line(received_ns, text)
            }
            _ => {
                self.book = Book::Wanted(first);
                Ok(())
            }
        }
    }

    fn write_line(&mut self, received_ns: u64, text: &[u8]) -> Result<(), Failure> {
        self.last_ns = self.last_ns.max(received_ns);
        let text = text.trim_ascii();
        let sink: &mut dyn Write = match &mut self.sink {
            Sink::Plain(sink) => sink,
            Sink::Gzip(sink) => sink,
        };
        let written = write!(sink, "{} ", self.last_ns)
            .and_then(|()| sink.write_all(text))
            .and_then(|()| sink.write_all(b"\n"));
        written.map_err(|error| Failure::Write(self.path.clone(), error))
    }

    /// Completes the file and says what is in it.
    pub(super) fn finish(self) -> Result<String, Failure> {
        let Self { path, sink, frames, books, .. } = self;
        let finished = match sink {
            Sink::Plain(mut sink) => sink.flush(),
            Sink::Gzip(sink) => sink.finish().and_then(|mut sink| sink.flush()),
        };
        finished.map_err(|error| Failure::Write(path.clone(), error))?;
        Ok(format!("{path}: {frames} frames, {books} books"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: &[u8] =
        br#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","U":7,"u":9,"b":[],"a":[]}}"#;

    #[test]
    fn a_file_has_one_book_that_joins_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mut file = File::create(&path).unwrap();
        assert!(!file.wants_book());
        file.write_frame(5, DEPTH).unwrap();
        assert!(file.wants_book() && !file.wants_book());
        file.write_book(6, br#"{"lastUpdateId":5,"bids":[],"asks":[]}"#).unwrap();
        assert!(file.wants_book(), "older than the first event");
        file.write_book(4, b"{\"lastUpdateId\":6,\"bids\":[],\"asks\":[]}\n").unwrap();
        file.write_frame(7, DEPTH).unwrap();
        assert!(!file.wants_book());
        assert!(file.finish().unwrap().ends_with("2 frames, 1 books"));
        let text = fs::read_to_string(&path).unwrap();
        let times: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(times, ["5", "5", "7"]);
        assert!(matches!(File::create(&path), Err(Failure::Exists(_))));
    }

    #[test]
    fn answers_are_no_frames_and_refusals_end_it() {
        assert_eq!(symbol(DEPTH), Ok(Some("btcusdt".to_owned())));
        assert_eq!(symbol(br#"{"result":null,"id":1}"#), Ok(None));
        let refused = br#"{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}"#;
        assert_eq!(symbol(refused), Err("Invalid request: invalid stream".to_owned()));
    }
}
