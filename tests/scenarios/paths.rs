//! Paths that servers interpret in several ways: another spelling does not evade a requirement.

use serde_json::{Value, json};

use super::*;

fn ruled(rules: Value) -> Value {
    json!({
        "providers": {
            "corp": with(local_provider(), json!({
                "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
            })),
            "partner": with(local_provider(), json!({
                "issuer": "https://partner.example", "from_headers": [{"name": "x-partner"}],
            })),
        },
        "rules": rules,
    })
}

fn needs(prefix: &str, more: Value) -> Value {
    with(
        json!({"match": {"prefix": prefix}, "requires": {"provider_name": "corp"}}),
        more,
    )
}

/// Requests that all have the same outcome.
#[track_caller]
fn each(
    mut scenario: Scenario,
    paths: &[&str],
    request: impl Fn(&str) -> Request,
    expect: &Expect,
) -> Scenario {
    // This is not a closure, because failures would then name the closure as the place of each step.
    for path in paths {
        scenario = scenario.request(request(path), expect.clone());
    }
    scenario
}

/// Spellings of `/payments` on some servers.
const PAYMENTS: [&str; 12] = [
    "//payments",
    "/./payments",
    "/x/../payments",
    "/x/%2e%2e/payments",
    "/x/..;/payments",
    "/x/..%2fpayments",
    "/x/..%252fpayments",
    "/x//..//payments",
    "/x\\..\\payments",
    "/%70ayments",
    "/%2570ayments",
    "/x/..%3b/%70ayments",
];

