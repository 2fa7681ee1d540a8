//! Several workers of one process: a VM each on a thread of its own, with shared data between them.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::seal::SealKey;
use serde_json::{Value, json};
use testkit::Request;

use super::stub::{self, Fault, Host, SharedData, State};
use super::vm::{self, Answer, Vm, document};
use scenarios::dpop::Client;
use scenarios::{self, get, token, token_of, world};

type Job = Box<dyn FnOnce(&mut Vm) + Send>;

/// The common parts of the workers of one process: shared data, and the time of their start.
#[derive(Clone)]
struct Process {
    shared: Arc<Mutex<SharedData>>,
    begin: u64,
}

impl Process {
    fn new() -> Self {
        Self {
            shared: Arc::default(),
            begin: u64::try_from(testkit::unix_now()).expect("after 1970") * 1000,
        }
    }
}

/// A worker's thread. It does one thing at a time, on request.
struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// A worker whose plugin is configured with keys from the issuer.
    fn start(process: &Process) -> Self {
        Self::start_with(process, scenarios::config(scenarios::remote_provider()), |_| {})
    }

    /// A worker with this configuration, on a host that this changes.
    fn start_with(process: &Process, config: Value, change: impl FnOnce(&mut Host) + Send + 'static) -> Self {
        let (jobs, todo) = channel::<Job>();
        let (shared, begin) = (process.shared.clone(), process.begin);
        let thread = std::thread::spawn(move || {
            let mut vm = Vm::boot(|host| {
                host.shared = shared;
                host.now = begin;
                change(host);
            });
            assert!(vm.configure(config.to_string()));
            for job in todo {
                job(&mut vm);
            }
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Does this in the worker, and waits for it.
    fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Vm) -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move |vm| drop(done.send(job(vm))));
        let jobs = self.jobs.as_ref().expect("the worker has not ended");
        jobs.send(job).expect("the worker lives");
        result.recv().expect("the worker has done it")
    }

    fn open(&self) -> u32 {
        self.run(|vm| vm.open(&get("/orders").bearer(&token().mint())))
    }

    /// The details of the answer to this request, and its header fields; `None` if the request passes.
    fn reply(&self, request: Request) -> Option<(String, Vec<(String, String)>)> {
        let reply = self.run(move |vm| vm.request(&request).reply)?;
        Some((reply.details, reply.headers.texts()))
    }

    fn state(&self, id: u32) -> State {
        self.run(move |_| vm::state(id))
    }

    fn pass(&self, duration: Duration) {
        self.run(move |vm| vm.pass(duration));
    }

    fn calls(&self) -> usize {
        self.host(|host| host.calls.len())
    }

    fn host<T: Send + 'static>(&self, look: impl FnOnce(&mut Host) -> T + Send + 'static) -> T {
        self.run(|_| stub::with(look))
    }

    fn metric(&self, name: &'static str) -> Option<u64> {
        self.host(|host| host.metric(name))
    }
}

/// The VM ends. A fault in it fails the test.
impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let outcome = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(outcome, Some(Ok(()))));
    }
}

const MOMENT: Duration = Duration::from_millis(20);

fn two() -> (Worker, Worker) {
    let process = Process::new();
    (Worker::start(&process), Worker::start(&process))
}

#[test]
fn one_fetch_serves_two_workers() {
    let (first, second) = two();
    first.run(Vm::pass_to_tick);
    second.run(Vm::pass_to_tick);
    assert_eq!((first.calls(), second.calls()), (1, 0));

    // Both have requests that wait; the second sees the keys in shared data, where it looks often.
    let (at_first, at_second) = (first.open(), second.open());
    first.run(|vm| vm.answer_next(&Answer::document(&document())));
    assert_eq!(first.state(at_first), State::Forwarded);
    assert_eq!(second.state(at_second), State::Open);
    second.pass(MOMENT);
    assert_eq!(second.state(at_second), State::Forwarded);

    assert_eq!((first.calls(), second.calls()), (0, 0));
    assert_eq!(first.metric("jwt.provider.corp.fetch_success"), Some(1));
    assert_eq!(second.metric("jwt.provider.corp.fetch_success"), Some(0));
    assert_eq!(second.metric("jwt.provider.corp.keys"), Some(1));
}

