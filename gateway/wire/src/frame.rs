//! The header of a WebSocket frame as servers write it (RFC 6455, section 5.2).
//!
//! It stands here, below sessions, because the hub keeps events of the exchange's protocol as whole
//! frames: one event is one frame there, and a visit sends a run of them as it lies in the arena.
//! Reading clients' frames is the sessions' business.

/// The longest header that a server writes.
pub const SERVER_HEADER_MAX: usize = 10;

/// The first byte of an unfragmented text frame.
pub const TEXT: u8 = 0x81;

/// The first byte of an unfragmented binary frame.
pub const BINARY: u8 = 0x82;

/// Writes the header of a server's frame to the end of `room` and returns where it starts there. The
/// payload stands behind it already: that is how a visit is framed without moving it. `first` is the
/// header's first byte: its opcode, and whether the frame ends its message.
pub fn write_before(room: &mut [u8; SERVER_HEADER_MAX], first: u8, payload_bytes: usize) -> usize {
    if let Ok(short) = u8::try_from(payload_bytes)
        && short < 126
    {
        room[8..].copy_from_slice(&[first, short]);
        8
    } else if let Ok(length) = u16::try_from(payload_bytes) {
        room[6..8].copy_from_slice(&[first, 126]);
        room[8..].copy_from_slice(&length.to_be_bytes());
        6
    } else {
        room[..2].copy_from_slice(&[first, 127]);
        room[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        0
    }
}

/// Appends the header of a server's frame.
pub fn append_header(out: &mut Vec<u8>, first: u8, payload_bytes: usize) {
    let mut room = [0; SERVER_HEADER_MAX];
    let start = write_before(&mut room, first, payload_bytes);
    out.extend_from_slice(&room[start..]);
}

/// The payload of one whole frame of a server.
#[must_use]
pub fn payload(frame: &[u8]) -> &[u8] {
    let header_bytes = match frame.get(1) {
        Some(126) => 4,
        Some(127) => SERVER_HEADER_MAX,
        _ => 2,
    };
    frame.get(header_bytes..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_right_before_its_payload_and_skipped_again() {
        for (length, expected) in [
            (5usize, vec![0x82, 5]),
            (126, vec![0x82, 126, 0, 126]),
            (70_000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let mut room = [0; SERVER_HEADER_MAX];
            let start = write_before(&mut room, BINARY, length);
            assert_eq!(&room[start..], expected);
            let mut frame = Vec::new();
            append_header(&mut frame, BINARY, length);
            assert_eq!(frame, expected);
            frame.resize(frame.len() + length, 7);
            assert_eq!(payload(&frame), vec![7; length]);
        }
    }
}
