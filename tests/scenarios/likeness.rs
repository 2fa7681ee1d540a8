//! Requests that servers interpret in several ways: another spelling of the host, the query or a header
//! evades no requirement, and a rule that bypasses requests applies only to the intended ones.

use serde_json::{Value, json};

use super::*;

fn ruled(rules: Value) -> Value {
    json!({
        "providers": {
            "corp": local_provider(),
            "partner": with(local_provider(), json!({
                "issuer": "https://partner.example", "from_headers": [{"name": "x-partner"}],
            })),
        },
        "rules": rules,
    })
}

/// Requests of this kind need a token of `partner`, all others one of `corp`.
fn strict(name: &'static str, matcher: Value) -> Scenario {
    Scenario::new(
        name,
        ruled(json!([
            {"match": matcher, "requires": {"provider_name": "partner"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ])),
    )
}

/// Requests of this kind need no token, all others one of `corp`.
fn waiving(name: &'static str, matcher: Value) -> Scenario {
    Scenario::new(
        name,
        ruled(json!([
            {"match": matcher},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}},
        ])),
    )
}

fn all(scenario: Scenario, requests: Vec<Request>, expect: &Expect) -> Scenario {
    let mut requests = requests.into_iter();
    requests.by_ref().fold(scenario, |scenario, request| {
        scenario.request(request, expect.clone())
    })
}

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let partner = token().claim("iss", "https://partner.example").mint();
    let missing = denied("token_missing");
    let on = |host: &str| get("/x").header("host", host);
    let of = |query: &str| get(&format!("/x?{query}"));
    let with_cookies = |cookies: &[&str]| -> Vec<Request> {
        let with = |cookie: &&str| get("/x").header("cookie", cookie);
        cookies.iter().map(with).collect()
    };
    let corp = |requests: Vec<Request>| -> Vec<Request> {
        requests
            .into_iter()
            .map(|request| request.bearer(&good))
            .collect()
    };
    let on_all = |hosts: &[&str]| hosts.iter().map(|host| on(host)).collect::<Vec<_>>();
    let of_all = |queries: &[&str]| queries.iter().map(|query| of(query)).collect::<Vec<_>>();
    let parameter =
        |test: Value| json!({"prefix": "/", "query_parameters": [with(json!({"name": "mode"}), test)]});
    let header = |test: Value| json!({"prefix": "/", "headers": [with(json!({"name": "x-env"}), test)]});
    let env = |values: &[&str]| {
        values
            .iter()
            .fold(get("/x"), |request, value| request.header("x-env", *value))
    };
    let exact = |text: &str| json!({"string_match": {"exact": text}});

    vec![
        all(
            all(
                strict("spaces that only some servers drop hide no header's value", json!({"prefix": "/", "headers": [{"name": "x-env", "string_match": {"exact": "prod"}}]})),
                corp(vec![
                    get("/x").header("x-env", *b"prod\xa0"),
                    get("/x").header("x-env", *b"\xc2\xa0prod"),
                    get("/x").header("x-env", *b"prod\xc2\x85"),
                    get("/x").header("x-env", *b"test,\xa0prod"),
                ]),
                &missing,
            ),
            corp(vec![get("/x").header("x-env", *b"prod\xc3\xa0"), get("/x").header("x-env", *b"pro\xa0d")]),
            &forwarded(),
        ),
        all(
            all(
                strict("a parameter is found in spellings that a path may not have, either", parameter(exact("admin"))),
                corp(of_all(&[
                    "mode=%u0061dmin", "m%u006fde=admin", "mode=%c1%a1dmin", "m%e0%81%afde=admin",
                    "mode=admin+", "mode=%20admin", "mode=admin%0a", "mode=admin%00",
                ])),
                &missing,
            ),
            corp(of_all(&["mode=adm+in", "mode=user%20", "x=caf%c3%a9", "x=100%25", "x=%"])),
            &forwarded(),
        ),
        all(
            all(
                strict(
                    "a parameter is found under each name that some server takes for its own",
                    json!({"prefix": "/", "query_parameters": [with(json!({"name": "is_admin"}), exact("1"))]}),
                ),
                corp(of_all(&[
                    "?is_admin=1", "x=1&?is_admin=1", "%3fis_admin=1", "is[admin=1", "is.admin=1", "is+admin=1",
                    "is_admin+=1", "is_admin%09=1", "+is_admin=1", "?is%5badmin=1", "?Is.Admin[]=1", "is_admin%00x=1",
                ])),
                &missing,
            ),
            corp(of_all(&["isadmin=1", "is-admin=1", "xis_admin=1", "is_admins=1", "is_admin=2", "?is_admin=2"])),
            &forwarded(),
        ),
        strict("a parameter that comes more than 16 times may hold anything", parameter(exact("admin")))
            .request(of(&"mode=user&".repeat(16)).bearer(&good), forwarded())
            .request(of(&"mode=user&".repeat(17)).bearer(&good), missing.clone())
            .request(of(&"x=user&".repeat(17)).bearer(&good), forwarded()),
        strict("more than 16 elements in the values of a header may hold anything", header(exact("admin")))
            .request(env(&["user, user", "user"]).bearer(&good), forwarded())
            .request(env(&[&"user,".repeat(9), &"user,".repeat(5)]).bearer(&good), forwarded())
            .request(env(&[&"user,".repeat(9), &"user,".repeat(9)]).bearer(&good), missing.clone())
            .request(env(&["user", &"user,".repeat(16)]).bearer(&good), missing.clone()),
        waiving("a parameter that comes more than 16 times waives nothing", parameter(exact("user")))
            .request(of(&"mode=user&".repeat(16)), forwarded())
            .request(of(&"mode=user&".repeat(17)), missing.clone()),
        all(
            all(
                strict("a host is the same however it is spelt", json!({"hosts": ["admin.example", "[2001:db8::1]", "127.0.0.1"]}))
                    .request(on("admin.example.").header("x-partner", &partner), forwarded())
                    .request(on("[2001:DB8:0::1]:80").header("x-partner", &partner), forwarded()),
                corp(on_all(&[
                    "admin.example", "Admin.Example.", "admin.example:80", "admin.example.:0080",
                    "[2001:db8::1]", "[2001:DB8:0:0:0:0:0:1]", "[2001:0db8::0:1]:8443", "127.0.0.1.",
                ])),
                &missing,
            ),
            corp(on_all(&["other.example", "xadmin.example", "[2001:db8::2]", "127.0.0.2"])),
            &forwarded(),
        ),
        all(
            strict("a host pattern with a port holds where the port is left out", json!({"hosts": ["admin.example:443", "*.ops.example:8443"]}))
                .request(on("admin.example:8080").bearer(&good), forwarded())
                .request(on("ops.example:8443").bearer(&good), forwarded())
                .request(on("a.ops.example").bearer(&good), forwarded()),
            corp(on_all(&["admin.example:443", "admin.example", "admin.example.", "A.ops.example.:08443"])),
            &missing,
        ),
        all(
            waiving("a host that cannot be read waives nothing", json!({"hosts": ["*.open.example", "127.0.0.1"]}))
                .request(on("a.open.example"), forwarded())
                .request(on("a.open.example.:80"), forwarded())
                .request(on("127.0.0.1"), forwarded()),
            on_all(&["open.example", "127.0.1", "[::ffff:7f00:1]", "0177.0.0.1"]),
            &missing,
        ),
        all(
            all(
                strict(
                    "a matcher of the host header sees every spelling of it",
                    json!({"prefix": "/", "headers": [{"name": "host", "string_match": {"exact": "admin.example"}}]}),
                ),
                corp(on_all(&["admin.example", "ADMIN.example", "admin.example.", "admin.example:8080", "admin.example.:80"])),
                &missing,
            ),
            corp(on_all(&["other.example", "admin.example.org"])),
            &forwarded(),
        ),
        all(
            waiving(
                "an inverted matcher of the host header waives nothing for another spelling",
                json!({"prefix": "/", "headers": [{"name": ":authority", "string_match": {"prefix": "admin."}, "invert_match": true}]}),
            )
            .request(on("other.example:8080"), forwarded()),
            on_all(&["admin.example", "Admin.example", "ADMIN.example.:80"]),
            &missing,
        ),
        all(
            all(
                strict(
                    "a cookie is the same however it is spelt",
                    json!({"prefix": "/", "headers": [{"name": "cookie", "string_match": {"contains": "role=admin"}}]}),
                ),
                corp(with_cookies(&[
                    "role=admin", "a=b; role=admin", "role= admin", "role =admin", "role\t=\tadmin", r#"role="admin""#,
                    r#"role = " admin ""#, "role=%61dmin", "%72ole=admin", "a=b;role=%61d%6din;c", "a=%zz; role=%61dmin",
                    "a=b, role = admin",
                ])),
                &missing,
            ),
            corp(with_cookies(&["role=reader", "a=role; admin=b", "role=%2561dmin", r#"a="x y"; b=%20"#])),
            &forwarded(),
        ),
        all(
            waiving(
                "a cookie in another spelling waives no token",
                json!({"headers": [
                    {"name": "cookie", "string_match": {"contains": "role=admin"}, "invert_match": true},
                ]}),
            )
            .request(get("/x").header("cookie", "role=reader"), forwarded()),
            with_cookies(&["role=admin", r#"role="admin""#, "role = admin", "role=%61dmin"]),
            &missing,
        ),
        all(
            all(
                strict("a parameter is the same however it is spelt", parameter(exact("all of it"))),
                corp(of_all(&[
                    "mode=all+of%20it", "mode=all%20of%20it", "m%6fde=all+of+it", "%6D%6F%64%65=%61ll%20of+it",
                    "mode=x&mode=all+of+it", "mode=all+of+it&mode=x", "a=1;mode=all+of+it", "mode=all+of+it;a",
                    "mode=all%2520of%2520it", "m%256fde=all+of+it", "mode[]=all+of+it", "mode%5B0%5D=all+of+it",
                    "+mode=all+of+it", "mode%00x=all+of+it", "MODE=all+of+it",
                ])),
                &missing,
            ),
            corp(of_all(&["mode=all", "mode", "x=all+of+it", "a=mode=all+of+it", "modes=all+of+it", "mode_=all+of+it"])),
            &forwarded(),
        ),
        all(
            all(
                strict("a parameter that must not be there", parameter(json!({"present_match": false}))),
                corp(of_all(&["", "a", "MODE", "m%6Fde", "a;mode=1", "mode[]"])),
                &missing,
            ),
            corp(of_all(&["mode", "mode=1&mode=2", "a=1&mode=%41"])),
            &forwarded(),
        ),
        all(
            all(
                waiving("a parameter waives the token where every server finds it", parameter(exact("open"))),
                of_all(&["mode=open", "a=1&mode=open&b=%20", "mode=open&mode=open", "mode=open&a=;"]),
                &forwarded(),
            ),
            of_all(&[
                "mode=closed", "mode=open&mode=closed", "mode=closed&mode=open", "m%6fde=open", "mode=%6fpen",
                "mode=open;mode=closed", "a=1;mode=open", "mode=open&mode[]=closed", "mode=open&Mode=closed",
                "mode=open&m%256Fde=closed", "mode=open&%25252525256dode",
            ]),
            &missing,
        ),
        all(
            strict("a query that is hidden in the path is one", parameter(exact("x")))
                .request(get("/a%20b?mode=y").bearer(&good), forwarded()),
            corp(vec![get("/a%3fmode=x"), get("/a%253Fmode=x"), get("/a%3fb?c")]),
            &missing,
        ),
        all(
            strict("a query of very many parameters may hold any", parameter(exact("x"))),
            corp(of_all(&[&"a&".repeat(300)])),
            &missing,
        ),
        all(
            all(
                strict("one of several values of a header asks for what it does", header(exact("prod"))),
                corp(vec![
                    env(&["prod"]), env(&["x", "prod"]), env(&["prod", "x"]), env(&["x, prod"]), env(&["prod,x"]),
                    env(&["x", "y,prod"]), env(&[&",".repeat(40)]),
                ]),
                &missing,
            ),
            corp(vec![env(&["x"]), env(&["x", "y"]), env(&["product, x"]), env(&[]), env(&["x prod"])]),
            &forwarded(),
        ),
        all(
            all(
                waiving("every value of a header waives the token, or none does", header(exact("test"))),
                vec![env(&["test"]), env(&["test", "test"])],
                &forwarded(),
            ),
            vec![env(&["x", "test"]), env(&["test", "x"]), env(&["test,x"]), env(&["x"])],
            &missing,
        ),
        all(
            all(
                waiving("an inverted test of a header waives the token where no value is that", header(json!({
                    "string_match": {"exact": "prod"}, "invert_match": true,
                }))),
                vec![env(&["test"]), env(&["a", "b, c"])],
                &forwarded(),
            ),
            vec![env(&["prod"]), env(&["prod", "x"]), env(&["x", "prod"]), env(&["x,prod"]), env(&[])],
            &missing,
        ),
        all(
            strict(
                "a matcher of the path as a header sees every reading of it",
                json!({"prefix": "/", "headers": [{"name": ":path", "prefix_match": "/audit?"}]}),
            )
            .request(get("/audits?x").bearer(&good), forwarded())
            .request(get("//b%20c?x").bearer(&good), forwarded()),
            corp(["/audit?x", "//audit?x", "/%61udit?x", "/x/..;/audit?x"].map(get).into()),
            &missing,
        ),
        Scenario::new(
            "a claim that must equal the host is held against what every server takes for it",
            ruled(json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}, "authorize": {"claims": [{
                "claim_name": "host", "equals_request": {"host": true},
            }]}}])),
        )
        .request(on("Acme.example.:80").bearer(&token().claim("host", "acme.example").mint()), forwarded())
        .request(on("[2001:DB8:0::1]").bearer(&token().claim("host", "[2001:db8::1]").mint()), forwarded())
        .request(on("127.1").bearer(&token().claim("host", "127.1").mint()), denied("claim_rejected")),
    ]
}