#[test]
fn a_third_that_comes_later_has_the_keys_before_its_first_request() {
    let process = Process::new();
    let first = Worker::start(&process);
    first.run(Vm::pass_to_tick);
    first.run(|vm| vm.answer_next(&Answer::document(&document())));
    drop(first);
    // Only the shared data remains, as after a restart of the VM.
    let third = Worker::start(&process);
    assert_eq!(third.state(third.open()), State::Forwarded);
    third.pass(Duration::from_secs(60));
    assert_eq!(third.calls(), 0);
}

#[test]
fn of_two_that_claim_at_once_one_fetches() {
    let process = Process::new();
    let (first, second) = (Worker::start(&process), Arc::new(Worker::start(&process)));
    let waiting = second.open();
    // Between the first worker's read of the record and its write, the second worker does all its work.
    let between = second.clone();
    first.host(|host| host.before_write = Some(Box::new(move || between.run(Vm::pass_to_tick))));
    first.run(Vm::pass_to_tick);
    assert_eq!((first.calls(), second.calls()), (0, 1));
    second.run(|vm| vm.answer_next(&Answer::document(&document())));
    assert_eq!(second.state(waiting), State::Forwarded);
    // The worker that was slower adopts the keys at its next read.
    first.pass(Duration::from_secs(1));
    assert_eq!(first.state(first.open()), State::Forwarded);
    assert_eq!((first.calls(), second.calls()), (0, 0));
}

#[test]
fn a_worker_that_dies_over_its_fetch_is_replaced() {
    let (first, second) = two();
    first.run(Vm::pass_to_tick);
    assert_eq!(first.calls(), 1);
    let waiting = second.open();
    drop(first);
    // The call's timeout of a second, and a second more: the lease has run out.
    second.pass(Duration::from_millis(1900));
    assert_eq!(second.calls(), 0);
    second.pass(Duration::from_millis(200));
    assert_eq!(second.calls(), 1);
    second.run(|vm| vm.answer_next(&Answer::document(&document())));
    assert_eq!(second.state(waiting), State::Forwarded);
}

#[test]
fn a_rotated_key_is_fetched_once_for_both() {
    let (first, second) = two();
    first.run(Vm::pass_to_tick);
    first.run(|vm| vm.answer_next(&Answer::document(&document())));
    for worker in [&first, &second] {
        worker.pass(Duration::from_secs(2));
    }
    let rotated = || get("/").bearer(&scenarios::token_of(&world().rsa_next).mint());
    let waiting = [&first, &second].map(|worker| (worker, worker.run(move |vm| vm.open(&rotated()))));
    for worker in [&first, &second] {
        worker.pass(MOMENT);
    }
    assert_eq!((first.calls(), second.calls()), (1, 0));
    let keys = testkit::jwks(&[&world().rsa, &world().rsa_next]).to_string();
    first.run(move |vm| vm.answer_next(&Answer::document(&keys)));
    second.pass(MOMENT);
    for (worker, id) in waiting {
        assert_eq!(worker.state(id), State::Forwarded);
        assert_eq!(worker.calls(), 0);
    }
}

/// The seal of a filter with this configuration.
fn seal(config: &Value) -> SealKey {
    let config = Config::parse(config.to_string().as_bytes()).expect("a good configuration");
    config.seal
}

/// Writes keys into shared data, then replaces one of the two values by other bytes: with the filter's own
/// MAC, or as another module would write them.
fn spoiled(place: &str, is_sealed: bool, spoil: impl FnOnce(&[u8]) -> Vec<u8>) -> Process {
    let process = Process::new();
    let worker = Worker::start(&process);
    worker.run(Vm::pass_to_tick);
    worker.run(|vm| vm.answer_next(&Answer::document(&document())));
    drop(worker);
    let mut shared = process.shared.lock().unwrap();
    let key = shared.keys().find(|key| key.ends_with(place)).map(str::to_owned);
    let key = key.expect("it was written");
    let (value, _) = shared.get(&key).expect("its value");
    let seal = seal(&scenarios::config(scenarios::remote_provider()));
    let content = spoil(seal.open(&key, &value).expect("our seal"));
    let entry = match is_sealed {
        true => seal.seal(&key, &content),
        false => content,
    };
    shared.set(&key, &entry, 0);
    drop(shared);
    process
}

/// Whether a worker that finds these bytes asks the issuer itself, and decides by the response.
fn recovers(process: &Process) {
    let worker = Worker::start(process);
    let waiting = worker.open();
    worker.pass(MOMENT);
    assert_eq!(worker.calls(), 1);
    worker.run(|vm| vm.answer_next(&Answer::document(&document())));
    assert_eq!(worker.state(waiting), State::Forwarded);
}

