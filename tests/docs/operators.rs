//! The metrics, log lines and headers that the pages promise to operators, in a real Envoy.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy_wasm_jwt::denial::Reason;
use serde_json::{Value, json};
use testkit::{
    Algorithm, Answer, Bootstrap, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, SigningKey, Token,
    Upstream, WasmFilter, jwks, load_yaml, unix_now,
};

use crate::examples::with_provider_fields;
use crate::markdown::{Page, code, page};

fn operating() -> Page {
    page("docs/operating.md")
}

/// The names of the table with placeholders filled in, and their types.
fn documented_metrics(page: &Page) -> BTreeSet<(String, String)> {
    let table = page
        .tables_of(&["name", "type", "counts"])
        .next()
        .expect("the table of metrics");
    let (mut metrics, mut names) = (BTreeSet::new(), BTreeSet::new());
    for row in &table.rows {
        let name = code(&row[0]).expect("a name");
        let is_new = names.insert(name);
        assert!(is_new, "{name} stands there twice");
        let reasons = Reason::ALL.map(Reason::label);
        for (placeholder, words) in [
            ("<name>", &["corp", "found"][..]),
            ("<reason>", &reasons),
            ("", &[""]),
        ] {
            if name.contains(placeholder) {
                let names = words.iter().map(|word| match placeholder {
                    "" => name.to_owned(),
                    placeholder => name.replace(placeholder, word),
                });
                metrics.extend(names.map(|name| (name, row[1].clone())));
                break;
            }
        }
    }
    metrics
}

/// The module's own metrics, without what Envoy and the configuration put before their names.
fn defined_metrics(envoy: &EnvoyProcess, prefix: &str) -> BTreeSet<(String, String)> {
    let mut metrics = BTreeSet::new();
    for (page, kind) in [
        ("Counters", "counter"),
        ("Gauges", "gauge"),
        ("Histograms", "histogram"),
    ] {
        let text = envoy.admin(&format!("/stats?type={page}&filter=^wasmcustom"));
        for line in text.lines() {
            let (name, _) = line.split_once(": ").expect("a name and a value");
            let name = name
                .strip_prefix(prefix)
                .unwrap_or_else(|| panic!("{name} does not begin with {prefix}"));
            metrics.insert((name.to_owned(), kind.to_owned()));
        }
    }
    metrics
}

/// Whether the line has a documented form, in which `<…>` matches anything.
fn has_form(line: &str, form: &str) -> bool {
    form.split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, literal)| literal))
        .try_fold(line, |rest, literal| Some(rest.split_once(literal)?.1))
        .is_some()
}

#[test]
fn forms_of_lines_are_found() {
    let form = "provider <name>: <number> keys loaded, <number> skipped";
    assert!(has_form("[info] provider corp: 1 keys loaded, 0 skipped", form));
    assert!(!has_form("[info] provider corp: 1 keys lost, 0 skipped", form));
    assert!(has_form("refused: x", "refused: <reason>"));
}

/// The tags that the page gives for Prometheus.
fn stats_tags(page: &Page) -> Value {
    let mut blocks = page.blocks.iter();
    let block = blocks.find(|block| block.text.starts_with("stats_config:"));
    load_yaml(&block.expect("the tags").text).expect("YAML")
}

/// The lines that the page shows of Prometheus' page have to be on Envoy's, their labels in any order.
fn assert_prometheus(page: &Page, envoy: &EnvoyProcess) {
    let parts = |line: &str| -> BTreeSet<String> {
        let parts = line.split(['{', '}', ',']).map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    };
    let text = envoy.admin("/stats/prometheus");
    let seen: Vec<_> = text.lines().map(parts).collect();
    let mut blocks = page.blocks.iter();
    let shown = blocks
        .find(|block| block.text.starts_with("jwt_allowed{"))
        .expect("the lines of Prometheus");
    for line in shown.text.lines() {
        let ours: Vec<_> = text.lines().filter(|line| line.starts_with("jwt_")).collect();
        assert!(seen.contains(&parts(line)), "no {line} in {ours:#?}");
    }
}

