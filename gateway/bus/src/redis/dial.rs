//! Making a connection to one node: protocol, credentials, TLS, name.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError,
};

use crate::backend::ConnectOptions;
use crate::url::{BusUrl, Host};

/// How every connection is made.
#[derive(Clone)]
pub(super) struct Dial {
    settings: RedisConnectionInfo,
    encryption: Encryption,
    name: String,
    timeout: Duration,
}

#[derive(Clone, Copy)]
enum Encryption {
    None,
    Tls,
}

impl Dial {
    pub(super) fn new(url: &BusUrl, options: &ConnectOptions) -> Self {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some((user, password)) = url.credentials() {
            if !user.is_empty() {
                settings = settings.set_username(user);
            }
            if let Some(password) = password {
                settings = settings.set_password(password);
            }
        }
        let encryption = if url.scheme().is_tls() { Encryption::Tls } else { Encryption::None };
        // The server takes no blanks and nothing that is not printable.
        let name =
            options.name.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
        Self { settings, encryption, name, timeout: options.request_timeout }
    }

    /// A connection that sends what comes unasked to `pushes`, and its end too.
    pub(super) async fn open(
        &self,
        host: &Host,
        pushes: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, RedisError> {
        let name = host.name.clone();
        let address = match self.encryption {
            Encryption::None => ConnectionAddr::Tcp(name, host.port),
            Encryption::Tls => ConnectionAddr::TcpTls {
                host: name,
                port: host.port,
                insecure: false,
                tls_params: None,
            },
        };
        let info = address
            .into_connection_info()?
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        // Every request has its own deadline, and a late answer does no harm.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None)
            .set_push_sender(pushes);
        let opening = async {
            let client = Client::open(info)?;
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut naming = redis::cmd("CLIENT");
            naming.arg("SETNAME").arg(&self.name);
            naming.query_async::<()>(&mut connection).await?;
            Ok(connection)
        };
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err((ErrorKind::Io, "no answer in time").into()),
        }
    }
}
