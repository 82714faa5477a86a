//! One connection until it becomes a session or ends: PROXY header, TLS handshake, requests, upgrade.
//!
//! A request for an event stream is read by hyper and answered by its session: the connection is taken
//! from hyper between the two. What hyper answered before is flushed then, unless the client sent
//! requests without waiting for answers and does not read those: it has only itself to blame.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use http_body_util::Full;
use hub::Format;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::bare_quotes::BareQuotes;
use super::cors::Cors;
use super::forwarded::Remote;
use super::front::Front;
use super::proxy_header;
use super::upgrade::{self, Refusal, Service};
use crate::admission::Pass;
use crate::auth::Badge;
use crate::clock::monotonic_ns;
use crate::exchange;
use crate::proxies::{ClientAddress, ProxyProtocol};
use crate::routes;
use crate::session::{Arrival, Face, Opening};
use crate::shard::counters::Counter;
use crate::shard::limits::{HTTP_LIFE_MAX, REQUEST_BYTES_MAX, RESUME_PAUSE};
use crate::sse::{self, Begin};
use crate::tls::TlsSession;

/// What a connection is to become instead of having its next request answered.
enum Grant {
    /// A WebSocket: the upgrade is complete when hyper has sent the answer.
    Upgrade(UpgradeFut, Face, Option<Opening>, Client),
    /// An event stream, whose session writes the whole answer.
    Stream(Box<sse::Opening>, Client),
}

/// Whom a session is for, by its request's headers.
struct Client {
    /// Where it is, if a proxy said so.
    address: Option<ClientAddress>,
    /// Its place, if it has none since it connected.
    pass: Option<Pass>,
    /// What the credential that it showed allows.
    badge: Option<Badge>,
}

type Granted = Rc<RefCell<Option<Grant>>>;

/// A connection that has been taken back from hyper.
pub(crate) struct Taken<S> {
    pub(crate) stream: S,
    pub(crate) early: Bytes,
    pub(crate) face: Face,
    opening: Option<Opening>,
    client: Client,
}