/// The sum over a metric counts each refusal once, and the histograms have the labels.
fn assert_sums_count_once(envoy: &EnvoyProcess) {
    let text = envoy.admin("/stats/prometheus");
    let sum = |name: &str| -> u64 {
        let values = text.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let (found, _) = metric.split_once('{')?;
            (found == name).then(|| value.parse::<u64>().expect("a number"))
        });
        values.sum()
    };
    for family in ["jwt_denied", "jwt_shadow_denied"] {
        assert_eq!(sum(family), sum(&format!("{family}_total")), "{family}");
        assert!(sum(family) > 0, "{family}");
    }
    // A histogram appears with its first value, and the values of a worker after a while.
    let labels = ["jwt_provider=\"corp\"", "jwt_filter=\"edge\"", "le="];
    let is_there = |name: &str| {
        let text = envoy.admin("/stats/prometheus");
        let mut buckets = text.lines().filter(|line| line.starts_with(name));
        buckets.any(|line| labels.iter().all(|label| line.contains(label)) && !line.ends_with(" 0"))
    };
    let is_there_in_time = |name: &str| {
        (0..75).any(|_| {
            std::thread::sleep(Duration::from_millis(200));
            is_there(name)
        })
    };
    assert!(is_there_in_time("jwt_provider_fetch_ms_bucket"));
}

struct Stack {
    issuer: Issuer,
    _upstream: Upstream,
    envoy: EnvoyProcess,
    key: SigningKey,
}

impl Stack {
    /// With the documented access log, and two providers: `corp`, whose keys are not available at first, and
    /// `found` by discovery. Keys are fresh for a second, so that they are fetched often.
    fn start() -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        let key = SigningKey::generate(Algorithm::EdDsa, Some("k"));
        issuer.serve("/jwks", Answer::status(500));
        issuer.serve("/found", Answer::json(&with_an_unusable_key(&key)));
        issuer.serve_discovery("https://found.example", "http://idp.example.com/found");
        let mut config = with_provider_fields(&json!({"remote_jwks": {
            "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": "issuer", "timeout": "1s"},
            "cache_duration": "1s",
        }}));
        config["providers"]["found"] = json!({
            "issuer": "https://found.example",
            "audiences": ["orders-api"],
            "discovery": {
                "uri": "http://idp.example.com/.well-known/openid-configuration",
                "cluster": "issuer",
                "cache_duration": "1s",
            },
        });
        let corp = json!({"provider_name": "corp"});
        config["rules"] = json!([
            {"match": {"path": "/new"}, "requires": corp, "mode": "shadow"},
            {"match": {"path": "/admin"}, "requires": corp, "authorize": {
                "claims": [{"claim_name": "role", "equals": "admin"}],
            }},
        ]);
        config["stat_prefix"] = json!("edge");
        let page = operating();
        let block = page
            .blocks
            .iter()
            .find(|block| block.text.starts_with("access_log:"));
        let access_log = load_yaml(&block.expect("the access log").text).expect("YAML");
        let listener = Listener::new("jwt")
            .filter(WasmFilter::new(config).build())
            .manager("access_log", access_log["access_log"].clone());
        let mut bootstrap = Bootstrap::new()
            .cluster("issuer", issuer.addr())
            .cluster("upstream", upstream.addr())
            .listener(listener)
            .build();
        bootstrap["stats_config"] = stats_tags(&page)["stats_config"].clone();
        let options = EnvoyOptions::default().component_levels("wasm:debug");
        Self {
            issuer,
            _upstream: upstream,
            envoy: EnvoyProcess::start_with(&bootstrap, &options),
            key,
        }
    }

    fn token(&self) -> Token {
        let claims = json!({"iss": "https://idp.example.com", "aud": "orders-api", "iat": unix_now()});
        Token::new(&self.key).claims(claims)
    }

    fn wait_for_log(&self, text: &str) {
        let is_there = self.envoy.wait_for_log(text, Duration::from_secs(15));
        assert!(is_there, "no {text:?} in:\n{}", self.envoy.log());
    }
}

fn with_an_unusable_key(key: &SigningKey) -> Value {
    let mut keys = jwks(&[key]);
    let list = keys["keys"].as_array_mut().expect("a list");
    list.push(json!({"kty": "oct", "k": "c2VjcmV0"}));
    keys
}

