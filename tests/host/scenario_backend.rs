//! Runs a scenario on the real callbacks against the stub of the host.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use testkit::Request;

use super::backends::{Outcome, Running};
use super::stub::{self, Host, State, Stream};
use super::vm::{self, Answer, Vm};
use scenarios::{self, Says, Scenario};

/// How long an issuer takes to answer.
const ANSWER_TIME: Duration = Duration::from_millis(1);

/// Longer than any scenario lets a request wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, and an issuer that answers shortly after each call.
pub(crate) struct OnStub {
    vm: Vm,
    issuer: HashMap<String, Says>,
    fetches: HashMap<String, usize>,
}

impl OnStub {
    pub(crate) fn new(scenario: &Scenario, config: &Value) -> Self {
        let vm = Vm::start(config);
        let property = format!(
            "xds.route_metadata.filter_metadata.gateway.envoyproxy.io/extension-backends.{}",
            scenarios::BACKEND
        );
        stub::with(|host| {
            host.properties.insert(property, b"issuer".to_vec());
        });
        Self {
            vm,
            issuer: scenario.issuer.iter().cloned().collect(),
            fetches: HashMap::new(),
        }
    }

    pub(crate) fn close(self) -> Host {
        self.vm.close()
    }

    /// Answers every call that waits.
    fn answer_all(&mut self) {
        while let Some((id, path, asks_again)) = stub::with(|host| {
            let call = host.calls.front()?;
            assert_eq!(call.cluster, "issuer");
            assert!(call.timeout > 0);
            let path = call.headers.first(":path").expect("a path");
            let path = String::from_utf8(path.to_vec()).expect("a path of ours");
            Some((call.id, path, call.headers.first("if-none-match").is_some()))
        }) {
            self.vm.pass(ANSWER_TIME);
            *self.fetches.entry(path.clone()).or_default() += 1;
            let answer = match self.issuer.get(&path) {
                None => Answer::status(404),
                Some(Says::Reset) => Answer::Reset,
                Some(Says::Status(status)) => Answer::status(*status),
                Some(Says::With(..)) if asks_again => Answer::status(304),
                Some(Says::Document(body)) => Answer::document(body),
                Some(Says::With(body, fields)) => {
                    let status = vec![(":status".to_owned(), "200".to_owned())];
                    Answer::Message([status, fields.clone()].concat(), body.clone().into())
                }
            };
            self.vm.answer(id, &answer);
        }
    }
}

impl Running for OnStub {
    fn requests(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let streams: Vec<u32> = requests.iter().map(|request| self.vm.open(request)).collect();
        let end = vm::now() + vm::millis(PATIENCE);
        while streams.iter().any(|stream| vm::state(*stream) == State::Open) {
            assert!(vm::now() < end, "a request is still held");
            self.answer_all();
            self.vm.pass_to_tick();
        }
        streams
            .iter()
            .map(|id| {
                self.vm.finish(*id);
                let outcome = stub::with(|host| host.past.last().map(outcome));
                outcome.expect("the stream has ended")
            })
            .collect()
    }

    fn issuer(&mut self, path: &str, says: &Says) {
        self.issuer.insert(path.to_owned(), says.clone());
    }

    fn pass(&mut self, duration: Duration) {
        let end = vm::now() + vm::millis(duration);
        while vm::now() < end {
            let next = vm::next_tick().expect("ticks are on").clamp(vm::now() + 1, end);
            self.vm.pass(Duration::from_millis(next - vm::now()));
            self.answer_all();
        }
    }

    fn fetches(&mut self, path: &str) -> usize {
        self.fetches.get(path).copied().unwrap_or_default()
    }
}

fn outcome(stream: &Stream) -> Outcome {
    match &stream.reply {
        Some(reply) => Outcome::Answered {
            status: u16::try_from(reply.status).expect("a status"),
            headers: reply.headers.texts(),
            body: String::from_utf8(reply.body.clone()).expect("UTF-8"),
        },
        None => {
            let (pseudo, headers): (Vec<_>, Vec<_>) = stream
                .headers
                .texts()
                .into_iter()
                .partition(|(name, _)| name.starts_with(':'));
            let path = pseudo.into_iter().find(|(name, _)| name == ":path");
            Outcome::Forwarded {
                path: path.expect("a path").1,
                headers,
            }
        }
    }
}
