//! Any configuration, made to run here: stand-ins replace its issuers, its services and its files.
//!
//! A stand-in has the properties that the configuration expects of its provider: the paths of its documents,
//! the algorithm, the audience. For four issuers it knows the claims that they publish. A cluster with TLS
//! keeps TLS: Envoy checks the server's name as before, but with an authority that the stand-in makes.

mod demands;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use self::demands::{Demands, audiences_of_requirements};
use crate::bootstrap::{socket_address, static_cluster};
use crate::certificates::Authority;
use crate::envoy::load_yaml;
use crate::issuer::{Answer, Issuer};
use crate::{Listener, module_path};
use minting::Token;
use minting::{Algorithm, SigningKey, jwks};

/// Everything around Envoy that a configuration needs. It lasts as long as this value.
#[derive(Debug)]
pub struct StandIns {
    bootstrap: Value,
    listeners: Vec<String>,
    providers: Vec<Provider>,
    /// By cluster.
    issuers: BTreeMap<String, Issuer>,
    left_out: Vec<String>,
    authority: Authority,
    sockets: tempfile::TempDir,
}

/// A provider of the configuration whose issuer is played.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// The tokens' `iss`.
    pub issuer: String,
    /// The cluster that leads to its keys.
    pub cluster: String,
    /// Where its keys are published.
    pub jwks_path: String,
    /// The key that signs its tokens.
    pub algorithm: Algorithm,
    token_type: String,
    claims: Map<String, Value>,
    lifetime: i64,
    unmet: Vec<String>,
}

/// The route metadata in which Envoy Gateway names the clusters of extension backends, by alias.
const EXTENSION_BACKENDS: &str = "gateway.envoyproxy.io/extension-backends";

/// The URL of the issuer's document or keys.
struct Source {
    cluster: String,
    path: String,
    host: String,
    is_discovery: bool,
}

