//! Configuration files: a configuration, or an error that says what is wrong.

use std::ffi::OsString;

pub fn run(bytes: &[u8]) {
    let path = super::file("gateway.toml", bytes);
    let args =
        ["gateway".into(), "--config".into(), path.into_os_string(), OsString::from("--check")];
    if let Err(error) = gateway::config::load(args, []) {
        assert!(!error.to_string().is_empty());
    }
}
