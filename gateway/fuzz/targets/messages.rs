//! What gateways send, as a client reads it: SBE messages back to back, with their groups.

pub fn run(bytes: &[u8]) {
    let mut messages = wire::sbe::decode(bytes);
    let mut rest = bytes.len();
    while let Some(message) = messages.next() {
        // Groups are read when they are looked at.
        let _ = format!("{message:?}");
        assert!(messages.rest().len() < rest, "every message takes bytes");
        rest = messages.rest().len();
    }
}
