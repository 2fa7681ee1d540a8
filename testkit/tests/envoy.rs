//! A real Envoy between client and upstream, with its router as the only filter.

use std::time::Duration;

use serde_json::json;
use testkit::{
    Answer, Bootstrap, Client, EnvoyOptions, EnvoyProcess, Issuer, Listener, Request, Template, Upstream,
    WasmFilter, load_yaml, raw_exchange, route, status_of, workspace_root,
};

fn bootstrap(upstream: &Upstream) -> Bootstrap {
    let listener = Listener::new("main").access_log("%RESPONSE_CODE% %REQ(:PATH)%");
    Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .listener(listener)
}

#[test]
fn requests_pass_through_with_their_odd_bytes() {
    let upstream = Upstream::start();
    let envoy = EnvoyProcess::start_with(
        &bootstrap(&upstream).build(),
        &EnvoyOptions::default().component_levels("main:info"),
    );
    let client = envoy.client("main");
    let echo = client
        .request(Request::get("/a/../b").header("x-latin", b"\xff"))
        .echo();
    assert_eq!(
        (echo.path.as_str(), echo.header("x-latin")),
        ("/a/../b", Some("\u{ff}"))
    );
    let (mut sender, pending) = client.start_streaming(Request::post("/t", "a").header("trailer", "x-end"));
    sender.send(b"b");
    sender.finish_with_trailers(&[("x-end", "yes")]);
    let echo = pending.wait().echo();
    assert_eq!(
        (echo.body.as_str(), echo.trailers),
        ("ab", vec![("x-end".into(), "yes".into())])
    );
    let raw = raw_exchange(
        client.addr(),
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        Duration::from_secs(5),
    );
    assert_eq!(status_of(&raw), Some(400));
    assert_eq!(envoy.wait_for_access_log(3)[..2], ["200 /a/../b", "200 /t"]);
    assert_eq!(envoy.stat("http.main.downstream_rq_2xx"), 2);
    assert_eq!(envoy.stats(r"^http\.main\.downstream_rq_\dxx$").len(), 5);
    assert_eq!(
        envoy.wait_for_stat("cluster.upstream.upstream_rq_200", Duration::from_secs(1), |n| n
            == 2),
        Ok(2)
    );
    assert!(envoy.wait_for_log("starting workers", Duration::from_secs(1)));
}

#[test]
fn a_refused_configuration_is_an_error_with_the_log() {
    let config = json!({"static_resources": {"listeners": [{"name": "x", "no_such_field": 1}]}});
    let log = EnvoyProcess::try_start(&config, &EnvoyOptions::default()).expect_err("refused");
    assert!(log.contains("no_such_field"), "{log}");
    assert!(log.contains("Envoy ended"), "{log}");
}

#[test]
fn a_missing_module_is_refused() {
    let mut filter = WasmFilter::new(json!({}));
    filter.module = "/nowhere/jwt.wasm".into();
    let listener = Listener::new("main").filter(filter.build());
    let config = Bootstrap::new()
        .cluster("upstream", ([127, 0, 0, 1], 1).into())
        .listener(listener)
        .build();
    let log = EnvoyProcess::try_start(&config, &EnvoyOptions::default()).expect_err("refused");
    assert!(log.contains("/nowhere/jwt.wasm"), "{log}");
}

#[test]
fn the_filters_configuration_goes_as_a_message_or_as_text() {
    let configuration =
        |filter: WasmFilter| filter.build()["typed_config"]["config"]["configuration"].clone();
    let filter = WasmFilter::new(json!({"a": 1}));
    assert_eq!(configuration(filter.clone())["value"], json!({"a": 1}));
    assert_eq!(configuration(filter.as_text())["value"], r#"{"a":1}"#);
}

#[test]
fn listeners_are_replaced_while_it_runs() {
    let upstream = Upstream::start();
    let envoy = EnvoyProcess::start_with(
        &bootstrap(&upstream).build(),
        &EnvoyOptions::workers(2).reloadable(),
    );
    let port = envoy.port("main");
    assert_eq!(Client::local(port).get("/").status, 200);
    let closed =
        json!({"name": "closed", "match": {"prefix": "/closed"}, "direct_response": {"status": 403}});
    let listener = Listener::new("main")
        .route(closed)
        .route(route("/", "upstream"))
        .build();
    envoy.reload_listeners(&[listener]).expect("accepted");
    assert_eq!(envoy.port("main"), port);
    assert_eq!(Client::local(port).get("/closed").status, 403);
    assert_eq!(Client::local(port).get("/").status, 200);
    let unparsable = json!({"name": "main", "no_such_field": 1});
    let log = envoy.reload_listeners(&[unparsable]).expect_err("refused");
    assert!(log.contains("no_such_field"), "{log}");
    let unknown = json!({"name": "no_such_filter", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}});
    let log = envoy
        .reload_listeners(&[Listener::new("main").filter(unknown).build()])
        .expect_err("refused");
    assert!(log.contains("no_such_filter"), "{log}");
    assert_eq!(Client::local(port).get("/closed").status, 403);
}

