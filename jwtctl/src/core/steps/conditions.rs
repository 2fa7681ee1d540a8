//! The conditions of a rule on the claims of a verified token, one by one.

use proxy_wasm_jwt::claims::VerifiedJwt;
use proxy_wasm_jwt::denial::Reason;
use proxy_wasm_jwt::json::Json;
use proxy_wasm_jwt::pattern::Effort;

use super::rules::{object, with_rule};
use super::step::Step;
use super::token::{Walker, shorten};
use crate::source::{Node, Value};

impl Walker<'_> {
    /// Each condition separately, as the only one of the only rule.
    pub(super) fn authorize(&mut self, jwt: &VerifiedJwt<'_>) {
        let Some((authorize, path)) = self.authorize.cloned() else {
            return;
        };
        let holds = |authorize: Node| {
            let provider = object(vec![(
                "provider_name",
                Node::new(Value::Text(self.provider.name.to_string()), 0..0),
            )]);
            let every = object(vec![("prefix", Node::new(Value::Text("/".to_owned()), 0..0))]);
            let rule = object(vec![
                ("match", every),
                ("requires", provider),
                ("authorize", authorize),
            ]);
            let config = with_rule(self.node, rule)?;
            let head = self.request.head(&config);
            let rule = config.policy.rules.first()?;
            let authorization = rule.demand.authorization.as_ref()?;
            Some(
                authorization
                    .check(jwt, &head, &mut Effort::of_a_request())
                    .is_ok(),
            )
        };
        let mut steps = Vec::new();
        let claim = |name: &str| {
            let path = proxy_wasm_jwt::claims::ClaimPath::Name(name.into());
            jwt.claim(&path)
                .map_or_else(|| "absent".to_owned(), |value| shorten(Json::text(value)))
        };
        if let Some(scopes) = authorize.get("scopes") {
            let passed = holds(object(vec![("scopes", scopes.clone())]));
            let names: Vec<String> = match scopes.get("claim_names").or_else(|| scopes.get("claim_name")) {
                Some(names) => names
                    .elements()
                    .iter()
                    .filter_map(Node::text)
                    .chain(names.text())
                    .map(str::to_owned)
                    .collect(),
                None => vec!["scope".to_owned(), "scp".to_owned()],
            };
            let seen: Vec<String> = names
                .iter()
                .map(|name| format!("{name} {}", claim(name)))
                .collect();
            steps.push(Step {
                name: format!("{path}.authorize.scopes"),
                passed,
                seen: seen.join(", "),
                expected: scopes.to_json(),
                reason: (passed == Some(false)).then_some(Reason::ScopeInsufficient.label()),
            });
        }
        for (position, condition) in authorize
            .get("claims")
            .map_or(&[][..], Node::elements)
            .iter()
            .enumerate()
        {
            let only = Node::new(Value::List(vec![condition.clone()]), condition.place.clone());
            let passed = holds(object(vec![("claims", only)]));
            let mut names = Vec::new();
            condition.walk(&mut |node| {
                names.extend(node.text_at(&["claim_name"]).map(str::to_owned));
                if let Some(keys) = node.get("claim_path") {
                    names.extend(
                        keys.elements()
                            .iter()
                            .filter_map(|key| key.text_at(&["key"]))
                            .take(1)
                            .map(str::to_owned),
                    );
                }
            });
            let seen: Vec<String> = names
                .iter()
                .map(|name| format!("{name} {}", claim(name)))
                .collect();
            steps.push(Step {
                name: format!("{path}.authorize.claims[{position}]"),
                passed,
                seen: seen.join(", "),
                expected: condition.to_json(),
                reason: (passed == Some(false)).then_some(Reason::ClaimRejected.label()),
            });
        }
        debug_assert!(self.demand.authorization.is_some() || steps.is_empty());
        self.steps.extend(steps);
    }
}
