//! nginx with nchan, `bench/peers/nginx-nchan.conf`.

use super::peer::{self, Peer};
use super::{Kind, Scratch, ServerError, Spec, free_address};
use crate::generator::dialect::Dialect;
use crate::publisher::Protocol;

/// Where Debian puts it.
pub(super) const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let program = peer::locate(Kind::Nchan)?;
    let listen = free_address()?;
    let scratch = Scratch::new()?;
    let here = scratch.path("");
    let text = peer::configuration(
        Kind::Nchan,
        include_str!("../../peers/nginx-nchan.conf"),
        &[("port", &listen.port().to_string()), ("here", &here.display().to_string())],
        &spec.args,
    )?;
    let file = scratch.write("nginx.conf", &text)?;
    Ok(Peer {
        program,
        args: ["-p".into(), here.into(), "-c".into(), file.into(), "-e".into(), "stderr".into()]
            .into(),
        variables: Vec::new(),
        url: format!("ws://{listen}/sub?topics="),
        dialect: Dialect::Path,
        protocol: Protocol::Http,
        listen,
        publish: listen,
        scratch,
    })
}
