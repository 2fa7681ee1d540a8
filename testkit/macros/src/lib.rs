//! `#[test]` for the test binaries that have a `main` of their own, `tests/engine.rs` for instance.
//!
//! Those binaries have one test for each scenario, but the compiler's own `#[test]` accepts functions only,
//! and compiles to nothing in a binary with its own `main`: a test would be lost silently. With
//! `#[macro_use] extern crate testkit_macros;` in the binary's root, `#[test]` is the attribute below in all
//! of its modules, and registers the function with `tests/harness/`.

use proc_macro::{TokenStream, TokenTree};

/// Registers the function as a test. It takes no arguments and fails by a panic.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("this #[test] takes no arguments");
    }
    let Some(name) = name(&function) else {
        return error("#[test] needs a function");
    };
    let other = |attribute: &str| {
        function.clone().into_iter().any(|tree| match tree {
            TokenTree::Group(group) => group
                .to_string()
                .trim_start_matches(['[', ' '])
                .starts_with(attribute),
            _ => false,
        })
    };
    if other("should_panic") || other("ignore") {
        return error("tests/harness/ has no #[ignore] and no #[should_panic]");
    }
    let registration: TokenStream = format!(
        "::inventory::submit! {{ crate::harness::Test {{ name: concat!(module_path!(), \"::{name}\"), run: {name} }} }}"
    )
    .parse()
    .expect("a macro call");
    [function, registration].into_iter().collect()
}

/// The identifier after `fn`.
fn name(function: &TokenStream) -> Option<String> {
    let mut trees = function.clone().into_iter();
    trees.find(|tree| matches!(tree, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    Some(trees.next()?.to_string())
}

fn error(message: &str) -> TokenStream {
    format!("compile_error!({message:?});")
        .parse()
        .expect("a macro call")
}
