//! The example of an issuer that wants a token itself, as docs/keys.md has it, in a real Envoy.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Algorithm, Bootstrap, EnvoyProcess, Issuer, Listener, Request, SigningKey, Token, Upstream,
    certificate_of, load_yaml, static_cluster,
};

use crate::markdown::page;

/// Where a pod has its credentials.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The example whose first line is this, with the files of the test in place of those of a pod.
fn example(begins: &str, folder: &Path, secret: &Path) -> Value {
    let page = page("docs/keys.md");
    let mut blocks = page.blocks.iter();
    let block = blocks.find(|block| block.text.starts_with(begins));
    let text = &block
        .unwrap_or_else(|| panic!("no block begins with {begins}"))
        .text;
    let text = text
        .replace(FOLDER, &folder.display().to_string())
        .replace("/etc/envoy/kubernetes-token.yaml", &secret.display().to_string());
    load_yaml(&text).expect("YAML")
}

/// Puts the token where a pod finds it, as the kubelet does: a link to a folder is replaced.
fn project(folder: &Path, number: u32, token: &str, ca: &str) {
    let data = folder.join(format!("..{number}"));
    std::fs::create_dir_all(&data).expect("a folder");
    std::fs::write(data.join("token"), token).expect("the token");
    std::fs::write(data.join("ca.crt"), ca).expect("the authority");
    let link = folder.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{number}"), &link).expect("a link");
    std::fs::rename(&link, folder.join("..data")).expect("the link is replaced");
    for name in ["token", "ca.crt"] {
        let file = folder.join(name);
        if !file.exists() {
            std::os::unix::fs::symlink(format!("..data/{name}"), &file).expect("a link");
        }
    }
}

#[test]
fn an_issuer_that_wants_a_token_gets_it_from_the_cluster() {
    let base = std::env::temp_dir().join(format!("bearer-{}", std::process::id()));
    let folder = base.join("serviceaccount");
    std::fs::create_dir_all(&folder).expect("a folder");
    let key = SigningKey::generate(Algorithm::Rs256, Some("k"));
    project(&folder, 1, "first-token", &certificate_of(&key));
    let secret = base.join("kubernetes-token.json");
    let resources = example("resources:", &folder, &secret);
    std::fs::write(&secret, resources.to_string()).expect("the secret's file");

    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    let name = "https://kubernetes.default.svc.cluster.local";
    issuer.serve_discovery(name, "https://10.0.0.1:6443/openid/v1/jwks");
    issuer.serve_jwks("/openid/v1/jwks", &[&key]);

    // As documented, with TLS: Envoy has to take it. The one that is used leads to the issuer of the test.
    let documented = example("- name: kubernetes\n", &folder, &secret)[0].take();
    let mut used = documented.clone();
    let plain = static_cluster("kubernetes", issuer.addr());
    used["type"] = plain["type"].clone();
    used["load_assignment"] = plain["load_assignment"].clone();
    used.as_object_mut()
        .expect("a cluster")
        .remove("transport_socket");
    let mut with_tls = documented;
    with_tls["name"] = json!("with-tls");
    let mut config = example("providers:\n  pods:", &folder, &secret);
    config["providers"]["pods"]["discovery"]["cache_duration"] = json!("1s");
    let bootstrap = Bootstrap::new()
        .cluster("upstream", upstream.addr())
        .cluster_value(used)
        .cluster_value(with_tls)
        .listener(Listener::wasm("jwt", config))
        .build();
    let envoy = EnvoyProcess::start(&bootstrap);

    let token = Token::new(&key)
        .claims(json!({"iss": name, "aud": "orders-api", "sub": "system:serviceaccount:shop:cart"}))
        .expires_in(600)
        .mint();
    let request = Request::get("/").bearer(&token);
    assert_eq!(
        envoy.client("jwt").request(request).status,
        200,
        "{}",
        envoy.log()
    );
    for path in ["/.well-known/openid-configuration", "/openid/v1/jwks"] {
        for fetch in issuer.fetch_log(path) {
            assert_eq!(
                fetch.header("authorization"),
                Some("Bearer first-token"),
                "{path}"
            );
        }
        assert!(issuer.fetches(path) > 0, "{path}");
    }
    assert!(
        upstream
            .last()
            .is_some_and(|seen| seen.header("authorization").is_none())
    );

    // The kubelet replaces the token every hour; Envoy reads it again without a restart.
    project(&folder, 2, "second-token", &certificate_of(&key));
    let is_replaced = || {
        let fetches = issuer.fetch_log("/openid/v1/jwks");
        let last = fetches.last().and_then(|fetch| fetch.header("authorization"));
        last == Some("Bearer second-token")
    };
    let is_replaced_in_time = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        is_replaced()
    });
    assert!(
        is_replaced_in_time,
        "the old token is still sent:\n{}",
        envoy.log()
    );
    std::fs::remove_dir_all(&base).expect("the folder is removed");
}