impl StandIns {
    /// Reads a configuration of Envoy, or one of the filter alone, and starts the servers that it needs.
    /// Requests that are let through reach `upstream`; the first listener is bound to `port` of 127.0.0.1.
    ///
    /// # Errors
    /// Fails with the missing part of the configuration, or with the key that could not be made.
    pub fn start(
        path: &Path,
        upstream: SocketAddr,
        port: u16,
        mut key: impl FnMut(Algorithm) -> Result<SigningKey, String>,
    ) -> Result<Self, String> {
        let named = |error: String| format!("{}: {error}", path.display());
        let mut bootstrap = load(path)?;
        let mut configs = take_over_filters(&mut bootstrap);
        let backends = name_backends(&mut configs, &bootstrap);
        map_backends(&mut bootstrap, &backends);
        if configs.is_empty() {
            return Err(named(
                "no Wasm filter in it has `providers` in its configuration, so there is nothing to run"
                    .into(),
            ));
        }
        let mut stand_ins = Self {
            bootstrap,
            listeners: Vec::new(),
            providers: Vec::new(),
            issuers: BTreeMap::new(),
            left_out: Vec::new(),
            authority: Authority::generate(),
            sockets: tempfile::tempdir().map_err(|error| named(error.to_string()))?,
        };
        let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for config in &configs {
            for (name, provider) in member(config, "providers")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let Some(source) = source(provider) else { continue };
                stand_ins
                    .play(config, name, provider, &source, &mut key)
                    .map_err(named)?;
                for cluster in clusters_of(provider) {
                    hosts.entry(cluster).or_default().insert(source.host.clone());
                }
            }
        }
        stand_ins.bind(port).map_err(named)?;
        stand_ins.replace_clusters(upstream, &hosts);
        if let Some(bootstrap) = stand_ins.bootstrap.as_object_mut() {
            bootstrap.remove("admin");
        }
        Ok(stand_ins)
    }

    /// The configuration as it runs here, without its admin section.
    pub fn bootstrap(&self) -> &Value {
        &self.bootstrap
    }

    /// The names of its listeners.
    pub fn listeners(&self) -> &[String] {
        &self.listeners
    }

    /// The providers whose issuers are played.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The issuer behind this cluster.
    pub fn issuer(&self, cluster: &str) -> Option<&Issuer> {
        self.issuers.get(cluster)
    }

    /// The parts of the configuration that do not run here, one sentence each.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Publishes the documents of the provider's issuer.
    fn play(
        &mut self,
        config: &Value,
        name: &str,
        provider: &Value,
        source: &Source,
        key: &mut impl FnMut(Algorithm) -> Result<SigningKey, String>,
    ) -> Result<(), String> {
        let played = Provider::read(config, name, provider, source)?;
        let keys = Answer::json(&jwks(&[&key(played.algorithm)?])).cache_control("max-age=600");
        for cluster in clusters_of(provider) {
            let issuer = self.issuers.entry(cluster).or_insert_with(Issuer::start);
            issuer.serve(&played.jwks_path, keys.clone());
            if source.is_discovery {
                // The keys are on the document's own host, as with most issuers.
                let uri = format!("https://{}{}", source.host, played.jwks_path);
                let document = json!({"issuer": document_issuer(provider), "jwks_uri": uri});
                issuer.serve(&source.path, Answer::json(&document));
            }
        }
        self.providers
            .retain(|known| known.name != played.name || known.issuer != played.issuer);
        self.providers.push(played);
        Ok(())
    }

    /// Gives each listener an address of 127.0.0.1, and a name if it has none.
    fn bind(&mut self, port: u16) -> Result<(), String> {
        let listeners = self.bootstrap["static_resources"]["listeners"]
            .as_array_mut()
            .filter(|listeners| !listeners.is_empty())
            .ok_or("it has no static listener")?;
        for (number, listener) in listeners.iter_mut().enumerate() {
            let name = match listener["name"].as_str() {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => format!("listener-{number}"),
            };
            listener["name"] = name.clone().into();
            listener["address"] = socket_address(([127, 0, 0, 1], if number == 0 { port } else { 0 }).into());
            let chains = listener["filter_chains"].as_array_mut().into_iter().flatten();
            for chain in chains.filter_map(Value::as_object_mut) {
                if chain.remove("transport_socket").is_some() {
                    chain.remove("filter_chain_match");
                    self.left_out
                        .push(format!("listener {name}: it speaks plain HTTP here, not TLS"));
                }
            }
            self.listeners.push(name);
        }
        Ok(())
    }

    /// An issuer's cluster leads to its stand-in, every other cluster to the upstream.
    fn replace_clusters(&mut self, upstream: SocketAddr, hosts: &BTreeMap<String, BTreeSet<String>>) {
        let resources = &mut self.bootstrap["static_resources"];
        let mut clusters: Vec<Value> = Vec::new();
        let mut doors = Vec::new();
        let before = resources["clusters"].take();
        for cluster in before.as_array().into_iter().flatten() {
            let Some(name) = cluster["name"].as_str() else {
                continue;
            };
            let Some(issuer) = self.issuers.get(name) else {
                clusters.push(static_cluster(name, upstream));
                continue;
            };
            let mut replaced = static_cluster(name, issuer.addr());
            if let Some(socket) = cluster.get("transport_socket") {
                let names = hosts.get(name).cloned().unwrap_or_default();
                let certificate = self.authority.issue_for(&server_names(socket, names));
                let behind = format!("{name} without TLS");
                let path = self.sockets.path().join(format!("{}.sock", clusters.len()));
                let address = json!({"pipe": {"path": path}});
                replaced["load_assignment"]["endpoints"] =
                    json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
                replaced["transport_socket"] = self.authority.trusted_by(socket);
                clusters.push(static_cluster(&behind, issuer.addr()));
                doors.push(json!({
                    "name": format!("{name} with TLS"),
                    "address": address,
                    "filter_chains": [{
                        "transport_socket": self.authority.downstream(&certificate),
                        "filters": [{
                            "name": "envoy.filters.network.tcp_proxy",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                                "stat_prefix": "stand-in", "cluster": behind,
                            },
                        }],
                    }],
                }));
            }
            clusters.push(replaced);
        }
        let has = |clusters: &[Value], name: &str| clusters.iter().any(|cluster| cluster["name"] == name);
        for (name, issuer) in &self.issuers {
            if !has(&clusters, name) {
                self.left_out.push(format!(
                    "cluster {name}: the configuration has none of this name, so it is added"
                ));
                clusters.push(static_cluster(name, issuer.addr()));
            }
        }
        resources["clusters"] = clusters.into();
        if let Some(listeners) = resources["listeners"].as_array_mut() {
            listeners.extend(doors);
        }
    }
}

