//! ARCHITECTURE.md lists all top-level modules ("rooms"), and imports follow its order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The path of a module from the root of the crate, such as `["wire", "tzsp"]`.
type Module = Vec<String>;

/// The imports of one source file, as written, such as `["super", "Frame"]`.
#[derive(Default)]
struct Imports {
    used: Vec<Module>,
    /// The names that `pub use` re-exports, and their paths.
    reexported: BTreeMap<String, Module>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms in the order of the table in ARCHITECTURE.md. Each may import only earlier ones.
fn rooms() -> Vec<String> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rooms = rows.filter_map(|row| row.split_once('`'));
    rooms.map(|(room, _)| room.to_owned()).collect()
}

#[test]
fn architecture_md_lists_every_room() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| {
        let module = line.strip_prefix("pub mod ")?;
        module.strip_suffix(';')
    });
    let modules: BTreeSet<_> = modules.map(str::to_owned).collect();
    assert_eq!(rooms().into_iter().collect::<BTreeSet<_>>(), modules);

    // The documentation of lib.rs lists them in the same order.
    let places: Vec<_> = rooms()
        .iter()
        .map(|room| {
            library
                .find(&format!("[`{room}`]"))
                .unwrap_or_else(|| panic!("{room}"))
        })
        .collect();
    assert!(places.is_sorted(), "{:?}", rooms());
}

#[test]
fn no_room_imports_a_later_one() {
    let rooms = rooms();
    let place = |room: &String| rooms.iter().position(|other| other == room);
    let mut against = Vec::new();
    for (from, to) in edges() {
        let (Some(from_room), Some(to_room)) = (from.first(), to.first()) else {
            continue;
        };
        if place(to_room) > place(from_room) {
            against.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    assert!(against.is_empty(), "{against:#?}");
}

#[test]
fn no_two_modules_import_each_other() {
    let edges = edges();
    let modules: BTreeSet<_> = edges.iter().map(|(from, _)| from).collect();
    for module in modules {
        let mut reached = BTreeSet::new();
        let mut ahead = vec![module];
        while let Some(from) = ahead.pop() {
            for (_, to) in edges.iter().filter(|(other, _)| other == from) {
                assert_ne!(to, module, "{} imports what imports it", from.join("::"));
                if reached.insert(to) {
                    ahead.push(to);
                }
            }
        }
    }
}

/// Pairs of an importing and an imported module. Imports between a module and its own children are
/// left out: it may re-export their items, and they may use its items. Files of tests are left out as
/// well: they may compare their module with a later room.
fn edges() -> BTreeSet<(Module, Module)> {
    let modules: BTreeMap<Module, Imports> = source_files(&root().join("src"))
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| (module(&path), imports(&path)))
        .collect();
    let mut edges = BTreeSet::new();
    for (from, imports) in &modules {
        for path in &imports.used {
            if let Some(to) = resolve(&modules, from, path)
                && !from.starts_with(&to)
            {
                edges.insert((from.clone(), to));
            }
        }
    }
    edges
}

/// The module that defines the item that `path`, as written in the module `from`, refers to.
fn resolve(modules: &BTreeMap<Module, Imports>, from: &Module, path: &Module) -> Option<Module> {
    let mut at = match path.first()?.as_str() {
        "crate" => Module::new(),
        "self" => from.clone(),
        "super" => from.split_last()?.1.to_vec(),
        child => {
            let child = [from.as_slice(), &[child.to_owned()]].concat();
            return modules.contains_key(&child).then(|| {
                resolve(
                    modules,
                    from,
                    &[&["self".to_owned()], path.as_slice()].concat(),
                )
            })?;
        }
    };
    let mut rest = path[1..].iter();
    for name in rest.by_ref() {
        if name == "super" {
            at.pop();
            continue;
        }
        let child = [at.as_slice(), std::slice::from_ref(name)].concat();
        if modules.contains_key(&child) {
            at = child;
        } else if let Some(meant) = modules.get(&at).and_then(|at| at.reexported.get(name)) {
            return resolve(modules, &at, meant);
        } else {
            break;
        }
    }
    Some(at)
}

fn source_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| {
        if path.is_dir() {
            source_files(&path)
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            vec![path]
        } else {
            vec![]
        }
    });
    files.collect()
}

fn module(path: &Path) -> Module {
    let path = path
        .strip_prefix(root().join("src"))
        .unwrap()
        .with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names
        .filter(|name| name != "mod" && name != "lib")
        .collect()
}

fn imports(path: &Path) -> Imports {
    let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    let mut imports = Imports::default();
    imports.visit_file(&file);
    imports
}

impl<'ast> Visit<'ast> for Imports {
    /// Test modules are not checked: they may import anything.
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        let mut paths = Vec::new();
        flatten(&import.tree, &mut Module::new(), &mut paths);
        if matches!(import.vis, syn::Visibility::Inherited) {
            self.used.extend(paths);
        } else {
            let named = paths
                .into_iter()
                .filter_map(|path| Some((path.last()?.clone(), path)));
            self.reexported.extend(named);
        }
    }

    /// Paths without a `use`, such as `crate::memory::check(...)`.
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Module = path
            .segments
            .iter()
            .map(|name| name.ident.to_string())
            .collect();
        if matches!(names[0].as_str(), "crate" | "super" | "self") && names.len() > 1 {
            self.used.push(names);
        }
        visit::visit_path(self, path);
    }
}

fn flatten(tree: &syn::UseTree, before: &mut Module, paths: &mut Vec<Module>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, paths);
            before.pop();
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, paths);
            }
        }
        syn::UseTree::Name(name) => {
            let itself = (name.ident != "self").then(|| name.ident.to_string());
            paths.push(before.iter().cloned().chain(itself).collect());
        }
        syn::UseTree::Rename(name) => {
            paths.push([before.as_slice(), &[name.ident.to_string()]].concat());
        }
        syn::UseTree::Glob(_) => paths.push(before.clone()),
    }
}
