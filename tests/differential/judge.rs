//! Explains the differences of a case, and finds those without an explanation.

use proxy_wasm_jwt::policy::RequestPath;
use testkit::{Client, Request};

use crate::case::{self, Aspect, Case, Outcome};
use crate::deviations;

/// A case with each of its differences explained or not.
pub(crate) struct Judged<'c> {
    pub(crate) case: Case<'c>,
    pub(crate) explained: Vec<&'static str>,
    pub(crate) unexplained: Vec<Aspect>,
}

impl Judged<'_> {
    /// The kinds of the differences that nothing explains.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.unexplained
            .iter()
            .map(|aspect| kind(&self.case, aspect))
            .collect()
    }
}

pub(crate) fn judge<'c>(case: Case<'c>, theirs: &Client, stricter: &[(&'static str, Client)]) -> Judged<'c> {
    let mut judged = judge_as_it_is(case);
    if judged.unexplained.is_empty() || !matches!(judged.case.theirs, Outcome::Forwarded(_)) {
        return judged;
    }
    // Theirs may have waived the token although ours does not. Then theirs, with the stricter rules that ours
    // follows, makes the same decision as ours, or one with fewer differences. The remaining differences are
    // of another kind.
    for (id, client) in stricter {
        let Case { config, request, .. } = judged.case;
        let theirs = case::outcome(client, request);
        if theirs == judged.case.theirs {
            continue;
        }
        let mut again = judge_as_it_is(Case::new(config, request, judged.case.ours.clone(), theirs));
        let agrees = std::mem::discriminant(&judged.case.ours) == std::mem::discriminant(&again.case.theirs);
        if agrees || again.unexplained.is_empty() {
            again.explained.push(id);
            judged = again;
        }
        if judged.unexplained.is_empty() {
            return judged;
        }
    }
    // Or jwt_authn would make our filter's decision for another spelling of the path, which servers treat
    // alike.
    let clients = std::iter::once((deviations::READINGS, theirs));
    for (id, client) in clients.chain(stricter.iter().map(|(id, client)| (*id, client))) {
        for request in respelt(judged.case.request) {
            let Case {
                config,
                request: sent,
                ..
            } = judged.case;
            let theirs = case::outcome(client, &request);
            let mut again = judge_as_it_is(Case::new(config, sent, judged.case.ours.clone(), theirs));
            if judged.case.reason().is_some() && again.unexplained.is_empty() {
                again.explained.extend([deviations::READINGS, id]);
                again.explained.dedup();
                return again;
            }
        }
    }
    judged
}

/// The request with its path in each of its other spellings, with and without a slash at the end.
fn respelt(request: &Request) -> Vec<Request> {
    let path = RequestPath::new(request.path.as_bytes());
    let rest = request.path.get(path.bytes().len()..).unwrap_or_default();
    let mut interpretations = path.interpretations().unwrap_or_default();
    interpretations.push(path.bytes().to_vec());
    let with_other_end = |interpretation: &Vec<u8>| match interpretation.strip_suffix(b"/") {
        Some(path) if !path.is_empty() => path.to_vec(),
        _ => [interpretation.as_slice(), b"/"].concat(),
    };
    let others: Vec<Vec<u8>> = interpretations.iter().map(with_other_end).collect();
    interpretations
        .into_iter()
        .chain(others)
        .filter_map(|interpretation| {
            let path = String::from_utf8(interpretation).ok()? + rest;
            Some(Request {
                path,
                ..request.clone()
            })
        })
        .collect()
}

fn judge_as_it_is(case: Case<'_>) -> Judged<'_> {
    let mut explained = Vec::new();
    let mut unexplained = Vec::new();
    for aspect in case.differences() {
        match deviations::explaining(&case, &aspect) {
            Some(deviation) => explained.push(deviation.id),
            None => unexplained.push(aspect),
        }
    }
    Judged {
        case,
        explained,
        unexplained,
    }
}

/// The kind of a difference: differences of one kind have probably one cause.
fn kind(case: &Case<'_>, aspect: &Aspect) -> String {
    match aspect {
        Aspect::Decision | Aspect::Status => {
            let word = |outcome: &Outcome| match outcome {
                Outcome::Forwarded(_) => "forwarded".to_owned(),
                Outcome::Denied { status, details } => format!("{status} {details}"),
            };
            format!("ours {}, theirs {}", word(&case.ours), word(&case.theirs))
        }
        Aspect::Path => "the path upstream".to_owned(),
        Aspect::Header(name) => format!("the header {name} upstream"),
    }
}
