//! MQTT 3.1.1, as far as a subscriber and a publisher of quotes need it: quality of service 0, no
//! session, no will, no keep-alive.
//! <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html>

use super::{Packet, PacketError};

/// The WebSocket subprotocol, section 6 of the standard.
pub(crate) const SUBPROTOCOL: &str = "mqtt";

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
/// With the flags that section 3.8.1 wants.
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xD0;

const CLEAN_SESSION: u8 = 0x02;
/// A granted quality of service above this is a refusal.
const GRANTED_MAX: u8 = 2;

/// Appends the first packet of a client. Without a client id the server makes one up.
pub(crate) fn connect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[CONNECT, 12, 0, 4]);
    out.extend_from_slice(b"MQTT");
    out.extend_from_slice(&[4, CLEAN_SESSION, 0, 0, 0, 0]);
}

/// Appends a subscription, answered by one packet.
pub(crate) fn subscribe(out: &mut Vec<u8>, topics: &[String]) {
    let bytes = topics.iter().map(|topic| topic.len() + 3).sum::<usize>();
    out.push(SUBSCRIBE);
    remaining_length(out, 2 + bytes);
    out.extend_from_slice(&[0, 1]);
    for topic in topics {
        string(out, topic);
        out.push(0);
    }
}

pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8]) {
    out.push(PUBLISH);
    remaining_length(out, 2 + topic.len() + payload.len());
    string(out, topic);
    out.extend_from_slice(payload);
}

/// Topics are names of a few bytes; a longer one is cut, which no server would take for the same.
fn string(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
}

/// Seven bits a byte, least significant first, the eighth says that more come (section 2.2.3).
fn remaining_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let bits = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        if length == 0 {
            return out.push(bits);
        }
        out.push(bits | 0x80);
    }
}

/// The packet that `bytes` begin with; see [`super::Dialect::packet`].
pub(super) fn packet(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, PacketError> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    let mut header = 1;
    for (shift, byte) in [0, 7, 14, 21].into_iter().zip(rest) {
        length |= usize::from(byte & 0x7F) << shift;
        header += 1;
        if byte & 0x80 == 0 {
            let len = header + length;
            let Some(body) = bytes.get(header..len) else { return Ok(None) };
            return Ok(Some((parse(first, body)?, len)));
        }
    }
    if header == 5 { Err(PacketError) } else { Ok(None) }
}

fn parse(first: u8, body: &[u8]) -> Result<Packet<'_>, PacketError> {
    Ok(match first & 0xF0 {
        PUBLISH => {
            // Quality of service 1 and 2 would bring a packet id that nobody asked for.
            if first & 0x06 != 0 {
                return Err(PacketError);
            }
            let topic = body.first_chunk().map(|len| usize::from(u16::from_be_bytes(*len)));
            let payload = topic.and_then(|topic| body.get(2 + topic..));
            Packet::Message(payload.ok_or(PacketError)?)
        }
        CONNACK => match body {
            [_, 0] => Packet::Answer,
            [_, code] => Packet::Refusal(format!("connection refused, code {code}")),
            _ => return Err(PacketError),
        },
        SUBACK => match body {
            [_, _, codes @ ..] if codes.iter().all(|code| *code <= GRANTED_MAX) => Packet::Answer,
            [_, _, ..] => Packet::Refusal("subscription refused".to_owned()),
            _ => return Err(PacketError),
        },
        PINGRESP => Packet::Other,
        _ => return Err(PacketError),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_lengths_are_the_standards() {
        // Table 2.4 of the standard: the smallest and the largest of each size.
        for (length, bytes) in [
            (0, &[0][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = Vec::new();
            remaining_length(&mut out, length);
            assert_eq!(out, bytes, "{length}");
        }
        assert_eq!(packet(&[PUBLISH, 0x80, 0x80, 0x80, 0x80, 1]), Err(PacketError));
        assert_eq!(packet(&[PUBLISH, 0x80, 0x80]), Ok(None));
    }

    #[test]
    fn a_published_message_is_what_a_subscriber_reads() {
        for len in [0, 1, 64, 117, 118, 16_384] {
            let payload = vec![9; len];
            let mut out = Vec::new();
            publish(&mut out, "S0.quote", &payload);
            assert_eq!(packet(&out), Ok(Some((Packet::Message(&payload), out.len()))), "{len}");
            assert_eq!(packet(&out[..out.len() - 1]), Ok(None), "{len}");
        }
    }

    #[test]
    fn what_the_server_refuses_is_told_from_what_it_cannot_say() {
        let refused = |bytes| matches!(packet(bytes), Ok(Some((Packet::Refusal(_), _))));
        assert!(refused(&[CONNACK, 2, 0, 5]));
        assert!(refused(&[SUBACK, 4, 0, 1, 0, 0x80]));
        assert_eq!(packet(&[CONNACK, 1, 0]), Err(PacketError));
        assert_eq!(packet(&[PUBLISH | 2, 4, 0, 1, b'a', 0]), Err(PacketError));
        assert_eq!(packet(&[PUBLISH, 2, 0, 1]), Err(PacketError));
        assert_eq!(packet(&[CONNECT, 0]), Err(PacketError));
    }

    #[test]
    fn a_subscription_names_its_topics() {
        let mut out = Vec::new();
        subscribe(&mut out, &["a".to_owned(), "bc".to_owned()]);
        assert_eq!(out, [0x82, 11, 0, 1, 0, 1, b'a', 0, 0, 2, b'b', b'c', 0]);
    }
}
