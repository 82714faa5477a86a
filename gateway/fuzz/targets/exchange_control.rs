//! What clients of the exchange's protocol send: a request, or an error that can be written and read.

use wire::exchange::Request;
use wire::exchange::control::{ErrorShape, done, error, list};

pub fn run(bytes: &[u8]) {
    let mut answer = Vec::new();
    match Request::parse(bytes) {
        Ok(request) => {
            done(&mut answer, request.id());
            if let Request::Subscribe { id, streams } = &request {
                answer.clear();
                list(&mut answer, streams.iter(), id);
            }
        }
        Err(fault) => {
            let mut union = Vec::new();
            error(&mut union, &fault, ErrorShape::Union);
            serde_json::from_slice::<serde_json::Value>(&union).expect("an answer is a JSON value");
            error(&mut answer, &fault, ErrorShape::Nested);
        }
    }
    serde_json::from_slice::<serde_json::Value>(&answer).expect("an answer is a JSON value");
}