#[test]
fn a_client_that_leaves_is_seen_to_leave() {
    let slow = Issuer::start();
    slow.serve("/", Answer::empty().hang());
    let config = Bootstrap::new()
        .cluster("upstream", slow.addr())
        .listener(Listener::new("main"))
        .build();
    let envoy = EnvoyProcess::start(&config);
    let pending = envoy.client("main").start(Request::get("/"));
    assert!(slow.wait_for_fetches("/", 1, Duration::from_secs(5)));
    assert_eq!(envoy.stat("http.main.downstream_rq_active"), 1);
    drop(pending);
    let gone = envoy.wait_for_stat("http.main.downstream_rq_active", Duration::from_secs(5), |n| {
        n == 0
    });
    assert_eq!(gone, Ok(0));
    assert_eq!(envoy.stat("http.main.downstream_cx_destroy_remote_active_rq"), 1);
}

#[test]
fn the_process_ends_with_its_handle() {
    let mut envoy = EnvoyProcess::start(&json!({}));
    assert!(envoy.is_running());
    let process = std::path::PathBuf::from(format!("/proc/{}", envoy.pid()));
    let name = std::fs::read_to_string(process.join("comm")).expect("a process");
    assert_eq!(
        name.trim(),
        "envoy",
        "the child is Envoy itself, not a script around it"
    );
    envoy.stop();
    assert!(!process.exists());
}

#[test]
fn yaml_is_read() {
    let value = load_yaml("a: {b: [1, 2.5, 10s, \"yes\", true]}\nc: null\n").expect("YAML");
    assert_eq!(
        value,
        json!({"a": {"b": [1, 2.5, "10s", "yes", true]}, "c": null})
    );
    assert!(load_yaml("a: [").is_err());
}

#[test]
fn a_template_runs_here_with_its_addresses_changed() {
    let upstream = Upstream::start();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("envoy.yaml");
    let mut config = bootstrap(&upstream).build();
    config["admin"] = json!({"address": {"socket_address": {"address": "192.0.2.1", "port_value": 1}}});
    config["static_resources"]["clusters"] = json!([{"name": "upstream", "type": "STRICT_DNS"}]);
    config["static_resources"]["listeners"][0]["address"] = json!({"pipe": {"path": "/nowhere"}});
    std::fs::write(&file, config.to_string()).expect("written"); // JSON is YAML
    let template = Template::load(&file)
        .expect("read")
        .cluster("upstream", upstream.addr());
    let envoy = EnvoyProcess::start(&template.listen("main", ([127, 0, 0, 1], 0).into()).build());
    assert_eq!(envoy.client("main").get("/x").echo().path, "/x");
    assert!(
        Template::load(&dir.path().join("none.yaml"))
            .expect_err("not there")
            .contains("none.yaml")
    );
}

#[test]
fn the_shipped_configuration_is_read_and_rewritten() {
    let path = workspace_root().join("envoy/envoy.yaml");
    let config = Template::load(&path)
        .expect("read")
        .module("/elsewhere/jwt.wasm".as_ref())
        .copy_listener("main", "second", |config| config["stat_prefix"] = "second".into())
        .build();
    let listeners = config["static_resources"]["listeners"]
        .as_array()
        .expect("listeners");
    let wasm = |n: usize| {
        let manager = &listeners[n]["filter_chains"][0]["filters"][0]["typed_config"];
        &manager["http_filters"][0]["typed_config"]["config"]
    };
    assert_eq!((listeners.len(), &listeners[1]["name"]), (2, &json!("second")));
    for n in [0, 1] {
        assert_eq!(
            wasm(n)["vm_config"]["code"]["local"]["filename"],
            "/elsewhere/jwt.wasm"
        );
        assert_eq!(wasm(n)["failure_policy"], "FAIL_RELOAD");
    }
    assert_eq!(wasm(0)["configuration"]["value"]["stat_prefix"], "demo");
    assert_eq!(wasm(1)["configuration"]["value"]["stat_prefix"], "second");
}