impl Provider {
    /// Finds the provider with this name, or the first one, without starting anything.
    ///
    /// # Errors
    /// Says why no stand-in signs tokens of the provider.
    pub fn find(path: &Path, wanted: Option<&str>) -> Result<Self, String> {
        let named = |error: &str| format!("{}: {error}", path.display());
        let mut bootstrap = load(path)?;
        let mut configs = take_over_filters(&mut bootstrap);
        name_backends(&mut configs, &bootstrap);
        let mut others = Vec::new();
        for config in &configs {
            let providers = member(config, "providers").and_then(Value::as_object);
            for (name, provider) in providers.into_iter().flatten() {
                let source = source(provider);
                match (source, wanted.is_none_or(|wanted| wanted == name)) {
                    (Some(source), true) => {
                        return Self::read(config, name, provider, &source).map_err(|error| named(&error));
                    }
                    (None, true) if wanted.is_some() => {
                        return Err(named(&format!(
                            "no provider {name} that fetches its keys: those of this one are in `local_jwks`, so \
                             that only the owner of their private keys has tokens for it"
                        )));
                    }
                    _ => others.push(name.as_str()),
                }
            }
        }
        Err(named(&format!(
            "no provider {} that fetches its keys; there are {others:?}",
            wanted.unwrap_or("of any name")
        )))
    }

    /// The conditions of the configuration that a token of this provider may fail, by their places. They
    /// depend on the request or on a pattern, or contradict others.
    pub fn unmet(&self) -> &[String] {
        &self.unmet
    }

    /// How many seconds its tokens are valid.
    pub fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// A token as the issuer signs it.
    pub fn token(&self, key: &SigningKey) -> Token {
        Token::new(key)
            .header("typ", self.token_type.as_str())
            .claims(self.claims.clone().into())
            .expires_in(self.lifetime)
    }

    fn read(config: &Value, name: &str, provider: &Value, source: &Source) -> Result<Self, String> {
        let template = spellings(provider).next().unwrap_or_default();
        let known = Published::of(template, &source.path);
        let allowed: Vec<&str> = strings(provider, "algorithms").collect();
        let mut signs = [known.algorithm]
            .into_iter()
            .chain(Algorithm::ALL)
            .filter(|algorithm| allowed.is_empty() || allowed.contains(&algorithm.name()));
        let algorithm = signs.next().ok_or_else(|| {
            format!("providers.{name}.algorithms: the stand-in signs with none of {allowed:?}")
        })?;
        let mut claims = known.claims;
        let mut issuer = template.to_owned();
        // A tenant's segment of the issuer, and the claim that names the tenant.
        let tenants = member(provider, "issuer_claims").and_then(Value::as_object);
        for (segment, claim) in tenants.into_iter().flatten() {
            issuer = issuer.replace(&format!("{{{segment}}}"), "tenant-1");
            claims.insert(claim.as_str().unwrap_or(segment).into(), "tenant-1".into());
        }
        claims.insert("iss".into(), issuer.clone().into());
        let mut audiences: Vec<&str> = strings(provider, "audiences").take(1).collect();
        audiences_of_requirements(config, name, &mut audiences);
        audiences.retain(|audience| *audience != "*");
        audiences.dedup();
        match audiences.as_slice() {
            [] => {}
            [audience] if !known.lists_audiences => {
                claims.insert("aud".into(), (*audience).into());
            }
            _ => {
                claims.insert("aud".into(), json!(audiences));
            }
        }
        let has_profile = member(provider, "profile").is_some();
        if has_profile {
            claims.insert("jti".into(), crate::unix_now().to_string().into());
        }
        for claim in strings(provider, "required_claims") {
            claims.entry(claim).or_insert_with(|| "demo".into());
        }
        let mut unmet = Demands::of(config, name, provider).meet(&mut claims);
        let binding = member(provider, "binding");
        if binding
            .and_then(|binding| member(binding, "mtls"))
            .is_some_and(|mtls| mtls == "required")
        {
            unmet.push(format!("providers.{name}.binding.mtls"));
        }
        let dpop = binding.and_then(|binding| member(binding, "dpop"));
        if dpop
            .and_then(|dpop| member(dpop, "required"))
            .is_some_and(|required| required == true)
        {
            unmet.push(format!("providers.{name}.binding.dpop"));
        }
        let longest = member(provider, "max_lifetime").and_then(seconds);
        let token_type = match strings(provider, "token_types").next() {
            Some(token_type) => token_type,
            None if has_profile => "at+jwt",
            None => "JWT",
        };
        Ok(Self {
            name: name.to_owned(),
            cluster: source.cluster.clone(),
            jwks_path: match source.is_discovery {
                true => known.jwks_path,
                false => source.path.clone(),
            },
            issuer,
            algorithm,
            token_type: token_type.to_owned(),
            claims,
            lifetime: longest.map_or(3600, |longest| longest.min(3600)),
            unmet,
        })
    }
}

/// The claims and keys of an issuer, as it publishes them.
struct Published {
    algorithm: Algorithm,
    jwks_path: String,
    lists_audiences: bool,
    claims: Map<String, Value>,
}

