//! One connection until it becomes a session or ends: TLS handshake, requests, upgrade.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::front::Front;
use super::upgrade::{self, Refusal};
use crate::session::{Arrival, Face};
use crate::shard::counters::Counter;
use crate::shard::limits::{HTTP_LIFE_MAX, REQUEST_BYTES_MAX};
use crate::tls::TlsSession;

/// An upgrade that has been granted: it is complete when hyper has sent the answer.
type Granted = Rc<RefCell<Option<(UpgradeFut, Face)>>>;

/// Serves a new connection.
pub(super) async fn converse(front: &Rc<Front>, socket: TcpStream) {
    let handshake_timeout = front.settings.handshake_timeout;
    let Some(tls) = front.tls() else {
        if let Some((stream, early, face)) = serve(front, socket).await
            && let Ok(socket) = stream.into_std()
        {
            front.arrive(Arrival { socket, tls: None, face, early });
        }
        return;
    };
    let stream = match timeout(handshake_timeout, shake_hands(front, tls, socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(shard = front.index, %error, "TLS handshake failed");
            return front.count(Counter::HandshakesFailed);
        }
        Err(_) => return front.count(Counter::HandshakesTimedOut),
    };
    if let Some((stream, early, face)) = serve::<TlsStream<TcpStream>>(front, stream).await {
        let (socket, connection) = stream.into_inner();
        if let Ok(socket) = socket.into_std() {
            let tls = Some(Box::new(TlsSession::new(connection)));
            front.arrive(Arrival { socket, tls, face, early });
        }
    }
}

/// The TLS handshake. What it costs us is computed when the client has shown that it means it, and not
/// with everybody else's at once.
async fn shake_hands(
    front: &Front,
    tls: Arc<ServerConfig>,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    front.tls_turn().await;
    begun.into_stream(tls).await
}

/// Answers requests until one of them is an upgrade; then gives the stream back.
async fn serve<S>(front: &Rc<Front>, stream: S) -> Option<(S, Bytes, Face)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let granted = Granted::default();
    let service = service_fn(|request| {
        let response = answer(front, request, &granted);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.settings.handshake_timeout)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    match timeout(HTTP_LIFE_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let counter =
                if error.is_timeout() { Counter::HandshakesTimedOut } else { Counter::HttpErrors };
            front.count(counter);
            return None;
        }
        Err(_) => {
            front.count(Counter::HandshakesTimedOut);
            return None;
        }
    }
    let (upgrade, face) = granted.borrow_mut().take()?;
    // fastwebsockets wraps what hyper hands out; from here on frames are the session's.
    let upgraded = upgrade.await.ok()?.into_inner().into_inner();
    let parts = upgraded.downcast::<TokioIo<S>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf, face))
}

fn answer(
    front: &Front,
    mut request: Request<Incoming>,
    granted: &Granted,
) -> Response<Full<Bytes>> {
    let service = upgrade::service_at(request.uri().path(), &front.settings);
    if !fastwebsockets::upgrade::is_upgrade_request(&request) {
        let mut response = match service {
            Some(_) => refuse(front, Refusal::NotAnUpgrade),
            None => plain(front, request),
        };
        if front.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    let accepted = match service {
        None => Err(Refusal::NoSuchService),
        Some(_) if front.is_draining() => Err(Refusal::Draining),
        Some(service) => upgrade::negotiate(&request, service),
    };
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => return refuse(front, refusal),
    };
    let Ok((response, upgrade)) = fastwebsockets::upgrade::upgrade(&mut request) else {
        return refuse(front, Refusal::Key);
    };
    *granted.borrow_mut() = Some((upgrade, accepted.face));
    let mut response = response.map(|_| Full::default());
    accepted.add_subprotocol(response.headers_mut());
    response
}

/// A request that is not about WebSockets.
fn plain(front: &Front, request: Request<Incoming>) -> Response<Full<Bytes>> {
    front.count(Counter::HttpRequests);
    let (parts, _body) = request.into_parts();
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    front.answer(&parts).map(Full::new)
}

fn refuse(front: &Front, refusal: Refusal) -> Response<Full<Bytes>> {
    front.count(Counter::UpgradesRefused);
    let mut response = text(refusal.status(), refusal.to_string());
    refusal.add_headers(response.headers_mut());
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
