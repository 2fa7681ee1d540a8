//! `binding`: whether a provider's tokens may be used by their owner only.

use super::Names;
use super::error::ConfigError;
use super::reader::Node;
use crate::binding::{Binding, Check};

const VALUES: &[(&str, Check)] = &[
    ("off", Check::Off),
    ("if_present", Check::IfPresent),
    ("required", Check::Required),
];

/// `off` without quotes is `false` in YAML as Envoy reads it.
fn is_off(node: &Node<'_>) -> bool {
    node.bool().is_ok_and(|flag| !flag) || node.text().is_ok_and(|text| text == "off")
}

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<Binding, ConfigError> {
    if is_off(node) {
        return Ok(Binding::Off);
    }
    let mut fields = node.fields(&["mtls", "trust_xfcc", "dpop"])?;
    if let Some(node) = fields.take("dpop") {
        return Err(node.invalid(
            "proofs of possession (DPoP, RFC 9449) are not checked by this version; tokens that are bound by one are refused",
        ));
    }
    let mtls = match fields.take("mtls") {
        Some(node) if is_off(&node) => Check::Off,
        Some(node) => node.one_of(VALUES)?,
        None => Check::Off,
    };
    let forwarded = match fields.take("trust_xfcc") {
        Some(node) if node.bool()? => {
            if mtls == Check::Off {
                return Err(node.invalid("goes with `mtls: if_present` or `mtls: required`"));
            }
            Some(names.field("x-forwarded-client-cert"))
        }
        _ => None,
    };
    Ok(Binding::Checked { mtls, forwarded })
}
