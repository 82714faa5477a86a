//! WebSocket frames (RFC 6455, section 5): reading headers of clients' frames, writing those of ours.
//!
//! Only headers: payloads are unmasked and assembled in [`inbound`](super::inbound). A header that
//! exists is one a client may send: masked, no reserved bits, control frames short and whole.

use wire::CloseCode;
pub(crate) use wire::frame::SERVER_HEADER_MAX;

/// The longest header that a client writes: the server's and a mask.
pub(crate) const CLIENT_HEADER_MAX: usize = 14;

/// The longest payload of a control frame.
pub(crate) const CONTROL_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    /// Goes on with the message that an earlier frame began.
    Continuation = 0x0,
    /// Begins a text message.
    Text = 0x1,
    /// Begins a binary message.
    Binary = 0x2,
    /// Closes the connection.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Whether a frame of this kind stands for itself, between the fragments of a message too.
    pub(crate) const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Whether a frame ends its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// It does.
    Last,
    /// More fragments follow.
    More,
}

/// A client's frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    pub(crate) fin: Fin,
    pub(crate) mask: [u8; 4],
    /// Bytes of payload.
    pub(crate) payload_bytes: u64,
    /// Bytes of the header itself.
    pub(crate) header_bytes: usize,
}

/// Why a connection is failed. Each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A reserved bit is set, and no extension was negotiated.
    #[error("reserved bit set")]
    ReservedBit,
    /// An opcode without meaning.
    #[error("unknown opcode")]
    Opcode,
    /// Clients must mask.
    #[error("unmasked frame")]
    Unmasked,
    /// A control frame of more than 125 bytes.
    #[error("over-long control frame")]
    ControlTooLong,
    /// A control frame in fragments.
    #[error("fragmented control frame")]
    ControlFragmented,
    /// A length not written in the shortest way, or of 2^63 and more.
    #[error("malformed length")]
    Length,
    /// A continuation of nothing, or a new message inside of another.
    #[error("fragments out of order")]
    FragmentOrder,
    /// A close frame with one byte, or a code that may not be sent.
    #[error("malformed close frame")]
    Close,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A message over the limit.
    #[error("message over the limit")]
    TooBig,
}

impl Fault {
    /// The code that the connection is closed with.
    pub(crate) const fn close_code(self) -> CloseCode {
        match self {
            Self::Utf8 => CloseCode::InvalidPayload,
            Self::TooBig => CloseCode::MessageTooBig,
            _ => CloseCode::ProtocolError,
        }
    }
}

/// The header at the start of `bytes`; `None`: more bytes are needed. What is wrong with it is found
/// as soon as its bytes are there, so that nobody waits for the payload of a frame that is refused.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Fault::ReservedBit);
    }
    let opcode = Opcode::from_bits(first & 0x0F).ok_or(Fault::Opcode)?;
    let fin = if first & 0x80 == 0 { Fin::More } else { Fin::Last };
    if second & 0x80 == 0 {
        return Err(Fault::Unmasked);
    }
    let short = second & 0x7F;
    if opcode.is_control() {
        if usize::from(short) > CONTROL_MAX {
            return Err(Fault::ControlTooLong);
        }
        if fin == Fin::More {
            return Err(Fault::ControlFragmented);
        }
    }
    let (payload_bytes, rest, length_bytes) = match short {
        126 => {
            let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            let length = u16::from_be_bytes(*length);
            if length < 126 {
                return Err(Fault::Length);
            }
            (u64::from(length), rest, 2)
        }
        127 => {
            let Some((length, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(*length);
            if length <= u64::from(u16::MAX) || length >> 63 != 0 {
                return Err(Fault::Length);
            }
            (length, rest, 8)
        }
        short => (u64::from(short), rest, 0),
    };
    let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
    Ok(Some(Header { opcode, fin, mask: *mask, payload_bytes, header_bytes: 2 + length_bytes + 4 }))
}

/// Writes the header of a server's frame to the end of `room` and returns where it starts there. The
/// payload stands behind it already: that is how a visit is framed without moving it.
pub(crate) fn write_before(
    room: &mut [u8; SERVER_HEADER_MAX],
    opcode: Opcode,
    fin: Fin,
    payload_bytes: usize,
) -> usize {
    let first = opcode as u8 | if fin == Fin::Last { 0x80 } else { 0 };
    wire::frame::write_before(room, first, payload_bytes)
}

/// Appends a whole frame.
pub(crate) fn append(out: &mut Vec<u8>, opcode: Opcode, fin: Fin, payload: &[u8]) {
    let mut room = [0; SERVER_HEADER_MAX];
    let start = write_before(&mut room, opcode, fin, payload.len());
    out.extend_from_slice(&room[start..]);
    out.extend_from_slice(payload);
}

/// Appends a close frame.
pub(crate) fn append_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut payload = [0; CONTROL_MAX];
    let reason = reason.as_bytes();
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason);
    append(out, Opcode::Close, Fin::Last, &payload[..2 + reason.len()]);
}

/// The code in a client's close frame; `None`: it gives none.
pub(crate) fn parse_close(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::Close) };
    };
    let code = u16::from_be_bytes(*code);
    // RFC 6455, section 7.4: 1004 to 1006 and 1015 never travel; 1016 to 2999 are not assigned.
    let may_travel = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !may_travel {
        return Err(Fault::Close);
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Fault::Utf8);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_with_the_byte_that_makes_it() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[0x81]), Ok(None));
        assert_eq!(parse(&[0xC1, 0x80]), Err(Fault::ReservedBit));
        assert_eq!(parse(&[0x83, 0x80]), Err(Fault::Opcode));
        assert_eq!(parse(&[0x81, 0x05]), Err(Fault::Unmasked));
        assert_eq!(parse(&[0x89, 0xFE]), Err(Fault::ControlTooLong));
        assert_eq!(parse(&[0x09, 0x80]), Err(Fault::ControlFragmented));
        assert_eq!(parse(&[0x81, 0xFE, 0, 125]), Err(Fault::Length));
        assert_eq!(parse(&[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Fault::Length));
    }

    #[test]
    fn headers_of_every_size_are_read_and_only_when_they_are_whole() {
        for length in [0u64, 125, 126, 65_535, 65_536, 1 << 40] {
            let mut bytes = vec![0x82];
            match length {
                0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
                126..65_536 => {
                    bytes.push(0xFE);
                    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(0xFF);
                    bytes.extend(length.to_be_bytes());
                }
            }
            bytes.extend([1, 2, 3, 4]);
            for short in 0..bytes.len() {
                assert_eq!(parse(&bytes[..short]), Ok(None));
            }
            let header = parse(&bytes).unwrap().unwrap();
            assert_eq!((header.payload_bytes, header.header_bytes), (length, bytes.len()));
            assert_eq!((header.opcode, header.fin), (Opcode::Binary, Fin::Last));
            assert_eq!(header.mask, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn close_codes_that_may_not_travel_are_refused() {
        assert_eq!(parse_close(&[]), Ok(None));
        assert_eq!(parse_close(&[3]), Err(Fault::Close));
        assert_eq!(parse_close(&1000u16.to_be_bytes()), Ok(Some(1000)));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(parse_close(&code.to_be_bytes()), Err(Fault::Close), "{code}");
        }
        assert_eq!(parse_close(&[0x03, 0xE8, 0xFF]), Err(Fault::Utf8));
    }
}
