//! The files of `src` that each file uses: from every `use` and every path in the code, without tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The place of a module: `["keys", "record"]`; the crate's root has none.
pub(crate) type Module = Vec<String>;

/// The imports and names of one file.
#[derive(Debug, Default)]
struct Source {
    /// Its modules in files of their own, those of tests left out.
    children: BTreeSet<String>,
    /// Each path from a `use`, from the root, with the name that it has here.
    imports: Vec<(Module, String)>,
    /// Each other path, as it is written.
    paths: BTreeSet<Vec<String>>,
    /// All names outside of `use`.
    names: BTreeSet<String>,
}

/// The files of a crate.
#[derive(Debug)]
pub(crate) struct Crate(BTreeMap<Module, Source>);

impl Crate {
    /// Reads the crate with this root, such as `src/lib.rs`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut all = BTreeMap::new();
        let folder = root.parent().expect("a folder");
        let mut left = vec![Module::new()];
        while let Some(module) = left.pop() {
            let path = match module.as_slice() {
                [] => root.to_owned(),
                names => folder.join(names.join("/")).with_extension("rs"),
            };
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let source = Source::read(&module, &text);
            left.extend(
                source
                    .children
                    .iter()
                    .map(|child| [&*module, std::slice::from_ref(child)].concat()),
            );
            all.insert(module, source);
        }
        Self(all)
    }

    /// The crate of these files, for tests of this reader.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let all = files.iter().map(|(name, text)| {
            let module: Module = name
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let source = Source::read(&module, text);
            (module, source)
        });
        Self(all.collect())
    }

    /// The files that each file uses; the names of files that hold modules, `::` between.
    pub(crate) fn arrows(&self) -> BTreeSet<(Module, Module)> {
        let mut arrows = BTreeSet::new();
        for (module, source) in &self.0 {
            let mut add = |path: &[String]| {
                if let Some(target) = self.resolve(path, 0).filter(|target| target != module) {
                    arrows.insert((module.clone(), target));
                }
            };
            for (path, name) in &source.imports {
                // A file that only hands a name on does not use it.
                if name == "_" || name == "*" || source.names.contains(name) {
                    add(path);
                }
            }
            for path in &source.paths {
                if let Some(path) = self.absolute(module, source, path) {
                    add(&path);
                }
            }
        }
        arrows
    }

    /// The path from the root; `None`: it leads out of the crate, or to something of the file itself.
    fn absolute(&self, module: &Module, source: &Source, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        if first == "crate" || first == "super" || first == "self" {
            return Some(from_root(module, path));
        }
        let base = match source.imports.iter().find(|(_, name)| name == first) {
            Some((path, _)) => path.clone(),
            None if source.children.contains(first) => [&**module, std::slice::from_ref(first)].concat(),
            None => return None,
        };
        Some([&*base, rest].concat())
    }

    /// The file that defines what a path names. A name that a module hands on is followed to its origin.
    fn resolve(&self, path: &[String], depth: usize) -> Option<Module> {
        let known = |length: &usize| {
            path.get(..*length)
                .is_some_and(|module| self.0.contains_key(module))
        };
        let length = (0..=path.len()).rev().find(known)?;
        let (module, rest) = path.split_at(length);
        let handed_on = rest.first().and_then(|name| {
            let source = self.0.get(module)?;
            let found = source.imports.iter().find(|(path, known)| {
                known == name && path != &[module, std::slice::from_ref(name)].concat()
            });
            found.map(|(path, _)| [&**path, rest.get(1..).unwrap_or_default()].concat())
        });
        match handed_on {
            Some(path) if depth < 8 => self.resolve(&path, depth + 1),
            _ if module.is_empty() => None,
            _ => Some(module.to_vec()),
        }
    }
}

/// A path from the root. `crate`, `self` and `super` are taken as Rust takes them.
fn from_root(module: &Module, path: &[String]) -> Vec<String> {
    let mut absolute = module.clone();
    let mut is_start = true;
    for part in path {
        match part.as_str() {
            "crate" if is_start => absolute.clear(),
            "self" => {}
            "super" => drop(absolute.pop()),
            name => absolute.push(name.to_owned()),
        }
        is_start = false;
    }
    absolute
}

impl Source {
    fn read(module: &Module, text: &str) -> Self {
        let mut source = Self::default();
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{module:?}: {error}"));
        source.walk(module, tokens);
        source
    }

