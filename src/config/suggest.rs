//! The nearest known name to a mistyped one.

use super::catalog;

/// `; did you mean …?`, or an empty text when nothing is near. `show` turns a key into what the user would write.
pub fn broker_hint(name: &str, show: impl Fn(&str) -> String) -> String {
    if catalog::topic_key(name).is_some() {
        return match catalog::topic_synonyms(name).first() {
            Some(synonym) if synonym.name != name => {
                format!("; it is a topic's key, the broker's is {}", show(synonym.name))
            }
            _ => "; it is a topic's key, set it with `stratalog topic alter`".to_owned(),
        };
    }
    hint(name, catalog::broker_keys().map(|key| key.name), show)
}

/// As `broker_hint`, for topic keys.
pub fn topic_hint(name: &str) -> String {
    for key in catalog::TOPIC {
        if catalog::topic_synonyms(key.name).iter().any(|synonym| synonym.name == name) {
            return format!("; it is the broker's key, a topic's is {}", key.name);
        }
    }
    hint(name, catalog::TOPIC.iter().map(|key| key.name), str::to_owned)
}

fn hint(name: &str, known: impl Iterator<Item = &'static str>, show: impl Fn(&str) -> String) -> String {
    let lower = name.to_lowercase();
    let nearest = known.map(|candidate| (distance(&lower, candidate), candidate)).min();
    match nearest {
        Some((apart, candidate)) if apart <= (name.len() / 4).max(2) => format!("; did you mean {}?", show(candidate)),
        _ => String::new(),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two names.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(200).collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x;
            if swapped {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
