//! The echo service for conformance suites: messages and fragments to the letter.

use gateway::shard::Echo;
use gateway::shard::ShardSettings;

use super::client::{BINARY, Client, Frame, TEXT, UPGRADE};
use super::rig::Rig;

fn served(settings: &mut ShardSettings) {
    settings.echo = Echo::Served;
}

fn client(rig: &Rig) -> Client {
    let mut client = Client::connect(rig.address);
    assert!(client.request("/v1/echo", UPGRADE).starts_with("HTTP/1.1 101"));
    client
}

#[test]
fn it_is_not_there_unless_asked_for() {
    let rig = Rig::start();
    let response = Client::connect(rig.address).request("/v1/echo", UPGRADE);
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
}

#[test]
fn messages_of_every_size_come_back() {
    let rig = Rig::with(served);
    let mut client = client(&rig);
    for bytes in [0usize, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let payload: Vec<u8> = (0..bytes).map(|i| (i * 31) as u8).collect();
        client.send(BINARY, &payload);
        assert_eq!(client.frame(), Frame { first: BINARY, payload }, "{bytes} bytes");
    }
    client.send(TEXT, "κόσμε".as_bytes());
    assert_eq!(client.frame().text(), "κόσμε");
    rig.wait_until("nothing is kept", |report| report.kept_bytes == 0);
}

#[test]
fn fragments_come_back_as_fragments() {
    let rig = Rig::with(served);
    let mut client = client(&rig);
    let parts: [(u8, &[u8]); 4] =
        [(0x01, &[0xCE]), (0x00, &[0xBA, 0xE2]), (0x00, &[]), (0x80, &[0x82, 0xAC])];
    for (first, payload) in parts {
        client.send(first, payload);
    }
    for (first, payload) in parts {
        assert_eq!(client.frame(), Frame { first, payload: payload.to_vec() });
    }
    client.send(0x01, &[0xCE]);
    assert_eq!(client.frame().first, 0x01);
    client.send(0x80, &[0x41]);
    assert_eq!(client.expect_close(), 1007);
}
