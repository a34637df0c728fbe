//! Which file of a crate names which other, read from the source.
//!
//! Invariant: what stands in a test of the file itself does not count, and neither does the list of a module's parts.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Macro, UseTree};

use crate::{Source, files};

/// A place of the source that names another module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Module whose file it stands in; a crate's root is empty.
    pub from: Vec<String>,
    /// Module whose file it leads to.
    pub to: Vec<String>,
    /// `path:line`.
    pub place: String,
}

/// Modules of a crate by the directories that their files stand in, and who names whom.
#[derive(Debug)]
pub struct Imports {
    /// Directory of each module's file; a module with parts stands in the directory of its parts.
    pub folders: BTreeMap<Vec<String>, String>,
    /// In the order of files and lines.
    pub found: Vec<Import>,
}

impl Imports {
    /// The rooms, that is directories right below the root, on both sides of what leads from one into another.
    #[must_use]
    pub fn rooms(&self, import: &Import) -> Option<(&str, &str)> {
        let room = |module: &Vec<String>| {
            let room = self.folders[module].split('/').next().expect("a first part");
            (!room.is_empty()).then_some(room)
        };
        let (from, to) = (room(&import.from)?, room(&import.to)?);
        (from != to).then_some((from, to))
    }

    /// Every import that leads to a higher floor, or into another room of its own, and every folder that is no room.
    /// `floors` names the rooms of each floor, the lowest first; files right below the root stand beneath all of them,
    /// and the root itself above.
    #[must_use]
    pub fn climbs(&self, floors: &[&[&str]]) -> Vec<String> {
        let floor = |module: &Vec<String>| match self.folders[module].split('/').next().unwrap_or_default() {
            "" => Some((0, "")),
            room => {
                (1..).zip(floors).find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| (floor, room))
            }
        };
        let homeless = self.folders.iter().filter(|(module, _)| floor(module).is_none());
        let mut broken: Vec<_> =
            homeless.map(|(module, _)| format!("{}: in no room of a floor", module.join("::"))).collect();
        for import in self.found.iter().filter(|import| !import.from.is_empty()) {
            let (Some(from), Some(to)) = (floor(&import.from), floor(&import.to)) else { continue };
            if to.0 > from.0 || (to.0 == from.0 && to.1 != from.1) {
                broken.push(format!("{}: {}", import.place, import.to.join("::")));
            }
        }
        broken
    }
}

/// Reads the crate whose root lies in this directory, such as `chatd/src`.
///
/// # Panics
/// When a file cannot be read or is not Rust.
#[must_use]
pub fn imports(root: &str) -> Imports {
    let below = format!("{root}/");
    let sources = files(".rs").into_iter().filter(|source| source.path.starts_with(&below));
    let sources: Vec<_> =
        sources.filter(|source| source.is_product() && !source.path.ends_with("/main.rs")).collect();
    let modules: BTreeSet<_> = sources.iter().map(|source| module_of(source, &below)).collect();
    let folder = |module: &Vec<String>| {
        let has_parts = modules.iter().any(|other| other.len() > module.len() && other.starts_with(module));
        let depth = if has_parts { module.len() } else { module.len().saturating_sub(1) };
        (module.clone(), module[..depth].join("/"))
    };
    let folders = modules.iter().map(folder).collect();
    let mut found = Vec::new();
    for source in &sources {
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
        let mut reader =
            Reader { source, modules: &modules, at: module_of(source, &below), inner: 0, found: &mut found };
        reader.visit_file(&file);
    }
    Imports { folders, found }
}

fn module_of(source: &Source, below: &str) -> Vec<String> {
    let path = source.path.strip_prefix(below).expect("a file of the crate").trim_end_matches(".rs");
    let mut parts: Vec<_> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

struct Reader<'a> {
    source: &'a Source,
    modules: &'a BTreeSet<Vec<String>>,
    at: Vec<String>,
    /// How many modules without a file of their own surround the place.
    inner: usize,
    found: &'a mut Vec<Import>,
}

