//! Quotation marks in requests of `/api/v3`, which the exchange takes as they are and RFC 3986 wants encoded.
//!
//! `symbols=["BTCUSDT"]` is how the exchange writes its lists, and what people give to curl. What parses requests
//! refuses it, so that each mark becomes an apostrophe on its way there, which the parameters read likewise. A byte
//! for a byte: requests and bodies begin and end where they would without, for us and for every proxy before us.
//! Only lines that begin with `GET /api/v3/` behind an empty line, or first of all, are touched: not headers, nor bodies and
//! frames, unless a client puts such a line into its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose requests may have bare quotation marks: see the module's header.
pub(super) struct BareQuotes<S> {
    stream: S,
    place: Place,
}

/// Where the next byte is.
#[derive(Clone, Copy)]
enum Place {
    /// Where a request may begin, behind so many bytes of [`BEGIN`].
    Begin(usize),
    /// In the line that began so.
    Line,
    /// Before the empty line that ends a head.
    Head { is_line_empty: bool },
}

const BEGIN: &[u8] = b"GET /api/v3/";

impl<S> BareQuotes<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, place: Place::Begin(0) }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl Place {
    fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *self = self.after(byte);
        }
    }

    fn after(self, byte: &mut u8) -> Self {
        match (self, *byte) {
            // Empty lines before a request are passed over (RFC 9112, section 2.2).
            (Self::Begin(0), b'\r' | b'\n') => Self::Begin(0),
            (Self::Begin(seen), next) if next == BEGIN[seen] => {
                if seen + 1 == BEGIN.len() {
                    Self::Line
                } else {
                    Self::Begin(seen + 1)
                }
            }
            (Self::Line, b'"') => {
                *byte = b'\'';
                Self::Line
            }
            (Self::Line, next) if next != b'\n' => Self::Line,
            (Self::Head { is_line_empty: true }, b'\n') => Self::Begin(0),
            (_, b'\n') => Self::Head { is_line_empty: true },
            (Self::Head { is_line_empty }, b'\r') => Self::Head { is_line_empty },
            _ => Self::Head { is_line_empty: false },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BareQuotes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.place.pass(&mut buffer.filled_mut()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BareQuotes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_requests_are_passed_on_as_apostrophes_however_they_come_and_nothing_else_is() {
        let given = concat!(
            "GET /api/v3/depth?s=[\"A\"] HTTP/1.1\r\nX: \"GET /api/v3/\"\r\n\r\n",
            "\r\nGET /api/v3/trades?\"\" HTTP/1.1\nX: \"\"\n\n",
            "GET /v1/\" HTTP/1.1\r\n\r\n",
            "\u{1}\"GET /api/v3/\"\r\n\r\n",
            "GET /api/v4/\"",
        );
        let expected = concat!(
            "GET /api/v3/depth?s=['A'] HTTP/1.1\r\nX: \"GET /api/v3/\"\r\n\r\n",
            "\r\nGET /api/v3/trades?'' HTTP/1.1\nX: \"\"\n\n",
            "GET /v1/\" HTTP/1.1\r\n\r\n",
            "\u{1}\"GET /api/v3/\"\r\n\r\n",
            "GET /api/v4/\"",
        );
        for piece in 1..given.len() {
            let mut bytes = given.as_bytes().to_vec();
            let mut place = Place::Begin(0);
            bytes.chunks_mut(piece).for_each(|part| place.pass(part));
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{piece}");
        }
    }
}