impl Published {
    fn of(issuer: &str, document: &str) -> Self {
        let (_, host, base) = split_url(issuer);
        let of = |algorithm, jwks_path: String, lists_audiences, claims: Value| Self {
            algorithm,
            jwks_path,
            lists_audiences,
            claims: claims.as_object().cloned().unwrap_or_default(),
        };
        if host.ends_with(".authgear.cloud") {
            let claims = json!({
                "sub": "user-1", "client_id": "app-1",
                "https://authgear.com/claims/user/is_verified": true,
                "https://authgear.com/claims/user/is_anonymous": false,
            });
            of(Algorithm::Rs256, "/oauth2/jwks".into(), true, claims)
        } else if document.ends_with("/openid-configuration/jwks") {
            let claims = json!({
                "sub": "google-oauth2|109357119042447700062", "scope": "openid profile email", "azp": "google",
                "client_id": "AUTHRESS", "aud": ["user_company_tenant_id"],
            });
            of(Algorithm::EdDsa, document.into(), true, claims)
        } else if host.ends_with(".logto.app") {
            let claims = json!({"sub": "user-1", "client_id": "app-1", "scope": "read:orders write:orders"});
            of(
                Algorithm::Es384,
                format!("{}/jwks", base.trim_end_matches('/')),
                false,
                claims,
            )
        } else if host.ends_with(".authaction.com") {
            of(
                Algorithm::Rs256,
                "/.well-known/jwks.json".into(),
                false,
                json!({"sub": "user-1"}),
            )
        } else {
            let claims = json!({"sub": "alice", "scope": "orders:read", "client_id": "demo", "aud": "demo"});
            of(Algorithm::Rs256, "/jwks".into(), false, claims)
        }
    }
}

/// An Envoy configuration from a file. One of the filter alone gets a listener around it.
fn load(path: &Path) -> Result<Value, String> {
    let named = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let value = load_yaml(&text).map_err(named)?;
    if value.get("providers").is_some() {
        let listener = Listener::wasm("main", value).build();
        let upstream = json!({"name": "upstream"});
        return Ok(json!({"static_resources": {"listeners": [listener], "clusters": [upstream]}}));
    }
    match value.get("static_resources") {
        Some(_) => Ok(value),
        None => Err(named(
            "it has neither `static_resources`, as Envoy's configuration, nor `providers`, as the filter's"
                .into(),
        )),
    }
}

/// Replaces the path of the module by the local one for each filter, and returns the configurations.
fn take_over_filters(value: &mut Value) -> Vec<Value> {
    const FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    match value {
        Value::Object(members) if members.get("@type").is_some_and(|found| found == FILTER) => {
            let config = &members["config"]["configuration"]["value"];
            let config = match config.as_str() {
                Some(text) => serde_json::from_str(text).unwrap_or_default(),
                None => config.clone(),
            };
            if member(&config, "providers").is_none() {
                return Vec::new();
            }
            members["config"]["vm_config"]["code"] = json!({"local": {"filename": module_path()}});
            vec![config]
        }
        Value::Object(members) => members.values_mut().flat_map(take_over_filters).collect(),
        Value::Array(elements) => elements.iter_mut().flat_map(take_over_filters).collect(),
        _ => Vec::new(),
    }
}

/// A member of an object, in snake_case or in lowerCamelCase.
fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    let camel = words.fold(first, |all, word| {
        let (head, rest) = word.split_at(1.min(word.len()));
        all + &head.to_ascii_uppercase() + rest
    });
    object.get(name).or_else(|| object.get(camel.as_str()))
}

/// The texts of a list; one text is a list of one.
fn strings<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    let value = member(object, name);
    let list = value.and_then(Value::as_array).into_iter().flatten();
    value.into_iter().chain(list).filter_map(Value::as_str)
}

/// The possible values of `iss`: `issuer` is one text or a list.
fn spellings(provider: &Value) -> impl Iterator<Item = &str> {
    strings(provider, "issuer")
}

/// A duration in whole seconds.
fn seconds(duration: &Value) -> Option<i64> {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let whole = |seconds: f64| seconds as i64;
    if let Some(number) = duration
        .as_f64()
        .or_else(|| duration.get("seconds").and_then(number))
    {
        return Some(whole(number));
    }
    let text = duration.as_str()?;
    let (value, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic())?);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(whole(value.parse::<f64>().ok()? * unit))
}

