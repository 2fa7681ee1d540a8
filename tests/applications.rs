//! The applications of `envoy/issuers/apps`, behind their configurations: the code that remains of each
//! guide.
//!
//! They need Flask, Express and Go, which `make guides` gets and the other tests do without.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, and has a clock"
)]

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{EnvoyProcess, Request, SigningKey, StandIns, Token, unix_now, workspace_root};

/// A running application. It ends when this value is dropped.
struct Application {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Flask,
    Express,
    Go,
}

impl Application {
    fn start(kind: Kind, name: &str) -> Self {
        let tools = PathBuf::from(std::env::var_os("GUIDES_DIR").expect("`make guides` runs this test"));
        let source = |file: &str| workspace_root().join("envoy/issuers/apps").join(name).join(file);
        let mut command = match kind {
            Kind::Flask => with_argument(&tools.join("venv/bin/python"), &source("app.py")),
            Kind::Express => {
                let mut command = with_argument(Path::new("node"), &source("app.js"));
                command.env("NODE_PATH", tools.join("node/node_modules"));
                command
            }
            Kind::Go => Command::new(tools.join(name)),
        };
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = free.local_addr().expect("an address");
        drop(free);
        let log = File::create(tools.join(format!("{kind:?}-{name}.log"))).expect("a file for its output");
        let child = command
            .env("PORT", addr.port().to_string())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{kind:?} {name}: {error}"));
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{kind:?} {name} does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, addr }
    }
}

fn with_argument(program: &Path, argument: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}

/// A request of a page or a client, and the answer of the application.
struct Ask {
    request: Request,
    status: u16,
    /// The expected answer; `None` accepts any.
    body: Option<Value>,
}

fn ask(request: Request, status: u16, body: Value) -> Ask {
    Ask {
        request,
        status,
        body: Some(body),
    }
}

fn refused(request: Request) -> Ask {
    Ask {
        request,
        status: 401,
        body: None,
    }
}

/// The requests to a guide's application, by its configuration.
fn asks(file: &str, token: &Token) -> Vec<Ask> {
    let minted = token.mint();
    let api = || Request::get("/api");
    let mut asks = vec![ask(Request::get("/healthz"), 200, json!({"ok": true}))];
    match file {
        "authgear" => asks.extend([
            ask(
                api().bearer(&minted),
                200,
                json!({"user": "user-1", "verified": true}),
            ),
            ask(
                api()
                    .bearer(&token.clone().without_claim("sub").mint())
                    .header("x-user-verified", "false"),
                200,
                json!({"user": null, "verified": true}),
            ),
            refused(api().header("x-jwt-payload", "e30")),
        ]),
        "authress" | "authress-tenants" => {
            let tenants = if file == "authress" {
                json!([])
            } else {
                json!(["user_company_tenant_id"])
            };
            let body = json!({
                "principalId": "google-oauth2|109357119042447700062", "scopes": ["openid", "profile", "email"],
                "tenants": tenants, "tokenLength": minted.len(),
            });
            let cookie = format!("theme=dark; authorization={minted}");
            asks.extend([
                ask(api().bearer(&minted), 200, body.clone()),
                ask(api().header("cookie", &cookie), 200, body.clone()),
                ask(api().bearer(&minted).header("cookie", &cookie), 200, body.clone()),
                ask(
                    api().bearer(&minted).header("cookie", "authorization=stale"),
                    200,
                    body,
                ),
                refused(api()),
            ]);
        }
        "logto" => asks.extend([
            ask(api().bearer(&minted), 200, json!({"user": "user-1"})),
            ask(
                api().bearer(&token.clone().claim("scope", "write:orders").mint()),
                403,
                json!({"error": "insufficient_scope"}),
            ),
            refused(
                api()
                    .header("x-jwt-scope", "read:orders")
                    .header("x-jwt-sub", "root"),
            ),
        ]),
        _ => {
            let (iat, exp) = (unix_now(), unix_now() + 60);
            let token = token.clone().claim("iat", iat).claim("exp", exp);
            let user = json!({
                "iss": "https://my-tenant.authaction.com", "aud": "https://api.example.com", "sub": "user-1",
                "iat": iat, "exp": exp,
            });
            asks.extend([
                ask(Request::get("/public"), 200, json!({"message": "open to all"})),
                ask(
                    Request::get("/protected").bearer(&token.mint()),
                    200,
                    json!({"user": user}),
                ),
                refused(Request::get("/protected")),
            ]);
        }
    }
    asks
}

#[test]
#[ignore = "needs Flask, Express and Go: `make guides`"]
fn what_is_left_of_each_guides_application_works() {
    for (file, name) in [
        ("authgear", "authgear"),
        ("authress", "authress"),
        ("authress-tenants", "authress"),
        ("logto", "logto"),
        ("authaction", "authaction"),
    ] {
        for kind in [Kind::Flask, Kind::Express, Kind::Go] {
            let application = Application::start(kind, name);
            let path = workspace_root().join(format!("envoy/issuers/{file}.yaml"));
            let mut key = None;
            let stand_ins = StandIns::start(&path, application.addr, 0, |algorithm| {
                let made = SigningKey::generate(algorithm, Some("guide-1"));
                key = Some(made.clone());
                Ok(made)
            })
            .unwrap_or_else(|error| panic!("{error}"));
            let envoy = EnvoyProcess::start(stand_ins.bootstrap());
            let client = envoy.client("main");
            let token = stand_ins.providers()[0].token(&key.expect("an issuer that signs"));
            for Ask {
                request,
                status,
                body,
            } in asks(file, &token)
            {
                let place = format!("{kind:?} behind {file}.yaml: {} {}", request.method, request.path);
                let response = client.request(request);
                assert_eq!(response.status, status, "{place}: {}", response.text());
                if let Some(body) = body {
                    assert_eq!(response.json(), body, "{place}");
                }
            }
            println!("{kind:?} behind {file}.yaml: as the guide has it");
        }
    }
}
