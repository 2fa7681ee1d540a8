//! `binding`: whether a provider's tokens may be used by their owner only.

use std::time::Duration;

use super::error::ConfigError;
use super::reader::{FlagOrFields, Node};
use super::{Names, data_source};
use crate::binding::dpop::{Dpop, DpopFields};
use crate::binding::nonce::{NonceSecret, Nonces};
use crate::binding::{Binding, Check, Element, Forwarded};
use crate::provider::Provider;

const VALUES: &[(&str, Check)] = &[
    ("off", Check::Off),
    ("if_present", Check::IfPresent),
    ("required", Check::Required),
];

/// `off` without quotes is `false` in YAML as Envoy reads it.
fn is_off(node: &Node<'_>) -> bool {
    node.bool().is_ok_and(|flag| !flag) || node.text().is_ok_and(|text| *text == *"off")
}

pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<Binding, Box<ConfigError>> {
    if is_off(node) {
        return Ok(Binding::Off);
    }
    let fields = node.fields(&["mtls", "trust_xfcc", "dpop"])?;
    let mut dpop = None;
    if let Some(node) = fields.get("dpop").filter(|node| !is_off(node)) {
        dpop = Some(read_dpop(node, names)?);
    }
    let mtls = match fields.get("mtls") {
        Some(node) if is_off(node) => Check::Off,
        Some(node) => node.one_of(VALUES)?,
        None => Check::Off,
    };
    let mut forwarded = None;
    if let Some(node) = fields.get("trust_xfcc")
        && let Some(element) = read_element(node)?
    {
        if mtls == Check::Off {
            return Err(node.invalid("goes with `mtls: if_present` or `mtls: required`"));
        }
        forwarded = Some(Forwarded {
            field: names.field("x-forwarded-client-cert"),
            element,
        });
    }
    Ok(Binding::Checked {
        mtls,
        forwarded,
        dpop,
    })
}

/// More proxies than anybody has in a row.
const MAX_TRUSTED_HOPS: u64 = 8;

fn read_element(node: &Node<'_>) -> Result<Option<Element>, Box<ConfigError>> {
    Ok(match node.flag_or_fields(&["trusted_hops"])? {
        FlagOrFields::Flag(false) => None,
        FlagOrFields::Flag(true) => Some(Element::Only),
        FlagOrFields::Fields(fields) => {
            let node = fields.require(
                "trusted_hops",
                "write how many elements at the end are those of proxies, or `true` where there is one in all",
            )?;
            let count = node.integer(0..=MAX_TRUSTED_HOPS)?;
            Some(Element::LastBut(usize::try_from(count).unwrap_or(usize::MAX)))
        }
    })
}

/// Long enough for clocks that are a little off, short enough for the proofs in it to be remembered.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

fn read_dpop(node: &Node<'_>, names: &mut Names) -> Result<Dpop, Box<ConfigError>> {
    let fields = node.fields(&["required", "window", "nonce", "algorithms"])?;
    let required = fields.flag("required")?;
    let window = match fields.get("window") {
        Some(node) => node.duration(Duration::from_secs(5)..=Duration::from_secs(300))?,
        None => DEFAULT_WINDOW,
    };
    let nonce = match fields.get("nonce") {
        Some(node) => read_nonces(node)?,
        None => None,
    };
    let algorithms = super::provider::read_algorithms(&fields)?;
    Ok(Dpop {
        required,
        window,
        widest_window: window,
        nonce,
        algorithms,
        fields: DpopFields {
            proof: names.field("dpop"),
            method: names.field(":method"),
            path: names.field(":path"),
            authority: names.field(":authority"),
            scheme: names.field("x-forwarded-proto"),
        },
    })
}

/// A proof that one provider has taken may come again with the rule of another, whose window is wider.
pub(super) fn remember_for_widest_window(providers: &mut [Provider]) {
    let windows = providers.iter().filter_map(|provider| provider.binding.dpop());
    let Some(widest) = windows.map(|dpop| dpop.window).max() else {
        return;
    };
    for provider in providers {
        if let Binding::Checked { dpop: Some(dpop), .. } = &mut provider.binding {
            dpop.widest_window = widest;
        }
    }
}

/// Long enough that challenges are few, short enough that nobody hoards proofs.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

fn read_nonces(node: &Node<'_>) -> Result<Option<Nonces>, Box<ConfigError>> {
    let mut nonces = Nonces {
        lifetime: DEFAULT_LIFETIME,
        secret: None,
    };
    match node.flag_or_fields(&["lifetime", "secret"])? {
        FlagOrFields::Flag(false) => return Ok(None),
        FlagOrFields::Flag(true) => {}
        FlagOrFields::Fields(fields) => {
            if let Some(node) = fields.get("lifetime") {
                nonces.lifetime = node.duration(Duration::from_secs(5)..=Duration::from_secs(3600))?;
            }
            if let Some(node) = fields.get("secret") {
                nonces.secret = Some(read_secret(node)?);
            }
        }
    }
    Ok(Some(nonces))
}

fn read_secret(node: &Node<'_>) -> Result<NonceSecret, Box<ConfigError>> {
    let secret = data_source::read_secret(
        node,
        "write the secret into `inline_string`, or leave `secret` out: then each process makes its own",
    )?;
    Ok(NonceSecret::derive(&secret))
}
