//! Shared data as proxy-wasm-cpp-host keeps it for all VMs of one `vm_id`.

use std::collections::HashMap;

use super::{CAS_MISMATCH, OK};

/// Values and their numbers. One counter numbers the writes of all keys.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: HashMap<String, (Vec<u8>, u32)>,
    last_cas: u32,
}

impl SharedData {
    pub(crate) fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.values.get(key).cloned()
    }

    /// With a number: only if the value still has it, or there is no value at all.
    pub(crate) fn set(&mut self, key: &str, value: &[u8], cas: u32) -> u32 {
        if let Some((_, present)) = self.values.get(key)
            && cas != 0
            && cas != *present
        {
            return CAS_MISMATCH;
        }
        self.last_cas += 1;
        self.values
            .insert(key.to_owned(), (value.to_vec(), self.last_cas));
        OK
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

#[test]
fn a_write_with_a_number_succeeds_on_that_value_or_on_none() {
    let mut data = SharedData::default();
    assert_eq!(data.set("a", b"1", u32::MAX), OK);
    assert_eq!(data.get("a"), Some((b"1".to_vec(), 1)));
    assert_eq!(data.set("a", b"2", u32::MAX), CAS_MISMATCH);
    assert_eq!(data.set("a", b"2", 1), OK);
    assert_eq!(data.set("a", b"3", 1), CAS_MISMATCH);
    assert_eq!(data.set("a", b"4", 0), OK);
    assert_eq!(data.get("a"), Some((b"4".to_vec(), 3)));
    assert_eq!(data.get("b"), None);
}
