//! The PROXY protocol's header, versions 1 and 2, in front of everything else on a connection, TLS
//! included.
//!
//! After <https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>. Only bytes of the header are
//! taken from the socket, in however many pieces they come, so that what follows finds the socket as if
//! there had been none. What the bytes mean is read by the `ppp` crate; this knows how long they are.
//! The caller limits the time, and has made sure that the peer may send one at all.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest line of version 1, its end included (section 2.1).
const LINE_BYTES_MAX: usize = 107;

/// The bytes of version 2 before its addresses, which say how many follow.
const FIXED_BYTES: usize = 16;

/// The most bytes of version 2: the longest addresses are 216, the rest is for TLVs, of which a client's
/// certificate name is the longest in use. Kept until the header is complete.
const BINARY_BYTES_MAX: usize = 2048;

/// Why a connection has no usable header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("it does not begin with a PROXY header")]
    Missing,
    #[error("its PROXY header is longer than any that is needed")]
    TooLong,
    #[error("its PROXY header is malformed")]
    Malformed,
    #[error("it ended within its PROXY header: {0}")]
    Ended(#[from] io::Error),
}

/// Takes the header from the socket. `None`: the proxy speaks for itself, as for health checks, or does
/// not know the client.
pub(super) async fn take(socket: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        let taken = header.len();
        match missing(&header)? {
            Missing::Nothing => return meaning(&header),
            Missing::Bytes(bytes) => {
                header.resize(taken + bytes, 0);
                socket.read_exact(&mut header[taken..]).await?;
            }
            Missing::RestOfLine => {
                let mut ahead = [0; LINE_BYTES_MAX];
                let seen = socket.peek(&mut ahead[..LINE_BYTES_MAX - taken]).await?;
                let end = ahead[..seen].iter().position(|byte| *byte == b'\n');
                let ours = end.map_or(seen, |at| at + 1);
                if ours == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                header.resize(taken + ours, 0);
                socket.read_exact(&mut header[taken..]).await?;
            }
        }
    }
}

/// What a header lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Nothing,
    /// At least so many bytes.
    Bytes(usize),
    /// Bytes up to the end of a line.
    RestOfLine,
}

/// What is missing of a header that begins so.
pub(crate) fn missing(header: &[u8]) -> Result<Missing, ProxyHeaderError> {
    let (text, binary) = (v1::PROTOCOL_PREFIX.as_bytes(), v2::PROTOCOL_PREFIX);
    if header.starts_with(binary) {
        let Some(length) = header.get(FIXED_BYTES - 2..FIXED_BYTES) else {
            return Ok(Missing::Bytes(FIXED_BYTES - header.len()));
        };
        let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([length[0], length[1]]));
        return match whole - header.len() {
            _ if whole > BINARY_BYTES_MAX => Err(ProxyHeaderError::TooLong),
            0 => Ok(Missing::Nothing),
            rest => Ok(Missing::Bytes(rest)),
        };
    }
    if header.starts_with(text) {
        return match header.last() {
            Some(b'\n') => Ok(Missing::Nothing),
            _ if header.len() >= LINE_BYTES_MAX => Err(ProxyHeaderError::TooLong),
            _ => Ok(Missing::RestOfLine),
        };
    }
    // As many as decide which of the two it is, and fewer than either has.
    if text.starts_with(header) || binary.starts_with(header) {
        let decides = if header.is_empty() { text.len() } else { binary.len() };
        return Ok(Missing::Bytes(decides - header.len()));
    }
    Err(ProxyHeaderError::Missing)
}

