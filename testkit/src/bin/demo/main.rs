//! The demo: an issuer, an upstream and a real Envoy with the filter, walked through or left running.

mod key;
mod screen;
mod stack;
mod steps;
mod walk;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use testkit::{EnvoyOptions, EnvoyProcess, Issuer, Provider, StandIns, Token, Upstream, workspace_root};

use crate::stack::{AUDIENCE, ISSUER};

/// The parts of the demo.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// The file with the demo's signing key; made at first use [default: .build/demo in the repository]
    #[arg(long, global = true, env = "DEMO_KEY_DIR", hide_env_values = true)]
    key_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Walk through the filter's main job, and fail unless every step was as expected
    Walk,
    /// Leave the same stack running until Ctrl-C
    Run {
        /// Envoy's port on 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = 10000)]
        port: u16,
        /// A configuration of Envoy, or of the filter alone, whose issuers and services are played here
        /// [default: envoy/envoy.yaml]
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Print one token, signed with the demo's key
    Token(TokenArgs),
    /// Run the issuer alone
    Issuer(ListenArgs),
    /// Run the upstream alone
    Upstream(ListenArgs),
}

#[derive(Debug, Args)]
struct ListenArgs {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// A configuration of Envoy, or of the filter alone: the token is one of its issuers' [default:
    /// envoy/envoy.yaml]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Which provider's of that configuration [default: the first one's]
    #[arg(long, requires = "config")]
    provider: Option<String>,
    /// The claim `sub` [default: alice, or what the issuer publishes]
    #[arg(long)]
    sub: Option<String>,
    /// The claim `iss` [default: what the configuration asks for]
    #[arg(long)]
    iss: Option<String>,
    /// The claim `aud` [default: what the configuration asks for]
    #[arg(long)]
    aud: Option<String>,
    /// The claim `scope`, space-delimited [default: orders:read, or what the issuer publishes]
    #[arg(long)]
    scope: Option<String>,
    /// Seconds until `exp`; negative: so long ago [default: 3600, or less if the configuration asks for it]
    #[arg(long, allow_negative_numbers = true)]
    expires_in: Option<i64>,
    /// Another claim, NAME=JSON or NAME=TEXT; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let key_dir = cli
        .key_dir
        .unwrap_or_else(|| workspace_root().join(".build/demo"));
    let outcome = match cli.command {
        Command::Walk => walk::walk(&key_dir),
        Command::Run { port, config } => run(&key_dir, port, config.as_deref()),
        Command::Token(args) => token(&key_dir, args),
        Command::Issuer(args) => issuer(&key_dir, args.listen),
        Command::Upstream(args) => upstream(args.listen),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(key_dir: &Path, port: u16, config: Option<&Path>) -> Result<ExitCode, String> {
    let template = config.map_or_else(stack::template, Path::to_owned);
    stack::need_module()?;
    let upstream = Upstream::start();
    let stand_ins = StandIns::start(&template, upstream.addr(), port, |algorithm| {
        key::stable_for(key_dir, algorithm)
    })?;
    let envoy = EnvoyProcess::try_start(stand_ins.bootstrap(), &EnvoyOptions::workers(2))
        .map_err(|log| format!("Envoy did not start:\n{log}"))?;
    for name in stand_ins.listeners() {
        println!("Envoy's listener {name} on http://{}", envoy.addr(name));
    }
    println!(
        "its admin on http://{}, upstream on http://{}",
        envoy.admin_addr(),
        upstream.addr()
    );
    for provider in stand_ins.providers() {
        if let Some(issuer) = stand_ins.issuer(&provider.cluster) {
            let keys = issuer.url(&provider.jwks_path);
            println!("{} is played: its keys are on {keys}", provider.issuer);
        }
    }
    for sentence in stand_ins.left_out() {
        println!("{sentence}");
    }
    println!();
    let main = stand_ins
        .listeners()
        .first()
        .map(|name| format!("http://{}", envoy.addr(name)))
        .unwrap_or_default();
    print_requests(&main, envoy.admin_addr(), config, stand_ins.providers());
    println!();
    println!("Envoy's access log follows; Ctrl-C ends it.");
    println!();
    let ended = end_signal();
    let mut shown = 0;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(200)) {
        let lines = envoy.access_log();
        for line in &lines[shown..] {
            println!("  {line}");
        }
        shown = lines.len();
    }
    Ok(ExitCode::SUCCESS)
}

/// Suggestions for the running stack.
fn print_requests(envoy: &str, admin: SocketAddr, config: Option<&Path>, providers: &[Provider]) {
    let Some(config) = config else {
        println!("  TOKEN=$(make -s token)");
        println!("  curl -i {envoy}/orders");
        println!("  curl -i -H \"authorization: Bearer $TOKEN\" {envoy}/orders");
        println!("  curl -i -H \"authorization: Bearer ${{TOKEN%?????}}AAAAA\" {envoy}/orders");
        println!("  EXPIRED=$(cargo run -q -p testkit --bin demo -- token --expires-in -600)");
        println!("  curl -i -H \"authorization: Bearer $EXPIRED\" {envoy}/orders");
        println!("  curl -i --path-as-is {envoy}/healthz/../orders");
        println!("  curl -i -H 'x-jwt-sub: forged' {envoy}/healthz");
        println!("  curl 'http://{admin}/stats?filter=jwt'");
        return;
    };
    println!("  curl -i {envoy}/");
    for provider in providers {
        println!(
            "  TOKEN=$(make -s token CONFIG={} PROVIDER='{}')",
            config.display(),
            provider.name
        );
        println!("  curl -i -H \"authorization: Bearer $TOKEN\" {envoy}/");
    }
    if providers.is_empty() {
        println!("  No provider fetches its keys, so that only its own issuer has tokens for it.");
    }
    println!("  curl 'http://{admin}/stats?filter=jwt'");
}

fn token(key_dir: &Path, args: TokenArgs) -> Result<ExitCode, String> {
    let mut lifetime = 3600;
    let token = match &args.config {
        Some(config) => {
            let provider = Provider::find(config, args.provider.as_deref())?;
            lifetime = provider.lifetime();
            for place in provider.unmet() {
                eprintln!(
                    "demo: {}: {place}: the token may fail this condition, which depends on the request, on a \
                     pattern or on the client, or contradicts another one; --claim NAME=VALUE sets a claim",
                    config.display()
                );
            }
            provider.token(&key::stable_for(key_dir, provider.algorithm)?)
        }
        None => Token::new(&key::stable(key_dir)?)
            .claims(json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "scope": "orders:read"})),
    };
    let named = [
        ("iss", args.iss),
        ("aud", args.aud),
        ("sub", args.sub),
        ("scope", args.scope),
    ];
    let token = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(
            token.expires_in(args.expires_in.unwrap_or(lifetime)),
            |token, (name, value)| token.claim(name, value),
        );
    println!("{}", token.claims(args.claims.into_iter().collect()).mint());
    Ok(ExitCode::SUCCESS)
}

fn issuer(key_dir: &Path, listen: SocketAddr) -> Result<ExitCode, String> {
    let key = key::stable(key_dir)?;
    let issuer = Issuer::start_on(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    stack::publish(&issuer, &[&key]);
    println!("issuer on {}", issuer.url("/jwks"));
    wait_for_end();
    Ok(ExitCode::SUCCESS)
}

fn upstream(listen: SocketAddr) -> Result<ExitCode, String> {
    let upstream =
        Upstream::start_on(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    println!("upstream on http://{}", upstream.addr());
    wait_for_end();
    Ok(ExitCode::SUCCESS)
}

/// Returns on SIGINT or SIGTERM, so that the processes are cleaned up.
fn wait_for_end() {
    // The handler owns the sender, and is never removed.
    let _ = end_signal().recv();
}

fn end_signal() -> Receiver<()> {
    let (end, ended) = channel();
    let handler = move || {
        // After the first signal, the receiver is gone.
        let _ = end.send(());
    };
    ctrlc::set_handler(handler).expect("the only signal handler of this process");
    ended
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((
        name.into(),
        serde_json::from_str(value).unwrap_or_else(|_| value.into()),
    ))
}
