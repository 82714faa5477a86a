//! WebSocket frames from clients: however they are cut by the network, the same messages come out.

pub fn run(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    gateway::fuzzing::frames(bytes, usize::from(*cut));
}