/// The cluster of each extension backend. In the configurations, a cluster `{backend: <alias>}` becomes the
/// name that the metadata of a route gives for the alias, or else the alias itself.
fn name_backends(configs: &mut [Value], bootstrap: &Value) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    each_object(bootstrap, &mut |object| {
        let named = object.get(EXTENSION_BACKENDS).and_then(Value::as_object);
        for (alias, cluster) in named.into_iter().flatten() {
            if let Some(cluster) = cluster.as_str() {
                known.entry(alias.clone()).or_insert_with(|| cluster.to_owned());
            }
        }
    });
    let mut used = BTreeMap::new();
    for config in configs {
        name_clusters(config, &mut |alias| {
            let cluster = known.get(alias).cloned().unwrap_or_else(|| alias.to_owned());
            used.insert(alias.to_owned(), cluster.clone());
            cluster
        });
    }
    used
}

fn name_clusters(value: &mut Value, name: &mut impl FnMut(&str) -> String) {
    match value {
        Value::Object(members) => {
            let only = members.get("backend").and_then(Value::as_str);
            if let Some(alias) = only.filter(|_| members.len() == 1) {
                *value = name(alias).into();
                return;
            }
            members
                .values_mut()
                .for_each(|member| name_clusters(member, name));
        }
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| name_clusters(element, name)),
        _ => {}
    }
}

fn each_object(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| each_object(member, visit));
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_object(element, visit)),
        _ => {}
    }
}

/// Gives each route the clusters of the backends that its metadata does not name, as Envoy Gateway does.
fn map_backends(value: &mut Value, backends: &BTreeMap<String, String>) {
    if backends.is_empty() {
        return;
    }
    match value {
        Value::Object(members) => {
            let hosts = members.get_mut("virtual_hosts").and_then(Value::as_array_mut);
            for host in hosts.into_iter().flatten() {
                for route in host["routes"].as_array_mut().into_iter().flatten() {
                    let named = &mut route["metadata"]["filter_metadata"][EXTENSION_BACKENDS];
                    for (alias, cluster) in backends {
                        if named.get(alias).is_none() {
                            named[alias] = cluster.as_str().into();
                        }
                    }
                }
            }
            members
                .values_mut()
                .for_each(|member| map_backends(member, backends));
        }
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| map_backends(element, backends)),
        _ => {}
    }
}

/// The `issuer` that the filter expects in the discovery document.
fn document_issuer(provider: &Value) -> &str {
    let named = member(provider, "discovery").and_then(|discovery| member(discovery, "issuer")?.as_str());
    named
        .or_else(|| spellings(provider).find(|issuer| issuer.starts_with("http")))
        .or_else(|| spellings(provider).next())
        .unwrap_or_default()
}

fn source(provider: &Value) -> Option<Source> {
    let text = |object: &Value, name: &str| member(object, name).and_then(Value::as_str).map(str::to_owned);
    if let Some(discovery) = member(provider, "discovery") {
        let issuer = document_issuer(provider);
        let document = text(discovery, "uri").unwrap_or_else(|| {
            format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            )
        });
        let (_, host, path) = split_url(&document);
        return Some(Source {
            cluster: text(discovery, "cluster")?,
            path,
            host,
            is_discovery: true,
        });
    }
    let http = member(member(provider, "remote_jwks")?, "http_uri")?;
    let (_, host, path) = split_url(&text(http, "uri")?);
    Some(Source {
        cluster: text(http, "cluster")?,
        path,
        host,
        is_discovery: false,
    })
}

/// Every cluster that may lead to a provider's documents.
fn clusters_of(provider: &Value) -> BTreeSet<String> {
    let named = member(provider, "discovery").and_then(|discovery| member(discovery, "clusters"));
    let more = named.and_then(Value::as_object).into_iter().flatten();
    source(provider)
        .map(|source| source.cluster)
        .into_iter()
        .chain(more.filter_map(|(_, cluster)| cluster.as_str().map(str::to_owned)))
        .collect()
}

/// Scheme, host without its port, and path without its query.
fn split_url(url: &str) -> (String, String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.split(':').next().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    (
        scheme.into(),
        host.into(),
        if path.is_empty() { "/" } else { path }.into(),
    )
}

/// The names that a server has to have for this transport socket: those that it asks for, and its documents'
/// hosts.
fn server_names(socket: &Value, mut names: BTreeSet<String>) -> Vec<String> {
    let context = &socket["typed_config"];
    names.extend(context["sni"].as_str().map(str::to_owned));
    let validation = &context["common_tls_context"]["validation_context"];
    for matcher in validation["match_typed_subject_alt_names"]
        .as_array()
        .into_iter()
        .flatten()
    {
        names.extend(matcher["matcher"]["exact"].as_str().map(str::to_owned));
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}
