//! Measures Tickcast from outside, as a user could: no part of the gateway is linked in, only the
//! definitions of what travels.
//!
//! `run` measures servers by scenarios and keeps records. `load` is the generator alone and the report
//! of what its connections saw, `memory` what a waiting connection costs a server, `canned` how fast
//! the generator itself is, `proxy` puts a long way in between. Every run ends by itself.

#![forbid(unsafe_code)]

mod canned;
mod ceiling;
mod clock;
mod cpu;
mod frame;
mod generator;
mod hostile;
mod latency;
mod memory;
mod peers;
mod proxy;
mod publisher;
mod quote;
mod record;
mod report;
mod scenario;
mod server;
mod stdout;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::generator::{load, worker};

/// Measure a Tickcast gateway from outside.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open subscribed connections, check what comes, report latencies. Exits with 1 if a connection
    /// did not open or a sequence number is neither delivered nor announced.
    Load(load::LoadArgs),
    /// Measure a server's memory per waiting connection.
    Memory(memory::MemoryArgs),
    /// Measure the generator itself against a canned sender.
    Canned(canned::CannedArgs),
    /// Run scenarios: start servers, put loads on them, keep what was found. Exits with 1 if Tickcast
    /// did not deliver what a scenario expects.
    Run(scenario::RunArgs),
    /// Show the scenarios that there are.
    List,
    /// Put a long way between clients and a server: delay, rate, window.
    Proxy(proxy::ProxyArgs),
    Hostile(hostile::HostileArgs),
    #[command(hide = true)]
    AcceptOnly(hostile::AcceptOnlyArgs),
    /// Show or install the servers that Tickcast is compared with.
    Peers(peers::PeersArgs),
    /// Draw the records of a folder as one page, or print them as tables.
    Report(report::ReportArgs),
    #[command(hide = true)]
    Worker,
    #[command(hide = true)]
    Launch(server::LaunchArgs),
    #[command(hide = true)]
    Publisher(publisher::PublisherArgs),
    #[command(hide = true)]
    CannedSender(canned::SenderArgs),
    #[command(hide = true)]
    CeilingSender(ceiling::SenderArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Load(args) => load(&args),
        Command::Memory(args) => memory(&args),
        Command::Canned(args) => canned(&args),
        Command::Run(args) => run(&args),
        Command::List => scenario::list().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Proxy(args) => proxy::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Hostile(args) => {
            hostile::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::AcceptOnly(args) => {
            hostile::accept_only(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Peers(args) => peers::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Report(args) => report::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Launch(args) => Err(server::launch(&args).into()),
        // The parent reports what a worker says was wrong.
        Command::Worker => return worker::run().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Command::Publisher(args) => {
            publisher::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::CannedSender(args) => {
            canned::send(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::CeilingSender(args) => {
            ceiling::send(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn run(args: &scenario::RunArgs) -> Result<ExitCode, Box<dyn Error>> {
    server::remove_on_signals()?;
    Ok(scenario::run(args)?)
}

fn load(args: &load::LoadArgs) -> Result<ExitCode, Box<dyn Error>> {
    let report = load::run(args)?;
    load::write(&report, args.json.as_ref())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn memory(args: &memory::MemoryArgs) -> Result<ExitCode, Box<dyn Error>> {
    let report = memory::run(args)?;
    match &args.load.json {
        Some(path) if path.as_os_str() == "-" => {
            stdout::say(serde_json::to_string_pretty(&report)? + "\n");
        }
        Some(path) => {
            std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
            stdout::say(report);
        }
        None => stdout::say(report),
    }
    Ok(ExitCode::SUCCESS)
}

fn canned(args: &canned::CannedArgs) -> Result<ExitCode, Box<dyn Error>> {
    let report = canned::run(args)?;
    load::write(&report, args.json.as_ref())?;
    if args.json.as_ref().is_none_or(|path| path.as_os_str() != "-") {
        let per_core = report.messages_per_s / report.busiest().max(1e-9);
        stdout::say(format_args!(
            "generator    {:.2} million messages a second, {:.2} million per second of CPU time\n",
            report.messages_per_s / 1e6,
            per_core / 1e6
        ));
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