#[test]
fn metrics_access_log_and_log_are_as_documented() {
    let page = operating();
    let stack = Stack::start();
    stack.wait_for_log("requests are answered with 503");
    stack.wait_for_log("still fails");
    stack.issuer.serve_jwks("/jwks", &[&stack.key]);
    stack.wait_for_log("fetching keys works again");

    let client = stack.envoy.client("jwt");
    let good = Request::get("/orders").bearer(&stack.token().expires_in(600).mint());
    assert_eq!(client.request(good).status, 200);
    assert_eq!(client.get("/orders").status, 401);
    let expired = Request::get("/orders").bearer(&stack.token().expires_in(-600).mint());
    assert_eq!(client.request(expired).status, 401);
    assert_eq!(client.get("/new").status, 200);
    let lines = stack.envoy.wait_for_access_log(4);
    let shown = page
        .blocks
        .windows(2)
        .find(|pair| pair[0].text.starts_with("access_log:"))
        .map(|pair| pair[1].text.lines().collect::<Vec<_>>());
    assert_eq!(Some(lines.iter().map(String::as_str).collect()), shown);

    assert_prometheus(&page, &stack.envoy);
    assert_sums_count_once(&stack.envoy);

    let good = Request::get("/admin").bearer(&stack.token().expires_in(600).mint());
    assert_eq!(client.request(good).status, 403);
    let malformed = Request::get("/orders").bearer(&stack.token().claim("nbf", "noon").mint());
    assert_eq!(client.request(malformed).status, 401);
    let of_another = Request::get("/orders").bearer(&stack.token().claim("aud", "another").mint());
    assert_eq!(client.request(of_another).status, 401);

    assert_eq!(
        defined_metrics(&stack.envoy, "wasmcustom.jwt.edge."),
        documented_metrics(&page)
    );

    stack.issuer.serve("/jwks", Answer::status(500));
    stack.wait_for_log("the keys are fresh until");
    stack.wait_for_log("the keys are past their lifetime");
    // If the keys are no longer at their address, the filter looks for them in the document.
    stack.issuer.serve("/found", Answer::status(404));
    stack
        .issuer
        .serve("/.well-known/openid-configuration", Answer::status(500));
    stack.wait_for_log("reading the discovery document has failed since");
    stack
        .issuer
        .serve_discovery("https://found.example", "http://idp.example.com/found");
    stack.wait_for_log("reading the discovery document works again");

    let log = stack.envoy.log() + &log_of_a_refused_configuration();
    let table = page
        .tables_of(&["level", "line"])
        .next()
        .expect("the table of lines");
    assert!(table.rows.len() >= 10);
    for row in &table.rows {
        // After a space, so that `denied: …` is not the end of another word.
        let form = format!(" {}", code(&row[1]).expect("a line"));
        let level = format!("[{}]", row[0]);
        assert!(
            log.lines()
                .any(|line| line.contains(&level) && has_form(line, &form)),
            "no line of the form {level} {form:?} in:\n{log}"
        );
    }
}

fn log_of_a_refused_configuration() -> String {
    let upstream = Upstream::start();
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(Listener::wasm("jwt", json!({"providers": {"corp": Value::Null}})))
        .build();
    EnvoyProcess::try_start(&bootstrap, &EnvoyOptions::default()).expect_err("Envoy has started")
}

#[test]
fn an_upgrade_costs_no_fetch() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let key = SigningKey::generate(Algorithm::EdDsa, Some("k"));
    issuer.serve_jwks("/jwks", &[&key]);
    let claims = json!({"iss": "https://idp.example.com", "aud": "orders-api"});
    let token = Token::new(&key).claims(claims).mint();
    let listener = |module: &std::path::Path| {
        let config = with_provider_fields(&json!({"remote_jwks": {
            "http_uri": {"uri": "http://idp.example.com/jwks", "cluster": "issuer"},
        }}));
        let mut filter = WasmFilter::new(config);
        module.clone_into(&mut filter.module);
        Listener::new("jwt").filter(filter.build())
    };
    let module = testkit::module_path();
    // The same module with a custom section: Envoy compares only the bytes, so this is other code.
    let upgraded = std::env::temp_dir().join(format!("docs-{}.wasm", std::process::id()));
    let mut bytes = std::fs::read(&module).expect("the module; `make wasm` builds it");
    bytes.extend_from_slice(&[0, 5, 1, b'x', 1, 2, 3]);
    std::fs::write(&upgraded, bytes).expect("another module");

    let bootstrap = Bootstrap::new()
        .cluster("issuer", issuer.addr())
        .cluster("upstream", upstream.addr())
        .listener(listener(&module));
    let envoy = EnvoyProcess::start_with(&bootstrap.build(), &EnvoyOptions::workers(2).reloadable());
    // Each request opens a connection, because an open one keeps the old listener.
    let status = || {
        envoy
            .client("jwt")
            .request(Request::get("/").bearer(&token))
            .status
    };
    assert_eq!(status(), 200);
    // Without tags, the metric has the name on the page.
    let reason = "jwt_denied_token_expired";
    assert!(operating().prose.contains(reason));
    assert!(
        envoy
            .admin("/stats/prometheus")
            .contains(&format!("{reason}{{}} 0"))
    );
    let created = envoy.stat("wasm.envoy.wasm.runtime.v8.created");
    let reloaded = envoy.reload_listeners(&[listener(&upgraded).build()]);
    reloaded.unwrap_or_else(|log| panic!("{log}"));
    assert_eq!(status(), 200);
    assert!(
        envoy.stat("wasm.envoy.wasm.runtime.v8.created") > created,
        "no VM was made"
    );
    assert_eq!(issuer.fetches("/jwks"), 1);
    std::fs::remove_file(&upgraded).expect("the other module is removed");
}