#[test]
fn a_record_that_cannot_be_read_is_none() {
    for bytes in [&b""[..], b"[]", b"{", b"{\"version\":-1}", b"\xff"] {
        recovers(&spoiled("/head", true, |_| bytes.into()));
        recovers(&spoiled("/head", false, |_| bytes.into()));
    }
}

#[test]
fn a_document_that_cannot_be_used_is_fetched_anew() {
    for bytes in [&b""[..], b"garbage", b"{\"keys\":[]}"] {
        recovers(&spoiled("/jwks", false, |_| bytes.into()));
        recovers(&spoiled("/jwks", true, |_| bytes.into()));
        // The same, as if the writer of the record had written it.
        recovers(&spoiled("/jwks", true, |value| [&value[..8], bytes].concat()));
    }
}

/// The shared data of a process.
fn entries(process: &Process) -> Vec<(String, Vec<u8>)> {
    let shared = process.shared.lock().unwrap();
    let names: Vec<String> = shared.keys().map(str::to_owned).collect();
    names
        .into_iter()
        .map(|name| {
            let (value, _) = shared.get(&name).expect("its value");
            (name, value)
        })
        .collect()
}

fn put(process: &Process, entries: &[(String, Vec<u8>)]) {
    let mut shared = process.shared.lock().unwrap();
    for (name, value) in entries {
        shared.set(name, value, 0);
    }
}

/// A process that has keys from its issuer, and its only worker.
fn warm(config: Value, document: &str) -> (Process, Worker) {
    let process = Process::new();
    let worker = Worker::start_with(&process, config, |_| {});
    let answer = Answer::document(document);
    worker.run(Vm::pass_to_tick);
    worker.run(move |vm| vm.answer_next(&answer));
    (process, worker)
}

fn remote() -> Value {
    scenarios::config(scenarios::remote_provider())
}

#[test]
fn keys_that_a_neighbour_plants_serve_nobody() {
    let planted = testkit::jwks(&[&world().rsa_next]).to_string();
    let by_planted = || token_of(&world().rsa_next).mint();
    // Entries in the filter's own form, with every MAC that another module can make: none, that of another
    // configuration, that of a secret, and the filter's own MAC of another entry.
    let (theirs, _) = warm(remote(), &planted);
    let own = seal(&remote());
    let contents: Vec<_> = entries(&theirs)
        .into_iter()
        .map(|(name, entry)| {
            let content = own.open(&name, &entry).expect("our seal").to_vec();
            (name, content)
        })
        .collect();
    let other = seal(&scenarios::config(scenarios::with(
        scenarios::remote_provider(),
        json!({"audiences": ["another"]}),
    )));
    for number in 0..4 {
        let (process, _worker) = warm(remote(), &document());
        let genuine = entries(&process);
        let planted: Vec<_> = contents
            .iter()
            .map(|(name, content)| {
                let entry = match number {
                    0 => content.clone(),
                    1 => other.seal(name, content),
                    2 => SealKey::from_secret(b"").seal(name, content),
                    _ => {
                        let (_, swapped) = genuine.iter().find(|(known, _)| known != name).expect("two");
                        swapped.clone()
                    }
                };
                (name.clone(), entry)
            })
            .collect();
        put(&process, &planted);
        let worker = Worker::start(&process);
        let forged = worker.run(move |vm| vm.open(&get("/orders").bearer(&by_planted())));
        worker.pass(MOMENT);
        assert_eq!(worker.calls(), 1, "{number}: it asks the issuer itself");
        worker.run(|vm| vm.answer_next(&Answer::document(&document())));
        assert_ne!(worker.state(forged), State::Forwarded, "{number}");
        let good = worker.open();
        assert_eq!(worker.state(good), State::Forwarded, "{number}");
    }
}

#[test]
fn a_neighbour_that_overwrites_everything_all_the_time_costs_fetches_and_no_request() {
    let (process, worker) = warm(remote(), &document());
    let other = Worker::start(&process);
    other.pass(MOMENT);
    let garbage: Vec<_> = entries(&process)
        .into_iter()
        .map(|(name, _)| (name, b"garbage".to_vec()))
        .collect();
    let mut fetches = 0;
    // Past the time at which the keys are refreshed.
    for second in 0..590 {
        put(&process, &garbage);
        for (number, worker) in [&worker, &other].into_iter().enumerate() {
            worker.pass(Duration::from_secs(1));
            if second % 10 == 0 {
                let good = worker.open();
                assert_eq!(worker.state(good), State::Forwarded, "{number} {second}");
            }
            if worker.calls() > 0 {
                fetches += 1;
                worker.run(|vm| vm.answer_next(&Answer::document(&document())));
            }
        }
    }
    // One by itself, and the other too unless it has seen the first one's in time.
    assert!((1..=2).contains(&fetches), "{fetches}");
}