/// The client that a complete header names.
pub(crate) fn meaning(header: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(parsed)) => match parsed.addresses {
            v1::Addresses::Unknown => Ok(None),
            // Numbers are digits (section 2.1); Rust's parser would let a plus sign pass.
            _ if header.contains(&b'+') => Err(ProxyHeaderError::Malformed),
            v1::Addresses::Tcp4(ip) => Ok(Some((ip.source_address, ip.source_port).into())),
            v1::Addresses::Tcp6(ip) => Ok(Some((ip.source_address, ip.source_port).into())),
        },
        HeaderResult::V2(Ok(parsed)) => match (parsed.command, parsed.protocol, parsed.addresses) {
            (v2::Command::Local, ..) => Ok(None),
            // Nobody relays datagrams over TCP.
            (_, v2::Protocol::Datagram, _) => Err(ProxyHeaderError::Malformed),
            (.., v2::Addresses::IPv4(ip)) => Ok(Some((ip.source_address, ip.source_port).into())),
            (.., v2::Addresses::IPv6(ip)) => Ok(Some((ip.source_address, ip.source_port).into())),
            (.., v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => Ok(None),
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(ProxyHeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const BINARY: [u8; 28] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0x00,
        0x0C, 192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x01, 0xBB,
    ];

    fn client(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    /// Sends a header in pieces, and something behind it; gives what was read, and what was left.
    fn taken(
        header: &[u8],
        piece: usize,
    ) -> (Result<Option<SocketAddr>, ProxyHeaderError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            sender.set_nodelay(true).unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            let whole = [header, b"GET /"].concat();
            let sending = async {
                for part in whole.chunks(piece) {
                    // Whoever refuses a header need not read the rest.
                    if sender.write_all(part).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let _ = sender.shutdown().await;
            };
            let reading = async {
                let taken = take(&mut socket).await;
                let mut rest = Vec::new();
                let _ = socket.read_to_end(&mut rest).await;
                (taken, rest)
            };
            tokio::join!(sending, reading).1
        })
    }

    #[test]
    fn both_versions_are_read_in_any_pieces_and_nothing_behind_them_is_touched() {
        let six = b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 443\r\n";
        let cases: [(&[u8], Option<SocketAddr>); 5] = [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\r\n", client("192.0.2.1:12345")),
            (six, client("[2001:db8::1]:65535")),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN whatever this is\r\n", None),
            (&BINARY, client("192.0.2.1:12345")),
        ];
        for (header, expected) in cases {
            for piece in [1, 2, 5, 13, 16, 17, 1000] {
                let (found, rest) = taken(header, piece);
                assert_eq!(found.unwrap(), expected, "{header:?} in pieces of {piece}");
                assert_eq!(rest, b"GET /", "{header:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_a_proxy_says_for_itself_names_no_client_and_extensions_are_passed_over() {
        let mut local = BINARY;
        local[12] = 0x20;
        assert_eq!(taken(&local, 100).0.unwrap(), None);

        // A TLV of 300 bytes behind the addresses.
        let mut long = BINARY.to_vec();
        long[14..16].copy_from_slice(&(12u16 + 303).to_be_bytes());
        long.extend([0x02, 0x01, 0x2C]);
        long.extend([b'x'; 300]);
        let (found, rest) = taken(&long, 100);
        assert_eq!((found.unwrap(), rest.as_slice()), (client("192.0.2.1:12345"), &b"GET /"[..]));

        let mut unix = BINARY.to_vec();
        unix[13..16].copy_from_slice(&[0x31, 0, 216]);
        unix.resize(16 + 216, b'/');
        assert_eq!(taken(&unix, 1000).0.unwrap(), None);
    }

    #[test]
    fn malformed_headers_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut header = BINARY;
            header[at] = byte;
            header.to_vec()
        };
        let malformed: [Vec<u8>; 10] = [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 192.0.2.2 12345 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +12345 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 012345 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 2001:db8::2 12345 443\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 192.0.2.2 12345 443\r\n".to_vec(),
            with(12, 0x11),
            with(12, 0x22),
            with(13, 0x12),
            with(15, 0x0B),
        ];
        for header in malformed {
            let found = taken(&header, 100).0;
            assert!(matches!(found, Err(ProxyHeaderError::Malformed)), "{header:?}: {found:?}");
        }
        let endless = [b"PROXY ", [b'A'; 200].as_slice()].concat();
        for long in [endless, with(14, 0x20)] {
            let found = taken(&long, 100).0;
            assert!(matches!(found, Err(ProxyHeaderError::TooLong)), "{long:?}: {found:?}");
        }
        for other in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01 a TLS record", b"PROXZ TCP4 1.2"]
        {
            let found = taken(other, 100).0;
            assert!(matches!(found, Err(ProxyHeaderError::Missing)), "{other:?}: {found:?}");
        }
        assert!(matches!(missing(b"PROXY TCP4 1"), Ok(Missing::RestOfLine)));
    }

    proptest! {
        /// Whatever comes, there is a verdict within the bounds, and nothing is awaited without end.
        #[test]
        fn bytes_of_any_kind_come_to_a_verdict(
            begin in prop_oneof![Just(&b""[..]), Just(&BINARY[..12]), Just(&b"PROXY "[..])],
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let header = [begin, &rest].concat();
            let mut have = 0;
            loop {
                match missing(&header[..have]) {
                    Ok(Missing::Nothing) => {
                        let _ = meaning(&header[..have]);
                        break;
                    }
                    Ok(Missing::Bytes(bytes)) => {
                        prop_assert!(bytes > 0 && have + bytes <= BINARY_BYTES_MAX);
                        have += bytes;
                    }
                    Ok(Missing::RestOfLine) => {
                        prop_assert!(have < LINE_BYTES_MAX);
                        have += 1;
                    }
                    Err(_) => break,
                }
                if have > header.len() {
                    break;
                }
            }
        }
    }
}
