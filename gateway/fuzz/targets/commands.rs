//! What clients send: JSON and binary commands. Whatever it is, it is a command or an error.

use wire::command::{Buffers, Command};

pub fn run(bytes: &[u8]) {
    let mut buffers = Buffers::default();
    let first = format!("{:?}", Command::parse(&mut bytes.to_vec(), &mut buffers));
    // Buffers are used for one command after another, and must not remember.
    let again = format!("{:?}", Command::parse(&mut bytes.to_vec(), &mut buffers));
    assert_eq!(first, again);
    let _ = Command::parse_binary(bytes);
}
