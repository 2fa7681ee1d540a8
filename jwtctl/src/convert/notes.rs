//! What a conversion makes: configurations, and messages about them.

use std::rc::Rc;

use crate::input;
use crate::report::{File, Finding, Level};
use crate::source::{Node, Place, line_and_column};

/// The files of a conversion. Policies that belong together may be in several files, so their texts are one:
/// a place counts from the beginning of the first file.
pub(super) struct Files {
    pub(super) whole: Rc<File>,
    /// Each with the place at which it begins.
    parts: Vec<(usize, Rc<File>)>,
}

impl Files {
    /// Reads the files, and every document in them.
    pub(super) fn read(names: &[String]) -> Result<(Self, Vec<Rc<Node>>), String> {
        let (mut text, mut parts, mut documents) = (String::new(), Vec::new(), Vec::new());
        for name in names {
            let file = input::read(name)?;
            let contents = input::search(&file);
            if let Some(unread) = contents.unread.first() {
                let (line, column) = line_and_column(&file.text, unread.place.start);
                return Err(format!("{}:{line}:{column}: {}", file.name, unread.message));
            }
            for document in contents.documents {
                let mut document = Rc::unwrap_or_clone(document);
                document.shift(text.len());
                documents.push(Rc::new(document));
            }
            parts.push((text.len(), file.clone()));
            text.push_str(&file.text);
            text.push('\n');
        }
        let name = names.join(", ");
        let whole = Rc::new(File { name, text });
        Ok((Self { whole, parts }, documents))
    }

    /// The file of a place, and the place in it.
    pub(super) fn locate(&self, place: &Place) -> (Rc<File>, Place) {
        let part = self.parts.iter().rev().find(|(start, _)| *start <= place.start);
        match part {
            Some((start, file)) => {
                let end = file.text.len();
                let of = |offset: usize| (offset - start).min(end);
                (file.clone(), of(place.start)..of(place.end.max(place.start)))
            }
            None => (self.whole.clone(), place.clone()),
        }
    }
}

/// The code of an error about a field that cannot be translated.
const LOST: &str = "not-carried-over";

/// The messages of a translation.
pub(crate) struct Notes {
    pub(super) files: Files,
    /// The places of mistakes in the resources.
    pub(super) faults: Vec<Place>,
    pub(super) findings: Vec<Finding>,
}

impl Notes {
    fn add(&mut self, level: Level, code: &'static str, place: &Place, message: impl Into<String>) {
        self.findings.push(Finding {
            level,
            code,
            message: message.into(),
            file: self.files.whole.clone(),
            place: place.clone(),
            path: String::new(),
            help: None,
            related: None,
        });
    }

    /// A field that cannot be translated. A fault at the same place says more.
    pub(crate) fn lost(&mut self, place: &Place, message: impl Into<String>) {
        if !self.faults.contains(place) {
            self.add(Level::Error, LOST, place, message);
        }
    }

    /// A mistake in the resource itself.
    pub(crate) fn fault(&mut self, code: &'static str, place: &Place, message: impl Into<String>) {
        self.faults.push(place.clone());
        self.add(Level::Error, code, place, message);
    }

    /// Whether a mistake in the resource is at this place, around it or within it.
    pub(super) fn has_fault_in(&self, place: &Place) -> bool {
        let within = |one: &Place, other: &Place| other.start <= one.start && one.end <= other.end;
        self.faults
            .iter()
            .any(|fault| within(fault, place) || within(place, fault))
    }

    /// A translated field that deserves attention.
    pub(crate) fn look(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Level::Warning, "look-at-this", place, message);
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
