//! Answers of Redis, read into our types. Whatever is not as it should be is `None`.

use bytes::{Buf, Bytes};
use redis::Value;

use crate::entry::{Entry, Offset};

pub(super) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

/// An offset as the head keeps it. Nothing is kept of a log that has not begun.
pub(super) fn offset(value: &Value) -> Option<Offset> {
    match value {
        Value::Nil => Some(Offset::START),
        value => text(value)?.parse().ok().map(Offset),
    }
}

/// The entries of a range of a log: pairs of `<offset>-<unix ms>` and the fields `b`, payload.
pub(super) fn entries(value: Value) -> Option<Vec<Entry>> {
    let Value::Array(entries) = value else { return None };
    entries.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(pair) = value else { return None };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(pair).ok()? else { return None };
    let (number, _) = text(&id)?.split_once('-')?;
    let [_, payload] = <[Value; 2]>::try_from(fields).ok()?;
    at(number.parse().ok()?, bytes(payload)?)
}

/// An entry as its bucket's channel has it: the offset, eight bytes big-endian, and the payload.
pub(super) fn live_entry(message: Value) -> Option<Entry> {
    let mut message = bytes(message)?;
    let number = message.try_get_u64().ok()?;
    at(number, message)
}

/// Offsets of a bucket are 1, 2, 3, so the one before is known.
fn at(number: u64, payload: Bytes) -> Option<Entry> {
    let previous = Offset(number.checked_sub(1)?);
    Some(Entry { offset: Offset(number), previous, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    #[test]
    fn an_entry_is_the_same_live_and_read() {
        let fields = Value::Array(vec![bulk(b"b"), bulk(b"ticks")]);
        let log = Value::Array(vec![Value::Array(vec![bulk(b"258-1700000000000"), fields])]);
        let message = bulk(b"\0\0\0\0\0\0\x01\x02ticks");
        let live = live_entry(message).unwrap();
        assert_eq!(live.offset, Offset(258));
        assert_eq!(live.previous, Offset(257));
        assert_eq!(entries(log), Some(vec![live]));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(live_entry(bulk(b"short")), None);
        assert_eq!(live_entry(bulk(&[0; 9])), None, "no entry has offset 0");
        assert_eq!(live_entry(Value::Nil), None);
        assert_eq!(entries(Value::Array(vec![Value::Array(vec![bulk(b"7-1")])])), None);
        assert_eq!(offset(&bulk(b"x")), None);
        assert_eq!(offset(&Value::Nil), Some(Offset::START));
    }
}
