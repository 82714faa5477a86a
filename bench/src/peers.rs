//! `bench peers`: which of the servers that Tickcast is compared with are on this machine, and getting
//! those that are not, from the registries that their users get them from.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};

use crate::server::{Kind, peer_folder};
use crate::stdout;

/// Show or install the peers.
#[derive(Args, Debug)]
pub(crate) struct PeersArgs {
    #[command(subcommand)]
    command: Option<PeersCommand>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum PeersCommand {
    /// Install what is missing: Debian packages (as root), npm packages into bench/peers, our own
    /// program for tokio. Debian starts the servers among its packages as services: stop them before
    /// you measure anything.
    Install,
}

/// Why a peer is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PeersError {
    #[error("missing: {0}; bench peers install installs what is missing")]
    Missing(String),
    #[error("missing: {0}; as root: apt-get install {0}")]
    NotRoot(String),
    #[error("cannot run {0}: {1}")]
    Run(String, #[source] std::io::Error),
    #[error("{0} failed")]
    Failed(String),
}

/// The Debian packages that the peers need, by a file that each brings.
const PACKAGES: [(&str, &str); 6] = [
    ("nodejs", "/usr/bin/node"),
    ("npm", "/usr/bin/npm"),
    ("nats-server", "/usr/sbin/nats-server"),
    ("nginx", "/usr/sbin/nginx"),
    ("libnginx-mod-nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so"),
    ("mosquitto", "/usr/sbin/mosquitto"),
];

pub(crate) fn run(args: &PeersArgs) -> Result<(), PeersError> {
    if matches!(args.command, Some(PeersCommand::Install)) {
        install()?;
    }
    let mut missing = Vec::new();
    for kind in Kind::PEERS {
        match crate::server::version(kind) {
            Ok(version) => stdout::say(format_args!("{:<16} {version}\n", kind.name())),
            Err(error) => {
                stdout::say(format_args!("{:<16} {error}\n", kind.name()));
                missing.push(kind.name());
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(PeersError::Missing(missing.join(" "))) }
}

fn install() -> Result<(), PeersError> {
    let is_there = |file: &str| {
        // Programs may have come from elsewhere than Debian.
        let name = Path::new(file).file_name().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        Path::new(file).exists() || std::env::split_paths(&path).any(|it| it.join(name).exists())
    };
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, file)| !is_there(file)).map(|(package, _)| *package).collect();
    if !missing.is_empty() {
        if !nix::unistd::geteuid().is_root() {
            return Err(PeersError::NotRoot(missing.join(" ")));
        }
        call(Command::new("apt-get").args(["update", "-qq"]))?;
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-qq"]);
        call(command.args(missing))?;
    }
    let folder = peer_folder();
    call(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "-p", "tokio-broadcast"]).current_dir(&folder);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    call(&mut cargo)
}

fn call(command: &mut Command) -> Result<(), PeersError> {
    let line = format!("{command:?}").replace('"', "");
    stdout::say(format_args!("{line}\n"));
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(PeersError::Failed(line)),
        Err(error) => Err(PeersError::Run(line, error)),
    }
}
