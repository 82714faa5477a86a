//! The bytes of a new connection, as the HTTP front reads them: however they are cut, the same becomes of it.

pub fn run(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    gateway::fuzzing::handshake(bytes, usize::from(*cut));
}
