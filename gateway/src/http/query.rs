//! The query of a request: names and values, without their percent-encoding.

use std::borrow::Cow;

/// A value of a query without its percent-encoding (RFC 3986, section 2.1). `None`: it is not encoded UTF-8.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Names and decoded values, in order.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name, decode(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_their_encoding_and_names_stand_alone() {
        let found: Vec<_> = pairs("a=1&&b&c=x%2Fy&d=%zz&e=%ff").collect();
        let expected =
            [("a", Some("1")), ("b", Some("")), ("c", Some("x/y")), ("d", None), ("e", None)];
        let expected = expected.map(|(name, value)| (name, value.map(Cow::Borrowed)));
        assert_eq!(found, expected);
    }
}
