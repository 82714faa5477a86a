//! The NATS client protocol, as far as a subscriber and a publisher of quotes need it: lines, and
//! payloads behind the lines that announce them.
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use super::{Packet, PacketError};

pub(crate) const PING: &[u8] = b"PING\r\n";
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// A line longer than this is none of NATS: its own limit is 4 KiB, an INFO may be longer.
const LINE_MAX: usize = 64 << 10;

/// Appends the first packet of a client: no acknowledgements, nothing checked twice.
pub(crate) fn connect(out: &mut Vec<u8>) {
    out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\n");
}

pub(crate) fn subscribe(out: &mut Vec<u8>, subject: &str, id: u64) {
    out.extend_from_slice(format!("SUB {subject} {id}\r\n").as_bytes());
}

pub(crate) fn publish(out: &mut Vec<u8>, subject: &str, payload: &[u8]) {
    out.extend_from_slice(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The packet that `bytes` begin with; see [`super::Dialect::packet`].
pub(super) fn packet(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, PacketError> {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() >= LINE_MAX { Err(PacketError) } else { Ok(None) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(PacketError)?;
    let behind = end + 1;
    if let Some(rest) = line.strip_prefix(b"MSG ") {
        let length = rest.rsplit(|byte| *byte == b' ').next().and_then(number);
        let end = behind + length.ok_or(PacketError)?;
        return Ok(match bytes.get(end..end + 2) {
            None => None,
            Some(b"\r\n") => Some((Packet::Message(&bytes[behind..end]), end + 2)),
            Some(_) => return Err(PacketError),
        });
    }
    let packet = match line {
        b"PING" => Packet::Ping,
        b"PONG" => Packet::Answer,
        b"+OK" => Packet::Other,
        line if line.starts_with(b"INFO ") => Packet::Other,
        line if line.starts_with(b"-ERR ") => {
            Packet::Refusal(String::from_utf8_lossy(&line[5..]).into_owned())
        }
        _ => return Err(PacketError),
    };
    Ok(Some((packet, behind)))
}

/// Decimal digits, few enough for any payload that a server passes on.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_nats_is_an_error() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"MSG S0 1 x\r\n",
            b"MSG S0 1 99999999999\r\n",
            b"MSG S0 1 1\r\nab\r\n",
            b"PING\n",
        ] {
            assert_eq!(packet(bytes), Err(PacketError), "{bytes:?}");
        }
        assert_eq!(packet(&[b'x'; LINE_MAX]), Err(PacketError));
        assert_eq!(packet(b"MSG S0 1 3\r\nabc\r"), Ok(None));
    }

    #[test]
    fn commands_are_lines() {
        let mut out = Vec::new();
        subscribe(&mut out, "S0.quote", 7);
        publish(&mut out, "S0.quote", b"abc");
        assert_eq!(out, b"SUB S0.quote 7\r\nPUB S0.quote 3\r\nabc\r\n");
    }
}
