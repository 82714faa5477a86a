//! The operators' port: health, readiness, metrics, stages, slow connections, one tick's
//! journey, reload, drain.
//!
//! Plain HTTP on an address of its own, served on the main thread's runtime: a shard that is busy
//! or stuck does not make it mute. It has no credentials; that is why it listens on loopback unless told
//! otherwise.

mod connections;
mod health;
mod overview;
mod stages;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::auth::AuthStatus;
use crate::boot::{Reloader, Running};
use crate::fleet::Fleet;
use crate::publish::PublishStatus;
use crate::routes::{Refusal, json, method_not_allowed, refusal};
use crate::source::FeedStatus;
use crate::telemetry::{Process, Scrape};

pub use overview::keep as keep_overview;

/// Operators' connections at once: some dashboards and a probe. There: a further one waits.
const CONNECTIONS_MAX: usize = 64;

/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// What `?top=` is where it is not said, and at most.
const TOP_DEFAULT: usize = 20;
const TOP_MAX: usize = 10_000;

/// Everything operators can ask about and act on.
pub struct Admin {
    /// The shards.
    pub fleet: Arc<Fleet>,
    /// The feed.
    pub feed: Arc<FeedStatus>,
    /// The process.
    pub process: Arc<Process>,
    /// What the publishing thread does.
    pub publish: Arc<PublishStatus>,
    /// What was read of credentials.
    pub auth: Arc<AuthStatus>,
    /// Whether the gateway drains; setting it begins that.
    pub draining: watch::Sender<bool>,
    /// How long a drain takes at most, and the like, at the moment.
    pub running: watch::Receiver<Arc<Running>>,
    /// What reads the configuration again.
    pub reloader: Arc<Reloader>,
}

/// Opens the operators' port.
///
/// # Errors
/// If the address is in use, not ours, or not allowed.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves operators until the future is dropped.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, std::convert::Infallible>(answer(&request, &admin).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            // A malformed request or a reset is the operator's affair.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an operator's connection ended");
            }
        });
    }
}

async fn answer(request: &Request<Incoming>, admin: &Admin) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = match path {
        "/drain" if *request.method() == Method::POST => drain(admin),
        "/reload" if *request.method() == Method::POST => reload(admin),
        "/drain" | "/reload" => method_not_allowed(request.method(), "POST"),
        "/healthz" | "/readyz" | "/metrics" | "/stages" | "/connections" | "/trace" if !is_read => {
            method_not_allowed(request.method(), "GET, HEAD")
        }
        "/healthz" => health::healthz(admin).await,
        "/readyz" => health::readyz(admin).await,
        "/metrics" => metrics(admin).await,
        "/stages" => stages::stages(admin).await,
        "/trace" => trace::trace(admin, request.uri().query()).await,
        "/connections" => match top(request.uri().query()) {
            Ok(top) => connections::slowest(admin, top).await,
            Err(msg) => refusal(&Refusal {
                status: StatusCode::BAD_REQUEST,
                code: "bad_parameter",
                msg: &msg,
            }),
        },
        _ => refusal(&Refusal {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            msg: &format!(
                "no {path} here; there are /healthz, /readyz, /metrics, /stages, \
                 /connections?top=N, /trace?topic=SYMBOL.channel, POST /reload and POST /drain"
            ),
        }),
    };
    response.map(Full::new)
}

/// `?top=N`
fn top(query: Option<&str>) -> Result<usize, String> {
    let mut top = TOP_DEFAULT;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "top" {
            return Err(format!("unknown parameter {name}; there is top"));
        }
        let number = value.parse().ok().filter(|top| (1..=TOP_MAX).contains(top));
        top = number
            .ok_or_else(|| format!("top={value}: expected a whole number from 1 to {TOP_MAX}"))?;
    }
    Ok(top)
}

async fn metrics(admin: &Admin) -> Response<Bytes> {
    let scrape = Scrape {
        shards: admin.fleet.len(),
        own_tables: admin.fleet.own_tables(),
        reports: admin.fleet.report(0).await,
        feed: admin.feed.view(),
        process: admin.process.view(),
        publish: admin.publish.view(),
        auth: admin.auth.view(),
        is_draining: *admin.draining.borrow(),
    };
    let mut response = Response::new(Bytes::from(scrape.encode()));
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(text));
    response
}

/// Reads the configuration again, and says what came of it. The files of `auth` are told of in the log.
fn reload(admin: &Admin) -> Response<Bytes> {
    let refused = |status, code, msg: &str| refusal(&Refusal { status, code, msg });
    if *admin.draining.borrow() {
        return refused(StatusCode::CONFLICT, "draining", "the gateway drains");
    }
    match admin.reloader.reload() {
        Ok(changes) => {
            let body = serde_json::json!({
                "changed": changes.live,
                "needs_restart": changes.restart,
            });
            json(StatusCode::OK, format!("{body}\n").into_bytes())
        }
        Err(error) => {
            refused(StatusCode::UNPROCESSABLE_ENTITY, "bad_configuration", &error.to_string())
        }
    }
}

/// Begins a drain, or says that one is under way.
fn drain(admin: &Admin) -> Response<Bytes> {
    let begins = !admin.draining.send_replace(true);
    let body = serde_json::json!({
        "draining": true,
        "begins": begins,
        "window_ms": u64::try_from(admin.running.borrow().drain_window.as_millis()).unwrap_or(u64::MAX),
        "sessions": admin.fleet.sessions(),
    });
    json(StatusCode::ACCEPTED, format!("{body}\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_a_number_within_bounds_or_refused() {
        assert_eq!(top(None), Ok(TOP_DEFAULT));
        assert_eq!(top(Some("top=5")), Ok(5));
        for bad in ["top=0", "top=10001", "top=", "top=x", "limit=5"] {
            assert!(top(Some(bad)).is_err(), "{bad}");
        }
    }
}
