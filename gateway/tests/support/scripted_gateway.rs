//! A gateway that does as it is told: for what a real one does only in bad moments.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, WebSocket, upgrade};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What is said to a command; nothing: the connection is cut.
pub enum Say {
    Text(String),
    Binary(Vec<u8>),
    Nothing,
}

/// Answers to the commands of one connection: its number, from 1, and the command's text.
pub type Script = dyn Fn(usize, &str) -> Vec<Say> + Send + Sync;

/// Greets every connection with this hello and answers its commands by the script, until the test ends.
pub async fn scripted_gateway(hello: &'static str, script: Arc<Script>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connections += 1;
            let (number, script) = (connections, script.clone());
            let service = service_fn(move |request| greet(request, hello, number, script.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    address
}

async fn greet(
    mut request: Request<Incoming>,
    hello: &'static str,
    number: usize,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (response, upgraded) = upgrade::upgrade(&mut request).unwrap();
    tokio::spawn(async move { serve(upgraded.await.unwrap(), hello, number, &*script).await });
    let mut response = response.map(|_| Full::default());
    let subprotocol = HeaderValue::from_static("tickcast.v1.sbe");
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    Ok(response)
}

async fn serve(
    mut socket: WebSocket<TokioIo<Upgraded>>,
    hello: &'static str,
    number: usize,
    script: &Script,
) {
    let greeting = Frame::text(Payload::Borrowed(hello.as_bytes()));
    if socket.write_frame(greeting).await.is_err() {
        return;
    }
    while let Ok(frame) = socket.read_frame().await {
        if frame.opcode != OpCode::Text {
            continue;
        }
        let command = String::from_utf8(frame.payload.to_vec()).unwrap();
        for say in script(number, &command) {
            let frame = match say {
                Say::Text(text) => Frame::text(Payload::Owned(text.into_bytes())),
                Say::Binary(bytes) => Frame::binary(Payload::Owned(bytes)),
                Say::Nothing => return,
            };
            if socket.write_frame(frame).await.is_err() {
                return;
            }
        }
    }
}
