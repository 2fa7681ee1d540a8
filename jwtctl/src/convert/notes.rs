//! What a conversion makes: configurations, and messages about them.

use std::rc::Rc;

use crate::report::{File, Finding, Level};
use crate::source::{Node, Place};

/// The messages of the translation of a file.
pub(crate) struct Notes {
    pub(super) file: Rc<File>,
    pub(super) findings: Vec<Finding>,
}

impl Notes {
    fn add(&mut self, level: Level, code: &'static str, place: &Place, message: impl Into<String>) {
        self.findings.push(Finding {
            level,
            code,
            message: message.into(),
            file: self.file.clone(),
            place: place.clone(),
            path: String::new(),
            help: None,
            related: None,
        });
    }

    /// A field that cannot be translated.
    pub(crate) fn lost(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Level::Error, "not-carried-over", place, message);
    }

    /// A translated field that deserves attention.
    pub(crate) fn look(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Level::Warning, "look-at-this", place, message);
    }

    /// Fields that are not read are errors.
    pub(crate) fn only(&mut self, node: &Node, known: &[&str], what: &str) {
        for (key, _) in node.members() {
            if !known.contains(&&*key.name) {
                self.lost(
                    &key.place,
                    format!(
                        "`{}` of {what} is not converted; check whether you need it",
                        key.name
                    ),
                );
            }
        }
    }
}

/// A configuration, and the document around it.
pub(crate) struct Converted {
    pub(crate) config: Node,
    /// The document with this filter in place of the old one.
    pub(crate) document: Option<Node>,
    /// Its workloads or route, if there are several.
    pub(crate) title: Option<String>,
    /// Whether the document of another conversion contains this one.
    pub(crate) is_within_another: bool,
}
