//! Events in an order that a seed decides, and what must hold after each.

mod chance;
mod exports;
mod issuer;
mod open;
mod reached;
mod workers;

use std::ffi::{c_int, c_void};
use std::ptr::{self, null};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::envoy::{Buffer, Config, Field, SECRET};

use chance::Chance;
use exports::*;
use issuer::issuer;
pub(crate) use issuer::keys;
use open::Open;
pub(crate) use reached::REACHED;
use reached::note;
pub(crate) use workers::{Main, Worker, run_workers};

/// The filter checks every token that names this issuer, and refuses each.
const CONFIG: &str = r#"{
    "providers": {"corp": {
        "issuer": "https://issuer.example", "audiences": ["a"],
        "remote_jwks": {"http_uri": {"uri": "http://idp/jwks", "cluster": "CLUSTER", "timeout": "1s"}},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "from_params": ["access_token"],
        "claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}],
        "binding": {"dpop": {"nonce": {"secret": {"name": "nonces", "sds_config": {"ads": {}}}}}},
        "payload_in_metadata": "claims", "failed_status_in_metadata": "failure"
    }},
    "rules": [{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    "requirement_map": {"corp": {"provider_name": "corp"}, "open": {}},
    "filter_state_rules": {"name": "word", "requires": {"word": {}}},
    "limits": {"max_waiting_requests": 4}
}"#;

/// A configuration, its streams and its requests for keys.
struct World {
    config: Box<Config>,
    filter: *const c_void,
    open: Vec<Open>,
}

impl World {
    fn answer(&self, chance: &mut Chance<'_>) {
        let Some(id) = self.config.calls.borrow_mut().pop() else {
            return;
        };
        let id = if chance.below(5) == 0 { chance.next() } else { id };
        let issuer = issuer();
        let keys = chance
            .one(&[issuer.keys.as_str(), issuer.later_keys.as_str()])
            .to_owned();
        let body = chance.spoiled(&keys);
        note(&REACHED.answers);
        let middle = body.len() / 2;
        let chunks = [
            Buffer::of(&body[..middle]),
            Buffer::EMPTY,
            Buffer::of(&body[middle..]),
        ];
        let status = chance
            .one(&["200", "200", "200", "200", "200", "304", "503", "x", ""])
            .to_owned();
        let fields = [
            (":status", status.as_str()),
            ("Cache-Control", "max-age=1"),
            ("etag", "\"a\""),
        ]
        .map(|(name, value)| Field {
            name: Buffer::of(name.as_bytes()),
            value: Buffer::of(value.as_bytes()),
        });
        let (result, is_empty) = (chance.below(8), chance.below(8) == 0);
        // 0 is a valid answer; Envoy never uses 3.
        let result = c_int::try_from(result).unwrap().saturating_sub(4).max(0);
        let (fields, count, chunks, chunk_count) = match is_empty {
            true => (null(), 0, null(), 0),
            false => (fields.as_ptr(), fields.len(), chunks.as_ptr(), chunks.len()),
        };
        envoy_dynamic_module_on_http_filter_config_http_callout_done(
            config_pointer(&self.config),
            self.filter,
            id,
            result,
            fields,
            count,
            chunks,
            chunk_count,
        );
        self.config.take_back();
    }
}

/// Envoy answers a request for keys itself, while the module still waits for its number.
fn answer_within(config: &Config) {
    let Some(filter) = config.ours.get() else { return };
    let status = Field {
        name: Buffer::of(b":status"),
        value: Buffer::of(b"503"),
    };
    envoy_dynamic_module_on_http_filter_config_http_callout_done(
        config_pointer(config),
        filter,
        1,
        0,
        &raw const status,
        1,
        null(),
        0,
    );
}

fn config_pointer(config: &Config) -> *mut c_void {
    std::ptr::from_ref(config).cast_mut().cast()
}

fn new_filter(config: &Config, text: &[u8]) -> *const c_void {
    config.ours.set(None);
    let filter = envoy_dynamic_module_on_http_filter_config_new(
        config_pointer(config),
        Buffer::of(b"jwt"),
        Buffer::of(text),
    );
    config.take_back();
    config.ours.set((!filter.is_null()).then_some(filter));
    filter
}

/// A different path and secret for each world, so that none finds those of another.
fn text(cluster: &str, world: u64) -> String {
    CONFIG
        .replace("CLUSTER", cluster)
        .replace("/jwks", &format!("/jwks-{world}"))
        .replace("nonces", &format!("nonces-{world}"))
}

/// One run on one thread, which is the main thread and a worker.
pub(crate) fn run(seed: u64, events: usize) {
    run_by(Chance::new(seed), seed, |_, done| done < events);
}

/// The same with the numbers of a fuzzer, until none are left.
pub(crate) fn run_given(bytes: &[u8]) {
    static RUNS: AtomicU64 = AtomicU64::new(1 << 32);
    let chance = Chance {
        given: bytes.iter(),
        state: 1,
    };
    run_by(chance, RUNS.fetch_add(1, Ordering::Relaxed), |chance, _| {
        chance.given.len() > 0
    });
}

fn run_by(mut chance: Chance<'_>, number: u64, goes_on: impl Fn(&Chance<'_>, usize) -> bool) {
    assert!(!envoy_dynamic_module_on_program_init().is_null());
    // It arrives later, or never.
    SECRET.lock().unwrap().clear();
    let cluster = chance.one(&["idp", "idp", "absent", "full"]).to_owned();
    let config = Box::new(Config::default());
    // Spoiled, it may or may not be a configuration.
    let spoiled = chance.spoiled(&text(&cluster, number));
    let maybe = new_filter(&config, &spoiled);
    if !maybe.is_null() {
        envoy_dynamic_module_on_http_filter_config_destroy(maybe);
    }
    let filter = new_filter(&config, text(&cluster, number).as_bytes());
    assert!(!filter.is_null());
    config.within.set(Some(answer_within));
    let routes: Vec<*const c_void> = [
        r#"{"requirement_name":"corp"}"#,
        r#"{"disabled":true}"#,
        "{}",
        "\0",
    ]
    .into_iter()
    .map(|text| {
        let text = chance.spoiled(text);
        envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer::of(b"jwt"), Buffer::of(&text))
    })
    .filter(|route| !route.is_null())
    .collect();
    // Envoy also hands out the configuration that another module has made for a route. Only that module may
    // read it.
    let foreign = [ptr::without_provenance(1), ptr::from_ref(&chance).cast()];
    let lent: Vec<*const c_void> = routes.iter().copied().chain(foreign).collect();
    let mut world = World {
        config,
        filter,
        open: Vec::new(),
    };
    let mut done = 0;
    while goes_on(&chance, done) {
        done += 1;
        match chance.below(8) {
            0 | 1 if world.open.len() < 12 => {
                let route = (chance.below(8) > 0).then(|| lent[chance.below(lent.len())]);
                world.open.push(Open::new(world.filter, 0, &mut chance, route));
            }
            2 => {
                if chance.below(4) == 0 {
                    // Most are long enough for a secret.
                    *SECRET.lock().unwrap() = chance.bytes().repeat(3);
                }
                envoy_dynamic_module_on_http_filter_config_scheduled(
                    config_pointer(&world.config),
                    world.filter,
                    chance.next(),
                );
                world.config.take_back();
            }
            3 => world.answer(&mut chance),
            4 if !world.open.is_empty() => {
                let index = chance.below(world.open.len());
                world.open.swap_remove(index).close(&mut chance);
            }
            _ if !world.open.is_empty() => {
                let index = chance.below(world.open.len());
                world.open[index].event(&mut chance);
            }
            _ => {}
        }
    }
    for open in world.open {
        open.close(&mut chance);
    }
    for route in routes {
        envoy_dynamic_module_on_http_filter_per_route_config_destroy(route);
    }
    envoy_dynamic_module_on_http_filter_config_destroy(filter);
}