pub(super) fn list() -> Vec<Scenario> {
    let good = token().mint();
    let scoped = token().claim("scope", "reports").mint();
    let partner = token().claim("iss", "https://partner.example").mint();
    let without_token = |path: &str| get(path);
    let endless = format!("/healthz/%{}2e", "25".repeat(80));
    let with_token = |path: &str| get(path).bearer(&good);

    let mut enforced_in_shadow = ruled(json!([needs("/payments", json!({"mode": "enforce"}))]));
    enforced_in_shadow["mode"] = "shadow".into();
    let mut shadow = ruled(json!([needs("/payments", json!({}))]));
    shadow["mode"] = "shadow".into();

    vec![
        each(
            Scenario::new(
                "a rule in shadow mode opens no path that is another for the upstream",
                ruled(json!([needs("/payments", json!({"mode": "shadow"}))])),
            )
            .request(get("/payments/x"), forwarded())
            .request(get("/payments//x"), forwarded())
            .request(get("/payments/x/../y"), forwarded())
            .request(get("/payments/../orders").bearer(&good), forwarded()),
            &[
                "/payments/../orders",
                "/payments/%2e%2e/orders",
                "/payments/..%2forders",
                "/payments/..;/orders",
                "/payments//..//orders",
                "/payments/..%3b/orders",
                "/payments\\..\\orders",
            ],
            without_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new(
                "a rule that is enforced in a shadow filter is so however the path is spelt",
                enforced_in_shadow,
            )
            .request(get("/orders"), forwarded())
            .request(get("//orders/%2e%2e/x"), forwarded())
            .request(get("/payments"), denied("token_missing"))
            .request(get("//payments").bearer(&good), forwarded()),
            &PAYMENTS,
            without_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new("where nothing is enforced no path is refused", shadow),
            &[
                "//payments",
                "/x/../payments",
                "/%zz",
                "/%00",
                &"/..;%252f//".repeat(20),
            ],
            without_token,
            &forwarded(),
        ),
        each(
            each(
                Scenario::new(
                    "what a rule asks of a token is asked however the path is spelt",
                    ruled(json!([
                        needs("/reports", json!({"authorize": {"scopes": {"all": ["reports"]}}})),
                        {"match": {"prefix": "/partner"}, "requires": {"provider_name": "partner"}},
                        {"match": {"path": "/exact"}, "requires": {"provider_name": "partner"}},
                        {"match": {"path": "/caf%c3%a9"}, "requires": {"provider_name": "partner"}},
                        needs("/", json!({})),
                    ])),
                )
                .request(
                    get("/orders//1").bearer(&good),
                    forwarded().header("x-sub", "alice").path("/orders//1"),
                )
                .request(
                    get("//reports").bearer(&scoped),
                    forwarded().header("x-sub", "alice"),
                )
                .request(
                    get("//partner").bearer(&good).header("x-partner", &partner),
                    forwarded(),
                ),
                &[
                    "/reports",
                    "//reports",
                    "/x/../reports",
                    "/%72eports",
                    "/%2572eports",
                    "//x/../reports",
                    "/x;/../reports",
                    "//reports/x\\..\\..\\y",
                ],
                with_token,
                &denied("scope_insufficient"),
            ),
            &[
                "//partner",
                "/x/..;/partner",
                "/p%61rtner",
                "/exact;v=1",
                "/exact%3fv",
                "/exact/x/..;",
                "/exact::$DATA",
                "/exact:$i30:$INDEX_ALLOCATION",
                "/exact%c2%a0",
                "/exact%e3%80%80.",
                "/exact%00.png",
                "/exact.%20.",
                "/exact%3bx",
            ],
            with_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new(
                "a tenant's rule holds however the path is spelt",
                ruled(json!([needs(
                    "/tenants",
                    json!({"authorize": {"claims": [{
                        "claim_name": "tenant",
                        "equals_request": {"path_template": "/tenants/{tenant}/**", "variable": "tenant"},
                    }]}})
                )])),
            )
            .request(
                get("/tenants/acme/x").bearer(&token().claim("tenant", "acme").mint()),
                forwarded(),
            )
            .request(
                get("/tenants/%61cme/x;v=1").bearer(&token().claim("tenant", "acme").mint()),
                forwarded(),
            )
            .request(get("/tenants/acme/x").bearer(&good), denied("claim_rejected")),
            &[
                "//tenants/acme/x",
                "/./tenants/acme/x",
                "/%74enants/acme/x",
                "/tenants/acme;q/x",
                "/tenants/acme/../evil/x",
                "/tenants/acme/..%3b/x",
                "/tenants/acme/..%20/x",
                "/tenants/acme/..%09/x",
                "/tenants/acme/%252e%252e/x",
                "/tenants/acme%3f/x",
                "/tenants/acme%c2%a0/x",
                "/tenants/acme::$INDEX_ALLOCATION/x",
                "/tenants/acme%20./x",
                "/tenants/acme%00/x",
            ],
            |path| get(path).bearer(&token().claim("tenant", "acme").mint()),
            &denied("claim_rejected"),
        ),
        each(
            Scenario::new(
                "a segment that some server takes for a dot segment is one",
                ruled(json!([{"match": {"prefix": "/healthz"}}])),
            )
            .request(get("/healthz/.well-known"), forwarded())
            .request(get("/healthz/..."), forwarded())
            .request(get("/healthz/..foo"), forwarded())
            .request(get("/healthz/%20"), forwarded())
            .request(get("/healthz/a%20b;v=1/%C3%A9"), forwarded())
            .request(get("/healthz/..%3b/admin").bearer(&good), forwarded()),
            &[
                "/healthz/..%3b/admin",
                "/healthz/..%09/admin",
                "/healthz/..%0a/admin",
                "/healthz/..%20/admin",
                "/healthz/..%23/admin",
                "/healthz/..%3f/admin",
                "/healthz/%252e%252e/admin",
                "/healthz/..%252fadmin",
                "/healthz/%u002e%u002e/admin",
            ],
            without_token,
            &denied("token_missing"),
        ),
        Scenario::new(
            "a rule that waives the token does so for what its path can be read as, too",
            ruled(json!([
                {"match": {"prefix": "/open"}},
                {"match": {"prefix": "/@open"}},
                {"match": {"path": "/caf%c3%a9"}},
                {"match": {"prefix": "/partner"}, "requires": {"provider_name": "partner"}},
            ])),
        )
        .request(get("/open/a;v=1"), forwarded())
        .request(get("/caf%c3%a9"), forwarded())
        .request(get("/caf%C3%A9"), denied("token_missing"))
        .request(get("/%40open"), denied("token_missing"))
        .request(get("/%40open").bearer(&good), forwarded())
        .request(get("/open/../partner").bearer(&good), denied("token_missing"))
        .request(get("/partner/../open").header("x-partner", &partner), forwarded()),
        Scenario::new(
            "a path with too many interpretations may be any",
            ruled(json!([
                {"match": {"path": "/partner", "methods": ["POST"]}, "requires": {"provider_name": "partner"}},
                {"match": {"prefix": "/healthz"}},
                needs("/", json!({})),
            ])),
        )
        .request(get(&endless).bearer(&good), denied("token_missing"))
        .request(get(&endless).header("x-partner", &partner), denied("token_missing"))
        .request(get(&endless).bearer(&good).header("x-partner", &partner), forwarded()),
        each(
            each(
                Scenario::new(
                    "a path is whatever some server makes of it",
                    ruled(json!([
                        needs("/admin", json!({"authorize": {"scopes": {"all": ["reports"]}}})),
                        needs("/tenants", json!({"authorize": {"claims": [{
                            "claim_name": "tenant",
                            "equals_request": {"path_template": "/tenants/{tenant}/**", "variable": "tenant"},
                        }]}})),
                        needs("/", json!({})),
                    ])),
                )
                .request(get("//x/admin").bearer(&scoped), forwarded())
                .request(get("//x/orders").bearer(&good), forwarded()),
                &[
                    "//x/admin",
                    "///x/admin",
                    "/\\x/admin",
                    "//x\\admin",
                    "/%2fx/admin",
                    "/%09/x/admin",
                    "//user@x:80//admin",
                    "/ad%09min",
                    "/%0aadmin",
                    "/x/..%0a/admin",
                    "/x/%c0%ae%c0%ae/admin",
                    "/x/%e0%80%ae%e0%80%ae/admin",
                    "/x/%f0%80%80%ae%f0%80%80%ae%c0%afadmin",
                    "/x%e0%80%afadmin/../../admin",
                    "/x/%ef%bc%8e%ef%bc%8e/admin",
                    "/x/..%ef%bc%8fadmin",
                    "/x/%e2%80%a4%e2%80%a4%e2%88%95admin",
                    "/x%ef%bc%bc..%ef%bc%bcadmin",
                    "/x/%e2%80%a5/admin",
                    "/%ef%bd%81dmin",
                    "/%ef%bc%856%31dmin",
                    "/x/%u002e%u002e/admin",
                    "/x/..%u2215admin",
                    "/%u0061dmin",
                    "/a%c1%a4min",
                ],
                with_token,
                &denied("scope_insufficient"),
            ),
            &["/tenants/acme./x", "/tenants/acme%20/x", "/tenants/acme%0a/x", "/tenants/%ef%bd%81cme/x"],
            |path| get(path).bearer(&token().claim("tenant", "acme").mint()),
            &denied("claim_rejected"),
        ),
        each(
            Scenario::new(
                "the end of a path may be left out",
                ruled(json!([
                    {"match": {"path": "/admin"}, "requires": {"provider_name": "partner"}},
                    needs("/", json!({})),
                ])),
            )
            .request(get("/admin.txt").bearer(&good), forwarded()),
            &[
                "/admin", "/admin%0a", "/admin%0d%0a", "/admin.", "/admin%20", "/admin%20.%20", "/admin%09",
                "//admin.",
            ],
            with_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new(
                "a slash at the end of a path may be left out, and added",
                ruled(json!([
                    {"match": {"path": "/partner/"}, "requires": {"provider_name": "partner"}},
                    {"match": {"path": "/healthz"}},
                    {"match": {"path": "/open/"}},
                    {"match": {"prefix": "/docs/"}},
                    {"match": {"path": "/docs"}, "requires": {"provider_name": "partner"}},
                    {"match": {"safe_regex": {"regex": "/users/[0-9]+"}}, "requires": {"provider_name": "partner"}},
                    {"match": {"path": "/exact"}, "requires": {"provider_name": "partner"}},
                    {"match": {"path": "/reports"}, "mode": "shadow", "requires": {"provider_name": "partner"}},
                    needs("/", json!({})),
                ])),
            )
            .request(get("/healthz"), forwarded())
            .request(get("/open/"), forwarded())
            .request(get("/docs/x"), forwarded())
            // The first rule that surely matches ends the search.
            .request(get("/docs/"), forwarded())
            .request(get("/exact/x").bearer(&good), forwarded())
            .request(get("/users/7/x").bearer(&good), forwarded())
            .request(get("/exact/").bearer(&good).header("x-partner", &partner), forwarded())
            .request(get("/exact/").header("x-partner", &partner), denied("token_missing"))
            .request(get("/reports/").bearer(&good), forwarded()),
            &[
                "/partner",
                "/partner/",
                "/exact/",
                "/exact//",
                "/exact/%20",
                "/exact/%c2%a0%20",
                "/exact/%20?q",
                "/exact/%20/",
                "/exact/%20%20/%20",
                "/%20/exact",
                "/%20%c2%a0/exact/",
                "/%e3%80%80/exact",
                "/%20;v=1/exact",
                "/%20;v=1/%e2%80%83/exact",
                "/%ff%20/exact",
                "/::$DATA/exact",
                "/exact/...",
                "/users/%20/7",
                "/exact/?q",
                "/exact/x/..",
                "/exact;v=1/",
                "/users/7",
                "/users/7/",
                "/users/%37/",
                "/users/7;v=1/",
            ],
            with_token,
            &denied("token_missing"),
        )
        .request(get("/healthz/"), denied("token_missing"))
        .request(get("/open"), denied("token_missing")),
        each(
            Scenario::new(
                "bytes that are no UTF-8 may be left out of a path",
                ruled(json!([
                    {"match": {"path": "/exact"}, "requires": {"provider_name": "partner"}},
                    {"match": {"prefix": "/partner"}, "requires": {"provider_name": "partner"}},
                    needs("/", json!({})),
                ])),
            )
            .request(get("/caf%e9").bearer(&good), forwarded())
            .request(get("/par%c3%a9tner").bearer(&good), forwarded()),
            &[
                "/ex%adact",
                "/exact%85",
                "/%a0exact",
                "/%61d%ff/../exact",
                "/x/%ff../partner",
                "/par%e2%82tner/x",
                "/p%ed%a0%80artner",
                "/p%f5artner",
                "/p%61r%adtner/",
            ],
            with_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new(
                "the name of a stream hides no dot segment",
                ruled(json!([
                    {"match": {"prefix": "/open"}},
                    {"match": {"prefix": "/partner"}, "requires": {"provider_name": "partner"}},
                    needs("/", json!({})),
                ])),
            )
            .request(get("/open/.a::$DATA/x"), forwarded()),
            &[
                "/open/..:$I30:$INDEX_ALLOCATION/partner",
                "/open/..::$DATA/partner",
                "/open/..%3a%24DATA/partner",
                "/x/.::$DATA/../partner/",
            ],
            with_token,
            &denied("token_missing"),
        ),
        each(
            Scenario::new(
                "what looks like a dot or a slash to some waives nothing",
                ruled(json!([{"match": {"prefix": "/open"}}])),
            )
            .request(get("/open/a.%20b./%e4%b8%ad"), forwarded())
            .request(get("/open/%ef%bc%a1"), forwarded()),
            &[
                "/open/%ef%bc%8e%ef%bc%8e/admin",
                "/open%ef%bc%8f..%ef%bc%8fadmin",
                "/open/%e2%80%a4%e2%80%a4/admin",
                "/open/..%e2%81%84admin",
                "/open/%e2%88%95",
                "/open/%ef%bc%bc",
                "/open/%ef%bc%85",
                "/open/%e0%80%ae%e0%80%ae/admin",
                "/open/%f0%80%80%af",
                "/open/%e0%81%a1",
                "/open/%cd%be",
            ],
            without_token,
            &denied("token_missing"),
        ),
        Scenario::new("a path waits for keys in each of its interpretations", {
            let mut config = config(with(remote_provider(), json!({"audiences": [AUDIENCE]})));
            config["rules"] = json!([needs("/reports", json!({})), {"match": {"prefix": "/"}}]);
            config
        })
        .request(get("/%72eports").bearer(&good), forwarded())
        .request(get("/%72eports"), denied("token_missing"))
        .fetches(1),
    ]
}
