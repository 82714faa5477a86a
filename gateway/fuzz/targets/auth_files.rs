//! What says who may connect: the file of `auth`, a list of what is revoked, a set of public keys. Each is read whole,
//! or an error says what is wrong.

use gateway::auth::Authenticator;

pub fn run(bytes: &[u8]) {
    let path = super::file("auth.toml", bytes);
    if let Err(error) = Authenticator::open(&path, 0) {
        assert!(!error.to_string().is_empty());
    }
    gateway::fuzzing::lists_of_auth(bytes);
}