#[test]
fn keys_that_were_withdrawn_do_not_come_back_with_an_old_record() {
    let both = testkit::jwks(&[&world().rsa, &world().rsa_next]).to_string();
    let (process, worker) = warm(remote(), &both);
    let old = entries(&process);
    let by_withdrawn = |worker: &Worker| {
        let id = worker.run(|vm| vm.open(&get("/orders").bearer(&token_of(&world().rsa_next).mint())));
        worker.state(id)
    };
    assert_eq!(by_withdrawn(&worker), State::Forwarded);
    while worker.calls() == 0 {
        worker.pass(Duration::from_millis(500));
    }
    worker.run(|vm| vm.answer_next(&Answer::document(&document())));
    assert_ne!(by_withdrawn(&worker), State::Forwarded);
    for _ in 0..3 {
        put(&process, &old);
        worker.pass(Duration::from_secs(2));
        assert_ne!(by_withdrawn(&worker), State::Forwarded);
        let good = worker.open();
        assert_eq!(worker.state(good), State::Forwarded);
    }
}

#[test]
fn a_new_configuration_in_the_same_vm_finds_the_keys_and_leaves_them_for_the_other_workers() {
    let (process, worker) = warm(remote(), &document());
    let changed = || {
        let fields = json!({"audiences": ["another", scenarios::AUDIENCE]});
        scenarios::config(scenarios::with(scenarios::remote_provider(), fields))
    };
    assert!(worker.run(move |vm| vm.configure(changed().to_string())));
    let good = worker.open();
    assert_eq!(worker.state(good), State::Forwarded);
    // A VM that never knew the first configuration.
    let other = Worker::start_with(&process, changed(), |_| {});
    let good = other.open();
    assert_eq!(other.state(good), State::Forwarded);
    other.pass(MOMENT);
    assert_eq!((worker.calls(), other.calls()), (0, 0));
    // Entries under a secret cannot come from a module without it.
    let mut with_secret = changed();
    with_secret["shared_data"] = json!({"secret": {"inline_string": "0123456789abcdef0123456789abcdef"}});
    assert!(worker.run(move |vm| vm.configure(with_secret.to_string())));
    worker.pass(MOMENT);
    assert_eq!(worker.calls(), 1);
}

#[test]
fn the_two_places_in_shared_data_are_named_by_format_and_source() {
    let process = Process::new();
    let worker = Worker::start(&process);
    // A VM that only tries the configuration leaves nothing behind.
    assert_eq!(process.shared.lock().unwrap().keys().count(), 0);
    worker.run(Vm::pass_to_tick);
    worker.run(|vm| vm.answer_next(&Answer::document(&document())));
    let shared = process.shared.lock().unwrap();
    let mut keys: Vec<&str> = shared.keys().collect();
    keys.sort_unstable();
    let [head, document] = keys[..] else {
        panic!("{keys:?}");
    };
    let place = head.strip_suffix("/head").expect("a head");
    let seal = seal(&scenarios::config(scenarios::remote_provider()));
    assert!(place.starts_with(&format!("proxy-wasm-jwt/2/{}/", seal.id())));
    assert_eq!(document, format!("{place}/jwks"));
}

/// Proofs have to contain nonces of this process.
fn with_nonces() -> Value {
    let binding = json!({"binding": {"dpop": {"nonce": true}}});
    scenarios::config(scenarios::with(scenarios::local_provider(), binding))
}

fn unasked(client: &Client<'_>) -> Request {
    client.request(&client.proof("unasked", json!({})).mint())
}

