//! The issuer and the upstream, asked directly.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{
    Algorithm, Answer, Client, ClosedPort, Issuer, Request, Response, SigningKey, Upstream, raw_exchange,
    status_of,
};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn documents_are_swapped_counted_and_timed() {
    let issuer = Issuer::start();
    let client = Client::new(issuer.addr());
    let (old, new) = (
        SigningKey::generate(Algorithm::Es256, Some("old")),
        SigningKey::generate(Algorithm::EdDsa, Some("new")),
    );
    assert_eq!(client.get("/jwks").status, 404);
    issuer.serve_jwks("/jwks", &[&old]);
    assert_eq!(client.get("/jwks?x=1").json()["keys"][0]["kid"], "old");
    issuer.serve_jwks("/jwks", &[&old, &new]);
    assert_eq!(client.get("/jwks").json()["keys"][1]["kid"], "new");
    issuer.forget("/jwks");
    assert_eq!(client.get("/jwks").status, 404);
    assert_eq!((issuer.fetches("/jwks"), issuer.fetches("/other")), (4, 0));
    assert!(issuer.fetch_times("/jwks").is_sorted());
    assert_eq!(issuer.fetch_log("/jwks")[1].path, "/jwks?x=1");
    assert!(issuer.wait_for_fetches("/jwks", 4, Duration::ZERO));
    assert!(!issuer.wait_for_fetches("/jwks", 5, SHORT));
    issuer.clear_fetches();
    assert_eq!(issuer.fetches("/jwks"), 0);
}

#[test]
fn discovery_names_issuer_and_keys() {
    let issuer = Issuer::start();
    issuer.serve_discovery("https://idp.example", &issuer.url("/keys"));
    let document = Client::new(issuer.addr())
        .get("/.well-known/openid-configuration")
        .json();
    assert_eq!(document["issuer"], "https://idp.example");
    assert_eq!(document["jwks_uri"], format!("http://{}/keys", issuer.addr()));
}

#[test]
fn one_connection_serves_many_requests() {
    let issuer = Issuer::start();
    issuer.serve("/a", Answer::new("text/plain", "A"));
    let two = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(issuer.addr()).expect("connected");
    std::io::Write::write_all(&mut stream, two).expect("written");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).expect("closed in good order");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2);
}

#[test]
fn headers_statuses_and_etags() {
    let issuer = Issuer::start();
    let client = Client::new(issuer.addr());
    issuer.serve(
        "/jwks",
        Answer::new("application/json", "{}")
            .cache_control("max-age=60")
            .etag("\"v1\""),
    );
    let first = client.get("/jwks");
    assert_eq!(
        (
            first.header("cache-control").as_deref(),
            first.header("etag").as_deref()
        ),
        (Some("max-age=60"), Some("\"v1\""))
    );
    let again = client.request(Request::get("/jwks").header("if-none-match", "\"v1\""));
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = client.request(Request::get("/jwks").header("if-none-match", "\"v0\""));
    assert_eq!(other.status, 200);
    issuer.serve_once("/jwks", Answer::status(500));
    issuer.serve_once("/jwks", Answer::redirect("/elsewhere"));
    assert_eq!(client.get("/jwks").status, 500);
    assert_eq!(
        client.get("/jwks").header("location").as_deref(),
        Some("/elsewhere")
    );
    assert_eq!(client.get("/jwks").status, 200);
    issuer.serve("/empty", Answer::empty());
    assert_eq!(
        client.get("/empty").header("content-length").as_deref(),
        Some("0")
    );
    issuer.serve("/big", Answer::padded_jwks(&[], 300_000).chunked());
    let big = client.get("/big");
    assert_eq!((big.body.len(), big.header("content-length")), (300_000, None));
    issuer.serve("/slow", Answer::status(200).delay(SHORT));
    let asked = Instant::now();
    assert_eq!(client.get("/slow").status, 200);
    assert!(asked.elapsed() >= SHORT);
}

