//! Everything passes through each proxy, and gateways know who the clients are.

use crate::balancer::{Balancer, KINDS, Kind, Target};
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, get, until};
use crate::visitor::Visitor;
use std::time::Duration;

/// Long enough to play no part.
const LONG: Duration = Duration::from_mins(1);

fn gateways(kind: Kind, certificate: &Certificate) -> [Gateway; 2] {
    let mut arguments =
        vec!["--source", "pulse", "--symbols", "2", "--rate", "20", "--shards", "1"];
    let more = kind.gateway_arguments(certificate);
    arguments.extend(more.iter().map(String::as_str));
    [Gateway::start(&arguments), Gateway::start(&arguments)]
}

/// Both gateways' connections, as operators see them: who, and through whom.
fn seen(gateways: &[Gateway; 2]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for gateway in gateways {
        let (_, body) = get(gateway.admin, "/connections?top=9").unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        for connection in body["connections"].as_array().unwrap() {
            let text = |field: &str| connection[field].as_str().unwrap_or("nobody").to_owned();
            all.push((text("remote"), text("via")));
        }
    }
    all
}

#[test]
fn websockets_event_streams_and_pages_pass_and_clients_keep_their_addresses() {
    let certificate = Certificate::new();
    for kind in KINDS {
        let gateways = gateways(kind, &certificate);
        let targets = [Target::from(&gateways[0]), Target::from(&gateways[1])];
        let balancer = Balancer::start(kind, &targets, LONG, &certificate);

        let mut page = Visitor::connect("127.0.0.5", balancer.address, &certificate);
        let head = page.get("/v1/instruments");
        assert!(head.starts_with("HTTP/1.1 200 "), "{kind:?}: {head}");
        page.hear_until("\"S1\"");

        let mut socket = Visitor::connect("127.0.0.5", balancer.address, &certificate);
        socket.upgrade();
        socket.say(r#"{"op":"subscribe","id":1,"topics":["S0.quote"]}"#);
        let mut stream = Visitor::connect("127.0.0.6", balancer.address, &certificate);
        let head = stream.get("/v1/sse?topics=S1.quote").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{kind:?}: {head}");
        assert!(head.contains("content-type: text/event-stream"), "{kind:?}: {head}");
        // Ten quotes of some 200 bytes: a proxy that collects what comes would still wait for more.
        for _ in 0..10 {
            socket.hear_until("\"e\":\"quote\"");
            stream.hear_until("\"e\":\"quote\"");
        }

        let found = until("both clients", || {
            let mut found = seen(&gateways);
            found.sort();
            (found.len() == 2).then_some(found)
        });
        for ((remote, via), client) in found.iter().zip(["127.0.0.5", "127.0.0.6"]) {
            // X-Forwarded-For has no port, the PROXY protocol does.
            let ip = remote.split(':').next().unwrap();
            assert_eq!(ip, client, "{kind:?}: {found:?}");
            assert!(via.starts_with("127.0.0.1:"), "{kind:?}: {found:?}");
        }
    }
}