#[test]
fn used_proofs_that_a_neighbour_plants_refuse_nobody() {
    let with_secret = |secret: &str| {
        let binding = json!({"binding": {"dpop": {"required": true}}});
        let mut config = scenarios::config(scenarios::with(scenarios::local_provider(), binding));
        config["shared_data"] = json!({"secret": {"inline_string": secret}});
        config
    };
    let (own, other) = (
        with_secret("0123456789abcdef0123456789abcdef"),
        with_secret("fedcba9876543210fedcba9876543210"),
    );
    let client = Client::new(&world().es256);
    let request = client.request(&client.proof("planted", json!({})).mint());
    let spend = |process: &Process, config: &Value| {
        Worker::start_with(process, config.clone(), |_| {}).reply(request.clone())
    };
    // The entry that the filter itself writes for this proof, in another process and with another secret.
    let elsewhere = Process::new();
    assert_eq!(spend(&elsewhere, &other), None);
    let [(name, entry)]: [_; 1] = entries(&elsewhere).try_into().expect("one list");
    let content = seal(&other).open(&name, &entry).expect("a MAC").to_vec();
    let ours = name.replace(seal(&other).id(), seal(&own).id());
    for planted in [content.clone(), entry, seal(&other).seal(&ours, &content)] {
        let process = Process::new();
        put(&process, &[(ours.clone(), planted)]);
        assert_eq!(spend(&process, &own), None);
        let replayed = spend(&process, &own).expect("a refusal");
        assert_eq!(replayed.0, "jwt_proof_replayed");
    }
    // With its own MAC, every VM accepts the entry.
    let process = Process::new();
    put(&process, &[(ours.clone(), seal(&own).seal(&ours, &content))]);
    assert_eq!(spend(&process, &own).expect("a refusal").0, "jwt_proof_replayed");
}

/// Requests need a proof of possession with this algorithm, or another one.
fn with_proofs(other: &str) -> Value {
    let binding = json!({"binding": {"dpop": {"required": true, "algorithms": ["ES256", other]}}});
    scenarios::config(scenarios::with(scenarios::local_provider(), binding))
}

/// The entry with the list of used proofs, of a process that has used one.
fn list(process: &Process) -> (String, Vec<u8>) {
    let mut lists = names_with(process, "/proofs/").into_iter();
    let name = lists.next().expect("a list");
    assert_eq!(lists.next(), None);
    let (entry, _) = process.shared.lock().unwrap().get(&name).expect("its entry");
    (name, entry)
}

fn names_with(process: &Process, part: &str) -> Vec<String> {
    let shared = process.shared.lock().unwrap();
    shared
        .keys()
        .filter(|name| name.contains(part))
        .map(str::to_owned)
        .collect()
}

#[test]
fn without_a_secret_no_neighbour_plants_used_proofs_or_finds_their_names() {
    let client = Client::new(&world().es256);
    let request = client.request(&client.proof("planted", json!({})).mint());
    let spend = |process: &Process, config: Value| {
        let worker = Worker::start_with(process, config, |_| {});
        worker.reply(request.clone()).map(|(details, _)| details)
    };
    // The list of another process with the same configuration, with its MAC and without it.
    let elsewhere = Process::new();
    assert_eq!(spend(&elsewhere, with_proofs("EdDSA")), None);
    let (name_elsewhere, sealed) = list(&elsewhere);
    for planted in [sealed.clone(), sealed[32..].to_vec(), b"garbage".to_vec()] {
        let process = Process::new();
        assert_eq!(spend(&process, with_proofs("EdDSA")), None);
        let (name, genuine) = list(&process);
        assert_ne!(name, name_elsewhere, "the key of a process is random");
        // A client with the same proof, after the neighbour has overwritten the list, if it found its name.
        put(&process, &[(name.clone(), planted)]);
        assert_eq!(spend(&process, with_proofs("EdDSA")), None);
        put(&process, &[(name, genuine)]);
        let replayed = spend(&process, with_proofs("EdDSA"));
        assert_eq!(replayed.as_deref(), Some("jwt_proof_replayed"));
        // Nor does the entry with the key show it: with another configuration it is of no use.
        let [entry] = &names_with(&process, "/process")[..] else {
            panic!("one configuration");
        };
        let (hidden, _) = process.shared.lock().unwrap().get(entry).expect("its entry");
        let other = seal(&with_proofs("PS256"));
        assert_eq!(other.open(entry, &hidden), None);
        let own = seal(&with_proofs("EdDSA"));
        let content = own.open(entry, &hidden).expect("our MAC");
        let of_process = |key: &SealKey| SealKey::from_process(&key.reveal(content).expect("a key"));
        let used = names_with(&process, of_process(&own).id());
        assert_eq!(used.len(), 1);
        assert_eq!(names_with(&process, of_process(&other).id()).len(), 0);
    }
}

