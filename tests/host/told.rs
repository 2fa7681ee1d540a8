//! What the access log is told.

use super::scenarios::told::{NAMES, config, list};
use super::vm::Vm;

#[test]
fn the_access_log_is_told_who_what_and_why() {
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
