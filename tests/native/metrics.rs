//! Metrics that only this module has.

use testkit::Request;

use super::{Stack, assert_alive};
use crate::scenarios::{config, local_provider, token};

#[test]
fn refusals_are_counted_with_labels() {
    let stack = Stack::start(config(local_provider()));
    assert_eq!(stack.status(&token().expires_in(-600).mint()), 401);
    assert_eq!(stack.client.request(Request::get("/orders")).status, 401);
    let page = stack.envoy.admin("/stats/prometheus?filter=refused");
    for labels in [
        r#"{reason="token_expired",provider="corp"}"#,
        r#"{reason="token_missing",provider="none"}"#,
    ] {
        let line = format!("jwt_refused{labels} 1");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    assert_alive(&stack.envoy);
}