impl Reader<'_> {
    fn note(&mut self, path: &[String], line: usize) {
        let up = path.iter().take_while(|part| *part == "super").count();
        let mut target = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("self") => [&self.at, &path[1..]].concat(),
            Some("super") => {
                let Some(levels) = up.checked_sub(self.inner) else { return };
                let base = self.at.len().saturating_sub(levels);
                [&self.at[..base], &path[up..]].concat()
            }
            _ => return,
        };
        while !self.modules.contains(&target) && target.pop().is_some() {}
        if target != self.at && !target.is_empty() {
            let place = format!("{}:{line}", self.source.path);
            self.found.push(Import { from: self.at.clone(), to: target, place });
        }
    }

    fn branch(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.branch(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.branch(tree, before)),
            UseTree::Name(name) => self.leaf(&name.ident, before),
            UseTree::Rename(name) => self.leaf(&name.ident, before),
            UseTree::Glob(glob) => self.note(before, glob.star_token.span.start().line),
        }
    }

    fn leaf(&mut self, name: &syn::Ident, before: &[String]) {
        let path = [before, &[name.to_string()]].concat();
        self.note(&path, name.span().start().line);
    }

    /// Paths inside of a macro, of which only the tokens are known.
    fn tokens(&mut self, stream: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in stream {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 || path.is_empty() {
                        self.note(&std::mem::take(&mut path), line);
                    }
                    line = name.span().start().line;
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.note(&std::mem::take(&mut path), line);
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.note(&path, line);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    };
    attributes.iter().any(is)
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() && !is_test(&module.attrs) {
            self.inner += 1;
            visit::visit_item_mod(self, module);
            self.inner -= 1;
        }
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        if !is_test(&import.attrs) {
            self.branch(&import.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.note(&names, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// Sets of nodes of which each leads to each other, of two nodes or more (Tarjan, SIAM J. Comput. 1, 1972).
#[must_use]
pub fn circles<T: Clone + Ord>(arrows: &BTreeMap<T, BTreeSet<T>>) -> Vec<BTreeSet<T>> {
    let mut search =
        Search { arrows, seen: BTreeMap::new(), low: BTreeMap::new(), open: Vec::new(), found: Vec::new() };
    for node in arrows.keys() {
        if !search.seen.contains_key(node) {
            search.visit(node);
        }
    }
    search.found
}

struct Search<'a, T> {
    arrows: &'a BTreeMap<T, BTreeSet<T>>,
    seen: BTreeMap<T, usize>,
    low: BTreeMap<T, usize>,
    open: Vec<T>,
    found: Vec<BTreeSet<T>>,
}

impl<T: Clone + Ord> Search<'_, T> {
    fn visit(&mut self, node: &T) {
        let number = self.seen.len();
        self.seen.insert(node.clone(), number);
        self.low.insert(node.clone(), number);
        self.open.push(node.clone());
        for next in self.arrows.get(node).into_iter().flatten() {
            let reached = match self.seen.get(next) {
                None => {
                    self.visit(next);
                    self.low[next]
                }
                Some(number) if self.open.contains(next) => *number,
                Some(_) => continue,
            };
            let low = self.low.get_mut(node).expect("inserted above");
            *low = (*low).min(reached);
        }
        if self.low[node] == number {
            let start = self.open.iter().position(|open| open == node).expect("opened above");
            let circle: BTreeSet<_> = self.open.drain(start..).collect();
            if circle.len() > 1 {
                self.found.push(circle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_nothing_else() {
        let arrows = |pairs: &[(u8, u8)]| {
            let mut all: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            for (from, to) in pairs {
                all.entry(*from).or_default().insert(*to);
            }
            all
        };
        assert!(circles(&arrows(&[(1, 2), (2, 3), (1, 3), (4, 1)])).is_empty());
        let found = circles(&arrows(&[(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 4), (6, 1)]));
        assert_eq!(found, [BTreeSet::from([4, 5]), BTreeSet::from([1, 2, 3])]);
    }

    #[test]
    fn who_climbs_or_has_no_floor_is_named() {
        let module = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        let folders = [
            ("", ""),
            ("clock", ""),
            ("net::door", "net"),
            ("chaos", "chaos"),
            ("watch::deep::x", "watch/deep"),
            ("cli", "cli"),
            ("attic::x", "attic"),
        ];
        let folders = folders.map(|(name, folder)| (module(name), folder.to_owned())).into();
        let arrow = |(from, to): &(&str, &str)| Import {
            from: if from.is_empty() { Vec::new() } else { module(from) },
            to: module(to),
            place: format!("{from} line"),
        };
        let floors: [&[&str]; 3] = [&["net"], &["chaos", "watch"], &["cli"]];
        let climbs = |arrows: &[(&str, &str)]| {
            let found = arrows.iter().map(arrow).collect();
            Imports { folders: BTreeMap::clone(&folders), found }.climbs(&floors)
        };
        let homeless = "attic::x: in no room of a floor".to_owned();
        let downward = [
            ("", "cli"),
            ("cli", "chaos"),
            ("cli", "net::door"),
            ("chaos", "net::door"),
            ("net::door", "clock"),
        ];
        assert_eq!(climbs(&downward), std::slice::from_ref(&homeless));
        for (from, to) in
            [("net::door", "chaos"), ("clock", "net::door"), ("chaos", "watch::deep::x"), ("chaos", "cli")]
        {
            assert_eq!(climbs(&[(from, to)]), [homeless.clone(), format!("{from} line: {to}")]);
        }
    }

    #[test]
    fn every_way_of_naming_a_module_is_seen() {
        let text = "use crate::a::{b::X, c};\nuse super::d as other;\nmod inner { use super::e; use super::super::a; }\n\
                    fn f() { crate::e::g(); format!(\"{}\", crate::a::b::H); }\n\
                    #[cfg(test)] mod tests { use crate::z; }\n";
        let module = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        let modules = ["a", "a::b", "a::c", "d", "e", "z", "m"].map(module).into();
        let source = Source { path: "m.rs".to_owned(), text: text.to_owned() };
        let mut found = Vec::new();
        let mut reader =
            Reader { source: &source, modules: &modules, at: module("m"), inner: 0, found: &mut found };
        reader.visit_file(&syn::parse_file(text).expect("Rust"));
        let found: Vec<_> =
            found.iter().map(|import| (import.to.join("::"), import.place.as_str())).collect();
        let expected = [("a::b", 1), ("a::c", 1), ("d", 2), ("a", 3), ("e", 4), ("a::b", 4)];
        assert_eq!(
            found,
            expected.map(|(to, line)| (to.to_owned(), ["", "m.rs:1", "m.rs:2", "m.rs:3", "m.rs:4"][line]))
        );
    }
}
