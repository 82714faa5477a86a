//! WebSocket frames (RFC 6455, section 5) as a client of a load generator needs them.
//!
//! Parsing borrows from the caller's buffer and copies nothing; writing appends to one. It is not a
//! general WebSocket: no extensions, and the masking key is constant, because it protects
//! intermediaries and there are none between a generator and the server that it measures.
//!
//! Called by [`crate::generator::connection`] for both directions and by [`mod@crate::canned`] for its server side.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Whether a message ends with this frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

/// One frame of a server, its payload still where it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) last: Last,
    pub(crate) payload: &'a [u8],
    /// Header and payload: where the next frame begins.
    pub(crate) len: usize,
}

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// Not yet a whole frame; it will be one no earlier than with this many bytes in the buffer.
    Incomplete {
        needed: usize,
    },
}

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FrameError {
    #[error("reserved bits set in a frame header")]
    Reserved,
    #[error("unknown opcode")]
    Opcode,
    #[error("a server masked its frame")]
    Masked,
    #[error("a control frame longer than 125 bytes or fragmented")]
    Control,
    #[error("a frame longer than this generator takes")]
    TooLong,
}

/// The longest frame taken. A gateway's visit is kilobytes; a whole book snapshot stays far below.
pub(crate) const FRAME_MAX: usize = 16 << 20;

/// Parses the frame that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, FrameError> {
    let [first, second, ..] = *bytes else { return Ok(Parsed::Incomplete { needed: 2 }) };
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let opcode = Opcode::from_code(first & 0x0F).ok_or(FrameError::Opcode)?;
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let last = if first & 0x80 != 0 { Last::Yes } else { Last::No };
    let (header, payload) = match second {
        126 => match bytes.get(2..4) {
            Some(len) => (4, u64::from(u16::from_be_bytes([len[0], len[1]]))),
            None => return Ok(Parsed::Incomplete { needed: 4 }),
        },
        127 => match bytes.get(2..10).and_then(|len| <[u8; 8]>::try_from(len).ok()) {
            Some(len) => (10, u64::from_be_bytes(len)),
            None => return Ok(Parsed::Incomplete { needed: 10 }),
        },
        short => (2, u64::from(short)),
    };
    if opcode.is_control() && (payload > 125 || last == Last::No) {
        return Err(FrameError::Control);
    }
    let payload = usize::try_from(payload).ok().filter(|len| *len <= FRAME_MAX);
    let len = header + payload.ok_or(FrameError::TooLong)?;
    Ok(match bytes.get(header..len) {
        Some(payload) => Parsed::Frame(Frame { opcode, last, payload, len }),
        None => Parsed::Incomplete { needed: len },
    })
}

/// The key of RFC 6455's own examples. Not zero, so that a server's unmasking is put to work.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Appends a masked frame, as clients send them.
pub(crate) fn write_client(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Appends an unmasked frame's header, as servers send them.
pub(crate) fn write_server_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    write_header(out, opcode, payload_len, 0);
}

fn write_header(out: &mut Vec<u8>, opcode: Opcode, len: usize, mask_bit: u8) {
    out.push(0x80 | opcode.code());
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => out.push(mask_bit | short),
        (_, Ok(medium)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&u64::try_from(len).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_server_header(&mut out, opcode, payload.len());
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn every_prefix_is_incomplete_and_says_how_much_is_needed() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; len];
            let bytes = server_frame(Opcode::Binary, &payload);
            for cut in (0..bytes.len()).step_by(1 + bytes.len() / 50).chain([bytes.len() - 1]) {
                match parse(&bytes[..cut]).unwrap() {
                    Parsed::Incomplete { needed } => assert!(needed > cut && needed <= bytes.len()),
                    Parsed::Frame(frame) => panic!("{cut} of {len} bytes gave {frame:?}"),
                }
            }
            let Parsed::Frame(frame) = parse(&bytes).unwrap() else { panic!("{len} is whole") };
            assert_eq!((frame.len, frame.payload), (bytes.len(), &payload[..]));
        }
    }

    #[test]
    fn the_rfcs_masked_hello_is_written_byte_for_byte() {
        let mut out = Vec::new();
        write_client(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn what_a_server_must_not_send_is_an_error() {
        assert_eq!(parse(&[0xC2, 0]), Err(FrameError::Reserved));
        assert_eq!(parse(&[0x83, 0]), Err(FrameError::Opcode));
        assert_eq!(parse(&[0x82, 0x80]), Err(FrameError::Masked));
        assert_eq!(parse(&[0x09, 0]), Err(FrameError::Control));
        assert_eq!(parse(&[0x89, 126, 0, 126]), Err(FrameError::Control));
        let mut huge = vec![0x82, 127];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(parse(&huge), Err(FrameError::TooLong));
    }
}