    fn walk(&mut self, module: &Module, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let ident = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        };
        let is_punct = |at: usize, letter: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == letter);
        let is_colons = |at: usize| is_punct(at, ':') && is_punct(at + 1, ':');
        let mut is_test = false;
        let mut at = 0;
        while at < tokens.len() {
            if let (true, Some(TokenTree::Group(group))) = (is_punct(at, '#'), tokens.get(at + 1)) {
                let text: String = group.stream().to_string().split_whitespace().collect();
                is_test |= text == "cfg(test)";
                at += 2;
                continue;
            }
            match ident(at).as_deref() {
                // Visibility goes between an attribute and its item.
                Some("pub") => {
                    at += 1;
                    if matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
                    {
                        at += 1;
                    }
                    continue;
                }
                Some("mod") => {
                    let name = ident(at + 1).expect("a module's name");
                    match tokens.get(at + 2) {
                        Some(TokenTree::Group(group)) if !is_test => self.walk(module, group.stream()),
                        Some(TokenTree::Punct(_)) if !is_test => drop(self.children.insert(name)),
                        _ => {}
                    }
                    at += 3;
                }
                // `use<…>` says which lifetimes a type captures.
                Some("use") if is_punct(at + 1, '<') => at += 1,
                Some("use") => {
                    let end = (at..tokens.len())
                        .find(|end| is_punct(*end, ';'))
                        .expect("the end of a use");
                    if !is_test {
                        self.import(module, &[], &tokens[at + 1..end]);
                    }
                    at = end + 1;
                }
                _ if is_test => {
                    // Any other item of tests ends with its braces or a semicolon.
                    let is_end = |token: &TokenTree| match token {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                        TokenTree::Punct(punct) => punct.as_char() == ';',
                        _ => false,
                    };
                    at = (at..tokens.len())
                        .find(|end| is_end(&tokens[*end]))
                        .map_or(tokens.len(), |end| end + 1);
                }
                Some(name) => {
                    let mut path = vec![name.to_owned()];
                    self.names.insert(name.to_owned());
                    while let (true, Some(next)) = (is_colons(at + 1), ident(at + 3)) {
                        self.names.insert(next.clone());
                        path.push(next);
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.paths.insert(path);
                    }
                    at += 1;
                }
                None => {
                    if let Some(TokenTree::Group(group)) = tokens.get(at) {
                        self.walk(module, group.stream());
                    }
                    at += 1;
                }
            }
            is_test = false;
        }
    }

    /// Takes a tree of a `use` apart, without its semicolon.
    fn import(&mut self, module: &Module, before: &[String], tree: &[TokenTree]) {
        let mut path = before.to_vec();
        for (at, token) in tree.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if *word == "as" => {
                    let name = tree.get(at + 1).map(ToString::to_string).expect("a name");
                    return self.keep(module, &path, name);
                }
                TokenTree::Ident(part) => path.push(part.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    return self.keep(module, &path, "*".to_owned());
                }
                TokenTree::Punct(_) => {}
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
                    for part in inner.split(is_comma).filter(|part| !part.is_empty()) {
                        self.import(module, &path, part);
                    }
                    return;
                }
                TokenTree::Literal(literal) => panic!("a literal in a use: {literal}"),
            }
        }
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = path.last().cloned().expect("a name");
        self.keep(module, &path, name);
    }

    fn keep(&mut self, module: &Module, path: &[String], name: String) {
        let first = path.first().map(String::as_str);
        let is_child = first.is_some_and(|first| self.children.contains(first));
        if is_child || matches!(first, Some("crate" | "self" | "super")) {
            self.imports.push((from_root(module, path), name));
        }
    }
}

/// A circle of arrows, if there is one.
pub(crate) fn circle<N: Ord + Clone>(arrows: &BTreeSet<(N, N)>) -> Option<Vec<N>> {
    let mut left: BTreeSet<(N, N)> = arrows.clone();
    // A node without an arrow from it, or to it, is in no circle.
    loop {
        let from: BTreeSet<N> = left.iter().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<N> = left.iter().map(|(_, to)| to.clone()).collect();
        let before = left.len();
        left.retain(|(one, other)| to.contains(one) && from.contains(other));
        if left.len() == before {
            break;
        }
    }
    let mut way = vec![left.first()?.0.clone()];
    loop {
        let last = way.last()?;
        let (_, next) = left.iter().find(|(from, _)| from == last)?;
        if let Some(start) = way.iter().position(|known| known == next) {
            return Some(way.split_off(start));
        }
        way.push(next.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let arrows = Crate::of(files).arrows();
        arrows
            .iter()
            .map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::")))
            .collect()
    }

    #[test]
    fn every_way_to_name_another_file_is_an_arrow() {
        let b = ("b", "pub mod c; pub struct T;");
        let c = ("b/c", "pub struct U;");
        for (a, expected) in [
            ("use crate::b::T; fn f(_: T) {}", &["a -> b"][..]),
            (
                "use crate::b::{self, c::{U, V as W}}; fn f(_: U) -> b::T {}",
                &["a -> b", "a -> b::c"],
            ),
            (
                "fn f() -> Vec<crate::b::c::U> { x![crate::b::T] }",
                &["a -> b", "a -> b::c"],
            ),
            ("use super::b::c; fn f(_: c::U) {}", &["a -> b::c"]),
            ("mod inner { fn f(_: crate::b::T) {} }", &["a -> b"]),
            (
                "// crate::b::T\nconst A: &str = \"crate::b::T\"; /// [`crate::b::T`]\nfn f() {}",
                &[],
            ),
            ("#[cfg(test)] mod tests { use crate::b::T; fn f(_: T) {} }", &[]),
            ("#[cfg(test)] use crate::b::T; fn f() {}", &[]),
            ("#[cfg(not(test))] use crate::b::T; fn f(_: T) {}", &["a -> b"]),
            ("use std::rc::Rc; fn f(_: Rc<T>) {}", &[]),
        ] {
            assert_eq!(arrows(&[("", "mod a; mod b;"), ("a", a), b, c]), expected, "{a}");
        }
    }

    #[test]
    fn what_a_file_hands_on_is_not_its_own() {
        let files = [
            ("", "mod a; mod b;"),
            ("a", "use crate::b::U; fn f(_: U) {}"),
            ("b", "mod c; mod d; pub use c::U;"),
            ("b/c", "pub struct U;"),
            ("b/d", "use super::U; fn f(_: U) {}"),
        ];
        assert_eq!(arrows(&files), ["a -> b::c", "b::d -> b::c"]);
        let uses_it = [
            files[0],
            files[1],
            ("b", "mod c; pub use c::U; fn f(_: U) {}"),
            files[3],
        ];
        assert_eq!(arrows(&uses_it), ["a -> b::c", "b -> b::c"]);
    }

    #[test]
    fn circles_are_found() {
        let set = |arrows: &[(u8, u8)]| arrows.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(circle(&set(&[(1, 2), (2, 3), (1, 3)])), None);
        assert_eq!(circle(&set(&[(1, 2), (2, 3), (3, 2), (3, 4)])), Some(vec![2, 3]));
    }
}
