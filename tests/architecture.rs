//! Imports go down the floors, never up, never sideways (floor 0 excepted).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/`, as `docs/ARCHITECTURE.md` draws them.
const FLOORS: &[(&str, u32)] = &[
    ("clock", 0),
    ("config", 0),
    ("metrics", 0),
    ("platform", 0),
    ("watermark", 0),
    ("security", 1),
    ("log", 2),
    ("metadata", 2),
    ("net", 2),
    ("partition", 3),
    ("coordinator", 4),
    ("admin", 6),
    ("api", 6),
    ("broker", 7),
    ("cli", 8),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules of the crate that a line names, as `crate::name`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(""))
}

/// The edges that break the rule, of modules and their source text.
fn violations<'a>(files: impl Iterator<Item = (&'a str, &'a str)>, floors: &BTreeMap<&str, u32>) -> Vec<String> {
    let mut broken = Vec::new();
    for (module, text) in files {
        let Some(own) = floors.get(module) else {
            broken.push(format!("{module} has no floor: name it in tests/architecture.rs and docs/ARCHITECTURE.md"));
            continue;
        };
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for imported in imports(line) {
                let Some(floor) = floors.get(imported) else { continue };
                if imported != module && (floor > own || (floor == own && *own > 0)) {
                    broken.push(format!("{module} (floor {own}) imports {imported} (floor {floor}): {}", line.trim()));
                }
            }
        }
    }
    broken
}

#[test]
fn imports_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let files: Vec<(String, String)> = paths
        .iter()
        .filter_map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = first.strip_suffix(".rs").unwrap_or(first);
            (module != "lib" && module != "main").then(|| (module.to_owned(), fs::read_to_string(path).unwrap()))
        })
        .collect();
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let broken = violations(files.iter().map(|(module, text)| (module.as_str(), text.as_str())), &floors);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_rule_can_fail() {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let up = violations([("log", "use crate::api::Node;")].into_iter(), &floors);
    assert_eq!(up.len(), 1);
    let sideways = violations([("net", "let x = crate::log::Log::open();")].into_iter(), &floors);
    assert_eq!(sideways.len(), 1);
    assert!(violations([("api", "use crate::log::Log;\n// crate::cli")].into_iter(), &floors).is_empty());
}

/// The fields of the `metrics!` table that no code reaches as `metrics.field`.
fn idle_metrics(declarations: &str, code: &str) -> Vec<String> {
    let table = declarations.split("\nmetrics! {").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap();
    let fields = table.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let fields = fields.filter_map(|line| line.trim().split_once(": ").map(|(field, _)| field));
    let packed: String = code.split_whitespace().collect();
    let reached = |field: &str| {
        packed.match_indices(&format!("metrics.{field}")).any(|(at, found)| {
            let after = packed[at + found.len()..].chars().next();
            after.is_some_and(|c| !c.is_ascii_alphanumeric() && c != '_')
        })
    };
    fields.filter(|field| !reached(field)).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_updated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let product = paths.iter().filter(|path| !path.ends_with("tests.rs"));
    let code: String = product.map(|path| fs::read_to_string(path).unwrap()).collect();
    let declarations = fs::read_to_string(root.join("metrics/mod.rs")).unwrap();
    assert_eq!(idle_metrics(&declarations, &code), Vec::<String>::new(), "nothing updates these metrics");
    let planted = declarations.replacen("\nmetrics! {", "\nmetrics! {\n    idle: Gauge = x, \"idle\", \"Idle\";", 1);
    assert_eq!(idle_metrics(&planted, &code), ["idle"]);
}