#[test]
fn a_proof_that_was_used_is_so_for_every_configuration_of_the_process() {
    let client = Client::new(&world().es256);
    let (before, after) = (|| with_proofs("EdDSA"), || with_proofs("PS256"));
    let process = Process::new();
    let first = Worker::start_with(&process, before(), |_| {});
    let other = Worker::start_with(&process, before(), |_| {});
    let request = |jti: &str| client.request(&client.proof(jti, json!({})).mint());
    let [early, late, latest] = ["early", "late", "latest"].map(request);
    assert_eq!(first.reply(early.clone()), None);
    // Envoy tries the new configuration in a VM that knows nothing else, and throws that VM away.
    drop(Worker::start_with(&process, after(), |_| {}));
    assert!(first.run(move |vm| vm.configure(after().to_string())));
    // The other worker still has the configuration before. The third VM replaces one that has crashed.
    assert_eq!(other.reply(late.clone()), None);
    let third = Worker::start_with(&process, after(), |_| {});
    assert_eq!(third.reply(latest.clone()), None);
    for (number, worker) in [&first, &other, &third].into_iter().enumerate() {
        for used in [&early, &late, &latest] {
            let (details, _) = worker.reply(used.clone()).expect("a refusal");
            assert_eq!(details, "jwt_proof_replayed", "{number}");
        }
    }
}

#[test]
fn workers_that_begin_at_once_agree_on_the_secret_of_nonces() {
    let client = Client::new(&world().es256);
    let process = Process::new();
    let (begun, other) = channel();
    let between = process.clone();
    // Between the first worker's search for a secret and its write, the second worker makes its own secret
    // and issues a nonce.
    let first = Worker::start_with(&process, with_nonces(), move |host| {
        host.before_write = Some(Box::new(move || {
            let second = Worker::start_with(&between, with_nonces(), |_| {});
            let challenge = second.reply(unasked(&Client::new(&world().es256)));
            begun
                .send((second, challenge.expect("a challenge")))
                .expect("the test waits");
        }));
    });
    let challenge = first.reply(unasked(&client)).expect("a challenge");
    let (second, given_before) = other.recv().expect("the second has begun");
    for (number, (details, reply)) in [challenge, given_before].into_iter().enumerate() {
        assert_eq!(details, "jwt_proof_nonce");
        for (name, worker) in [("first", &first), ("second", &second)] {
            let answer = client.answer(&format!("{name} {number}"), &reply);
            assert_eq!(worker.reply(answer), None, "{name} {number}");
        }
    }
}

#[test]
fn nonces_outlive_the_vm_that_has_made_their_secret() {
    let client = Client::new(&world().es256);
    let process = Process::new();
    let first = Worker::start_with(&process, with_nonces(), |_| {});
    let (_, reply) = first.reply(unasked(&client)).expect("a challenge");
    drop(first);
    let second = Worker::start_with(&process, with_nonces(), |_| {});
    assert_eq!(second.reply(client.answer("second", &reply)), None);
}

#[test]
fn a_secret_that_cannot_be_one_is_made_anew() {
    let client = Client::new(&world().es256);
    let process = Process::new();
    drop(Worker::start_with(&process, with_nonces(), |_| {}));
    let mut shared = process.shared.lock().unwrap();
    let keys: Vec<String> = shared.keys().map(str::to_owned).collect();
    assert_eq!(
        keys.len(),
        2,
        "the key of the process, and the bytes for nonces: {keys:?}"
    );
    for key in &keys {
        shared.set(key, b"short", 0);
    }
    drop(shared);
    let worker = Worker::start_with(&process, with_nonces(), |_| {});
    let (_, reply) = worker.reply(unasked(&client)).expect("a challenge");
    assert_eq!(worker.reply(client.answer("worker", &reply)), None);
}

#[test]
fn while_nobody_can_tell_the_secret_proofs_are_refused_and_no_fault_of_the_clients() {
    let client = Client::new(&world().es256);
    let worker = Worker::start_with(&Process::new(), with_nonces(), |host| {
        host.fault = Some(Fault {
            import: "proxy_get_shared_data",
            status: 10,
        });
    });
    let details = |request| worker.reply(request).map(|(details, _)| details);
    assert_eq!(details(unasked(&client)).as_deref(), Some("jwt_keys_unavailable"));
    assert_eq!(details(get("/orders").bearer(&token().mint())), None);
    worker.host(|host| host.fault = None);
    worker.pass(Duration::from_secs(1));
    assert_eq!(details(unasked(&client)).as_deref(), Some("jwt_proof_nonce"));
}
