//! The filter state of each request, which the access log shows.

use super::scenarios::filter_state::{NAMES, config, list};
use super::vm::Vm;

#[test]
fn each_request_leaves_who_what_and_why_in_filter_state() {
    let mut vm = Vm::start(&config());
    for (request, expected) in list() {
        let state = vm.request(&request).filter_state;
        let seen = NAMES.map(|name| {
            let value = state.get(&format!("jwt.{name}"));
            String::from_utf8(value.cloned().unwrap_or_default()).expect("text")
        });
        assert_eq!(seen, expected, "{}", request.path);
    }
}