/// Serves a new connection.
pub(super) async fn converse(front: &Rc<Front>, mut socket: TcpStream, peer: SocketAddr) {
    let settings = front.settings();
    let handshake_timeout = settings.handshake_timeout;
    let mut via = None;
    if settings.proxies.protocol == ProxyProtocol::On {
        match timeout(handshake_timeout, proxy_header::take(&mut socket)).await {
            Ok(Ok(client)) => via = client,
            Ok(Err(error)) => {
                tracing::debug!(shard = front.index, %peer, %error, "PROXY header refused");
                return front.count(Counter::ProxyHeadersRefused);
            }
            Err(_) => return front.count(Counter::HandshakesTimedOut),
        }
    }
    let remote = Remote { peer, told: via.map(ClientAddress::from) };
    // It counts from here on, unless only its request will say whose it is.
    let pass = match remote.address(&settings.proxies).map(|address| front.admit(address)) {
        Some(Ok(pass)) => Some(pass).filter(Pass::is_counted),
        Some(Err(_)) => return,
        None => None,
    };
    let arrive = |socket, tls, face, opening, early, client: Client| {
        let Client { address: client, pass: own, badge } = client;
        let pass = own.or(pass);
        front.arrive(Arrival { socket, tls, face, opening, early, client, pass, badge });
    };
    let Some(tls) = front.tls() else {
        if let Some(Taken { stream, early, face, opening, client }) =
            serve(front, socket, remote).await
            && let Ok(socket) = stream.into_std()
        {
            arrive(socket, None, face, opening, early, client);
        }
        return;
    };
    let stream = match timeout(handshake_timeout, shake_hands(front, tls, socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(shard = front.index, %remote, %error, "TLS handshake failed");
            return front.count(Counter::HandshakesFailed);
        }
        Err(_) => return front.count(Counter::HandshakesTimedOut),
    };
    let taken = serve::<TlsStream<TcpStream>>(front, stream, remote).await;
    if let Some(Taken { stream, early, face, opening, client }) = taken {
        let (socket, connection) = stream.into_inner();
        if let Ok(socket) = socket.into_std() {
            let tls = Some(Box::new(TlsSession::new(connection)));
            arrive(socket, tls, face, opening, early, client);
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

/// Answers requests until one of them is granted more than an answer; then gives the stream back.
pub(crate) async fn serve<S>(front: &Rc<Front>, stream: S, remote: Remote) -> Option<Taken<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let granted = Granted::default();
    let service = service_fn(|request| {
        let granted = &granted;
        async move {
            match front.work(|| answer(front, request, remote, granted)).await {
                Some(response) => Ok::<_, Infallible>(response),
                // Its session answers it, once the connection is taken from hyper.
                None => pending().await,
            }
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.settings().handshake_timeout)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(BareQuotes::new(stream)), service)
        .with_upgrades();
    let conversation = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Pending if matches!(*granted.borrow(), Some(Grant::Stream(..))) => {
            Poll::Ready(Ok(()))
        }
        polled => polled,
    });
    match timeout(HTTP_LIFE_MAX, conversation).await {
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
    let grant = granted.borrow_mut().take()?;
    match grant {
        Grant::Upgrade(upgrade, face, opening, client) => {
            // fastwebsockets wraps what hyper hands out; from here on frames are the session's.
            let upgraded = upgrade.await.ok()?.into_inner().into_inner();
            let parts = upgraded.downcast::<TokioIo<BareQuotes<S>>>().ok()?;
            let (stream, early) = (parts.io.into_inner().into_inner(), parts.read_buf);
            Some(Taken { stream, early, face, opening, client })
        }
        Grant::Stream(opening, client) => {
            let parts = connection.into_parts()?;
            if opening.begin != Begin::Anew {
                sleep(RESUME_PAUSE).await;
            }
            let (stream, early) = (parts.io.into_inner().into_inner(), parts.read_buf);
            let opening = Some(Opening::Events(opening));
            Some(Taken { stream, early, face: Face::EventStream, opening, client })
        }
    }
}

/// The answer to a request; `None`: the connection becomes something else.
fn answer(
    front: &Front,
    request: Request<Incoming>,
    remote: Remote,
    granted: &Granted,
) -> Option<Response<Full<Bytes>>> {
    let settings = front.settings();
    let service = upgrade::service_at(request.uri().path(), &settings);
    if fastwebsockets::upgrade::is_upgrade_request(&request) {
        return Some(grant_upgrade(front, request, service, remote, granted));
    }
    let cors = Cors::of(request.headers(), &settings.origins);
    let mut response = match service {
        Some(_) => refuse(front, Refusal::NotAnUpgrade),
        None if request.uri().path() == "/v1/sse"
            && matches!(*request.method(), Method::GET | Method::HEAD) =>
        {
            front.count(Counter::HttpRequests);
            let (mut request, _body) = request.into_parts();
            let opening = match front.take_badge(&mut request) {
                Ok(badge) => sse::parse(&request).map(|opening| (opening, badge)),
                Err(rejected) => Err(rejected.into()),
            };
            match opening {
                Ok(_) if request.method == Method::HEAD => sse::head().map(Full::new),
                Ok((mut opening, badge)) => match admit(front, remote, &request.headers, badge) {
                    Ok(client) => {
                        opening.headers = cors.lines();
                        *granted.borrow_mut() = Some(Grant::Stream(Box::new(opening), client));
                        return None;
                    }
                    Err(refusal) => {
                        front.count(Counter::EventStreamsRefused);
                        refuse(front, refusal)
                    }
                },
                Err(refusal) => {
                    front.count(Counter::EventStreamsRefused);
                    refusal.response().map(Full::new)
                }
            }
        }
        None if request.method() == Method::OPTIONS => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            cors.add_preflight(response.headers_mut());
            response
        }
        None => plain(front, request, remote),
    };
    cors.add_headers(response.headers_mut());
    if front.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Some(response)
}

fn grant_upgrade(
    front: &Front,
    mut request: Request<Incoming>,
    service: Option<Service>,
    remote: Remote,
    granted: &Granted,
) -> Response<Full<Bytes>> {
    let accepted = match service {
        None => Err(Refusal::NoSuchService),
        Some(_) if front.is_draining() => Err(Refusal::Draining),
        Some(service) => upgrade::negotiate(&request, service),
    };
    let (headers, uri) = (request.headers(), request.uri());
    let accepted = accepted.and_then(|accepted| {
        if !upgrade::is_origin_allowed(headers, &front.settings().stream_origins) {
            front.count(Counter::OriginsRefused);
            return Err(Refusal::Origin);
        }
        let mut client = admit(front, remote, headers, None)?;
        client.badge = match accepted.face {
            // It may show one in its first message.
            Face::Native(_) => front.badge(headers, uri)?,
            _ => front.needed_badge(headers, uri)?,
        };
        let Face::Exchange(_) = accepted.face else {
            return Ok((accepted, accepted.face, None, client));
        };
        let (format, opening) = open_streams(front, &request, remote, client.address)?;
        let opening = Some(Opening::Streams(Box::new(opening)));
        Ok((accepted, Face::Exchange(format), opening, client))
    });
    let (accepted, face, opening, client) = match accepted {
        Ok(granted) => granted,
        Err(refusal) => return refuse(front, refusal),
    };
    let Ok((response, upgrade)) = fastwebsockets::upgrade::upgrade(&mut request) else {
        return refuse(front, Refusal::Key);
    };
    *granted.borrow_mut() = Some(Grant::Upgrade(upgrade, face, opening, client));
    let mut response = response.map(|_| Full::default());
    accepted.add_subprotocol(response.headers_mut());
    response
}

/// Whom a session is for that a request asks for, if there may be one more.
fn admit(
    front: &Front,
    remote: Remote,
    headers: &HeaderMap,
    badge: Option<Badge>,
) -> Result<Client, Refusal> {
    if front.is_pressed() {
        front.count(Counter::PressureRefused);
        return Err(Refusal::Pressure);
    }
    let settings = front.settings();
    let proxies = &settings.proxies;
    let address = remote.client(headers, proxies);
    let pass = match remote.address(proxies) {
        // It has had its place since it connected.
        Some(_) => None,
        None => {
            let ip = address.map_or(remote.peer.ip(), |client| client.ip);
            let pass = front.admit(ip).map_err(|_| Refusal::TooManyConnections)?;
            Some(pass).filter(Pass::is_counted)
        }
    };
    Ok(Client { address, pass, badge })
}

/// What a request for a connection of the exchange-compatible face asks for, if its client may have one.
fn open_streams(
    front: &Front,
    request: &Request<Incoming>,
    remote: Remote,
    client: Option<ClientAddress>,
) -> Result<(Format, exchange::Opening), Refusal> {
    let settings = front.settings();
    let settings = &settings.exchange;
    let (uri, headers) = (request.uri(), request.headers());
    let query = uri.query().unwrap_or_default();
    let opening = exchange::parse(uri.path(), query, headers, settings)?;
    let address = client.map_or(remote.peer.ip(), |client| client.ip);
    if settings.rates.admit(settings.connection_rate, address, monotonic_ns()) {
        Ok(opening)
    } else {
        Err(Refusal::TooManyConnections)
    }
}

/// A request that is not about WebSockets.
fn plain(front: &Front, request: Request<Incoming>, remote: Remote) -> Response<Full<Bytes>> {
    front.count(Counter::HttpRequests);
    let (mut parts, _body) = request.into_parts();
    let client = remote.client(&parts.headers, &front.settings().proxies);
    parts.extensions.insert(client.unwrap_or_else(|| remote.peer.into()));
    if !routes::is_file(parts.uri.path()) {
        match front.take_badge(&mut parts) {
            // As far as its bearer may see.
            Ok(Some(badge)) => drop(parts.extensions.insert(Arc::clone(&badge.role.grant))),
            Ok(None) => {}
            Err(rejected) => {
                return routes::unauthorized(parts.uri.path(), rejected).map(Full::new);
            }
        }
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
