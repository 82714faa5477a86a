//! PROXY headers, before anything else is known of a connection.

pub fn run(bytes: &[u8]) {
    gateway::fuzzing::proxy_header(bytes);
}
