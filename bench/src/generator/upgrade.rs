//! The HTTP upgrade (RFC 6455, section 4) from both ends.
//!
//! The nonce is the RFC's own example, so the answer that proves a WebSocket server is known
//! beforehand: no digest per connection. Nonces guard against caches, of which there are none here.

use crate::generator::target::Target;

const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A response longer than this is not an upgrade's.
const RESPONSE_MAX: usize = 16 << 10;

/// Why a server did not upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpgradeError {
    #[error("answered HTTP {0} to the upgrade")]
    Status(u16),
    #[error("answered something that is not an upgrade")]
    Malformed,
    #[error("did not choose the subprotocol")]
    Subprotocol,
}

/// The request, the same for all connections of a load.
pub(crate) fn request(target: &Target, subprotocol: Option<&str>) -> Vec<u8> {
    let mut text = format!(
        "GET {} HTTP/1.1\r\nHost: {}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n",
        target.path,
        target.host,
        target.address.port(),
    );
    if let Some(subprotocol) = subprotocol {
        text.push_str(&format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Checks the response that `bytes` begin with and returns its length; none while it is not whole.
pub(crate) fn check_response(
    bytes: &[u8],
    subprotocol: Option<&str>,
) -> Result<Option<usize>, UpgradeError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > RESPONSE_MAX { Err(UpgradeError::Malformed) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| UpgradeError::Malformed)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    match status.ok_or(UpgradeError::Malformed)? {
        101 => {}
        other => return Err(UpgradeError::Status(other)),
    }
    let header = |name: &str| {
        let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if header("sec-websocket-accept") != Some(ACCEPT) {
        return Err(UpgradeError::Malformed);
    }
    if header("sec-websocket-protocol") != subprotocol {
        return Err(UpgradeError::Subprotocol);
    }
    Ok(Some(end + 4))
}

/// The canned server's answer to [`request`].
pub(crate) fn response(subprotocol: Option<&str>) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n",
    );
    if let Some(subprotocol) = subprotocol {
        text.push_str(&format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_recognised_once_it_is_whole() {
        let mut bytes = response(Some("tickcast.v1.sbe"));
        let whole = bytes.len();
        for cut in 0..whole {
            assert_eq!(check_response(&bytes[..cut], Some("tickcast.v1.sbe")), Ok(None));
        }
        bytes.extend_from_slice(b"\x82\x00");
        assert_eq!(check_response(&bytes, Some("tickcast.v1.sbe")), Ok(Some(whole)));
        assert_eq!(check_response(&bytes, None), Err(UpgradeError::Subprotocol));
    }

    #[test]
    fn refusals_are_told_apart() {
        let busy = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert_eq!(check_response(busy, None), Err(UpgradeError::Status(503)));
        assert_eq!(check_response(b"SSH-2.0\r\n\r\n", None), Err(UpgradeError::Malformed));
        assert_eq!(check_response(&[b'x'; 20_000], None), Err(UpgradeError::Malformed));
        let other = b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
        assert_eq!(check_response(other, None), Err(UpgradeError::Malformed));
    }
}