#[test]
fn faults_break_the_exchange_where_they_say() {
    let issuer = Issuer::start();
    let request = b"GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = |answer: Answer| {
        issuer.serve("/jwks", answer);
        raw_exchange(issuer.addr(), request, Duration::from_millis(400))
    };
    let body = Answer::new("application/json", "0123456789");
    assert_eq!(answer(body.clone().hang()), b"");
    assert_eq!(answer(body.clone().reset()), b"");
    assert_eq!(answer(Answer::raw("no http\r\n")), b"no http\r\n");
    for (name, broken) in [
        ("hang", body.clone().hang_after(4)),
        ("reset", body.clone().reset_after(4)),
        ("truncate", body.clone().truncate_after(4)),
    ] {
        let response = Response::parse(&answer(broken)).expect("a head");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "0123"),
            "{name}"
        );
        assert_eq!(response.header("content-length").as_deref(), Some("10"), "{name}");
    }
    let client = Client::new(issuer.addr());
    issuer.serve("/jwks", body.clone().reset_after(4));
    let error = client.try_request(Request::get("/jwks")).expect_err("broken");
    assert!(error.contains("reset"), "{error}");
    issuer.serve("/jwks", body.truncate_after(4));
    let error = client.try_request(Request::get("/jwks")).expect_err("broken");
    assert!(
        error.contains("end of file") || error.contains("closed"),
        "{error}"
    );
}

#[test]
fn a_stopped_issuer_refuses_and_comes_back_on_its_port() {
    let issuer = Issuer::start();
    issuer.serve("/a", Answer::status(200));
    let client = Client::new(issuer.addr());
    assert_eq!(client.get("/a").status, 200);
    issuer.serve("/hang", Answer::status(200).hang());
    let hanging = client.start(Request::get("/hang"));
    assert!(issuer.wait_for_fetches("/hang", 1, Duration::from_secs(5)));
    issuer.stop();
    assert!(hanging.try_wait().is_err(), "open connections end too");
    let refused = |addr| TcpStream::connect(addr).expect_err("refused").kind();
    assert_eq!(refused(issuer.addr()), ErrorKind::ConnectionRefused);
    issuer.restart().expect("the port is kept");
    assert_eq!(client.get("/a").status, 200);
    assert_eq!(issuer.fetches("/a"), 2);
    assert_eq!(
        refused(ClosedPort::reserve().addr()),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn the_upstream_echoes_exactly_what_it_got() {
    let upstream = Upstream::start();
    let client = Client::new(upstream.addr());
    let request = Request::post("/a/../b//c%2e?q=1", "hello")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .header("x-latin", b"caf\xe9\xff");
    let echo = client.request(request).echo();
    assert_eq!(
        (echo.method.as_str(), echo.path.as_str()),
        ("POST", "/a/../b//c%2e?q=1")
    );
    assert_eq!(echo.header_values("x-twice"), ["1", "2"]);
    assert_eq!(echo.header("x-latin"), Some("caf\u{e9}\u{ff}"));
    assert_eq!((echo.body.as_str(), echo.body_len), ("hello", 5));
    assert_eq!(
        echo.body_sha256,
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    assert_eq!((upstream.count(), upstream.last()), (1, Some(echo)));
    assert_eq!(
        status_of(&raw_exchange(upstream.addr(), b"GET / HTTP/1.1\r\n\r\n", SHORT)),
        Some(200)
    );
}

#[test]
fn bodies_and_trailers_may_come_later_or_never() {
    let upstream = Upstream::start();
    let client = Client::new(upstream.addr());
    let request = Request::post("/", "one ").header("trailer", "x-end");
    let (mut sender, pending) = client.start_streaming(request);
    assert!(sender.send(b"two"));
    assert!(pending.poll(SHORT).is_none(), "no answer before the body's end");
    sender.finish_with_trailers(&[("x-end", "yes")]);
    let echo = pending.wait().echo();
    assert_eq!(
        (echo.body.as_str(), echo.trailers),
        ("one two", vec![("x-end".into(), "yes".into())])
    );
    let (mut sender, pending) = client.start_streaming(Request::new("POST", "/"));
    assert!(sender.send(b"half"));
    std::thread::sleep(SHORT);
    sender.abort();
    assert!(pending.try_wait().is_err());
    assert_eq!(upstream.count(), 1);
}
