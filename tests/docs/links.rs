//! Links lead somewhere, commands exist, and the crate's own page names every module.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::markdown::{Page, codes, page, pages, prose_pages, root};

/// The anchors that GitHub makes.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter if letter.is_alphanumeric() => Some(letter),
            _ => None,
        })
        .collect()
}

fn targets(page: &Page) -> Vec<&str> {
    page.prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.starts_with("https://"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let all = prose_pages();
    let mut followed = 0;
    let mut faults = Vec::new();
    for page in &all {
        for target in targets(page) {
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.name.parent().expect("a folder");
            let name = match file {
                "" => page.name.clone(),
                file => folder.join(file),
            };
            let path: PathBuf = root().join(&name);
            let exists = path.exists();
            let has_fragment = || {
                fragment.is_empty()
                    || crate::markdown::page(path.canonicalize().expect("a path"))
                        .headings
                        .iter()
                        .any(|heading| anchor(heading) == fragment)
            };
            if !exists || !has_fragment() {
                faults.push(format!("{}: {target}", page.name.display()));
            }
            followed += 1;
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(followed >= 30, "only {followed} links");
}

#[test]
fn the_manifests_name_the_version_of_the_crate() {
    let mut seen = 0;
    for manifest in [
        "istio/gateway.yaml",
        "istio/mesh.yaml",
        "istio/waypoint.yaml",
        "istio/workload.yaml",
        "gateway/jwt.yaml",
    ] {
        let text = std::fs::read_to_string(root().join("envoy").join(manifest)).expect("a manifest");
        for rest in text.split("/proxy-wasm-jwt").skip(1) {
            let named = rest
                .strip_prefix([':', '/'])
                .and_then(|rest| rest.split(['/', '"', '\n', '@', '}', ' ']).next());
            assert_eq!(named, Some(env!("CARGO_PKG_VERSION")), "envoy/{manifest}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} URLs");
}

#[test]
fn every_make_command_exists() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let mut seen = BTreeSet::new();
    for page in pages() {
        let shell = page.blocks.iter().filter(|block| block.info == "sh");
        let lines = shell
            .flat_map(|block| block.text.lines())
            .chain(codes(&page.prose));
        for line in lines {
            if let Some(rest) = line.strip_prefix("make ") {
                let target = rest.split([' ', '\t']).next().unwrap_or_default();
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{}: make {target}",
                    page.name.display()
                );
                seen.insert(target.to_owned());
            }
        }
    }
    assert!(seen.contains("demo") && seen.contains("test"), "{seen:?}");
}

/// Links in the crate's page to public modules are checked by rustdoc; these are all modules, the private
/// ones too.
#[test]
fn every_module_is_on_the_crates_page_and_in_the_design() {
    let source = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let front: String = source.lines().filter(|line| line.starts_with("//!")).collect();
    let modules: Vec<_> = source
        .lines()
        .filter_map(|line| {
            line.trim_start_matches("pub ")
                .strip_prefix("mod ")?
                .strip_suffix(';')
        })
        .collect();
    assert!(modules.len() >= 10, "{modules:?}");
    let design = page("docs/design.md");
    let table = design
        .tables_of(&["module", "owns", "must not know"])
        .next()
        .expect("the table of modules");
    let documented: BTreeSet<_> = table.rows.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(documented, modules.iter().copied().collect(), "docs/design.md");
    for module in modules {
        assert!(
            front.contains(&format!("[`{module}`]")) || front.contains(&format!("| `{module}` |")),
            "src/lib.rs: `{module}` is not in the list of modules"
        );
    }
}
