//! What `deploy/` says of the gateway is true: variables are configuration keys, metrics exist, files are
//! accepted. Whether the files are well-formed for those who read them is for linters (`.ci/test deploy`)
//! and, for proxies, for `proxies`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gateway::config::{Asked, KEYS, load};
use gateway::telemetry::{Definition, definitions};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Every file of the folder: its path below it, and its text.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![deploy()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(deploy()).unwrap().to_str().unwrap().to_owned();
            found.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() > 15, "{found:?}");
    found
}

/// Words of a text that begin so.
fn words<'a>(text: &'a str, prefix: &str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(move |c: char| !is_word(c));
    let prefix = prefix.to_owned();
    words.filter(move |word| word.len() > prefix.len() && word.starts_with(&prefix))
}

#[test]
fn variables_are_configuration_keys() {
    let known: BTreeSet<String> = KEYS.iter().map(gateway::config::Key::variable).collect();
    let mut seen = 0;
    for (name, text) in files() {
        for variable in words(&text, "TICKCAST_") {
            assert!(known.contains(variable), "{name}: there is no {variable}");
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn dashboards_and_the_autoscaler_ask_for_metrics_that_exist() {
    let known: BTreeSet<String> = definitions().iter().map(Definition::sample_name).collect();
    let mut seen = BTreeSet::new();
    for (name, text) in files() {
        for metric in words(&text, "tickcast_") {
            assert!(known.contains(metric), "{name}: there is no {metric}");
            seen.insert(metric.to_owned());
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn the_dashboard_is_json_whose_panels_do_not_overlap() {
    let text = std::fs::read_to_string(deploy().join("grafana/dashboards/tickcast.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let number = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{}", panel["title"]);
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "{} lies upon another", panel["title"]);
            }
        }
        // Rows have none.
        let description = panel["description"].as_str();
        let is_row = panel["type"] == "row";
        assert!(is_row || description.unwrap().ends_with('.'), "{}", panel["title"]);
    }
}

#[test]
fn the_dashboard_shows_what_operators_must_see() {
    let text = std::fs::read_to_string(deploy().join("grafana/dashboards/tickcast.json")).unwrap();
    let shown: BTreeSet<&str> = words(&text, "tickcast_").collect();
    for metric in [
        "sessions",
        "deliveries_total",
        "visit_wait_seconds_bucket",
        "ring_delay_seconds_bucket",
        "sessions_blocked",
        "kept_bytes",
        "skipped_lost_total",
        "skipped_lapped_total",
        "ring_lapped_total",
        "bus_connected",
        "bus_buckets_behind",
        "handshakes_failed_total",
        "certificate_failures_total",
        "process_resident_memory_bytes",
        "addresses_refused_total",
        "origins_refused_total",
        "pressure_refused_total",
        "accept_paced_total",
        "closed_overloaded_total",
        "closed_aged_total",
    ] {
        assert!(shown.contains(format!("tickcast_{metric}").as_str()), "{metric} is not shown");
    }
}

/// The names by which links find a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-');
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_alert_has_a_reason_and_a_place_that_says_what_to_do() {
    let text = std::fs::read_to_string(deploy().join("prometheus/alerts.yaml")).unwrap();
    let operations = deploy().join("../docs/OPERATIONS.md");
    let anchors = anchors(&std::fs::read_to_string(operations).unwrap());
    let alerts: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 20, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let field = |field: &str| {
            let lines = alert.lines().map(str::trim);
            let mut found = lines.filter_map(|line| line.strip_prefix(field));
            found.next().unwrap_or_else(|| panic!("{name} has no {field}")).trim()
        };
        assert!(["critical", "warning", "info"].contains(&field("severity:")), "{name}");
        assert_eq!(field("description:"), ">-", "{name}");
        let anchor = field("runbook:").strip_prefix("docs/OPERATIONS.md#").unwrap();
        assert!(anchors.contains(anchor), "{name}: docs/OPERATIONS.md has no #{anchor}");
    }
}

/// Loads a configuration from arguments and environment; the listing if it is accepted.
fn check(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let arguments = ["gateway", "--check"].iter().chain(arguments).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    match load(arguments, environment) {
        Ok(Asked::Print(listing)) => listing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_services_file_is_accepted_by_the_gateway() {
    let path = deploy().join("gateway.toml");
    let listing = check(&["--config", path.to_str().unwrap()], &[]);
    assert!(listing.contains("trusted-proxies"), "{listing}");
    // What is commented out is meant to be commented in.
    let text = std::fs::read_to_string(&path).unwrap();
    let mut checked = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"');
        let flag = format!("--{key}");
        let also = ["--tls-cert", "chain.pem", "--tls-key", "key.pem", "--trusted-proxies", "::1"];
        let also = also.chunks(2).filter(|pair| pair[0] != flag).flatten().copied();
        let arguments: Vec<&str> = [flag.as_str(), value].into_iter().chain(also).collect();
        check(&arguments, &[]);
        checked += 1;
    }
    assert!(checked >= 4, "{checked}");
}

#[test]
fn the_environments_of_containers_are_accepted_by_the_gateway() {
    let names =
        ["kubernetes/configuration.yaml", "compose/compose.yaml", "compose/compose.redis.yaml"];
    for name in names {
        let text = std::fs::read_to_string(deploy().join(name)).unwrap();
        let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
        let environment: Vec<(&str, &str)> = lines
            .filter(|(variable, _)| variable.starts_with("TICKCAST_"))
            .map(|(variable, value)| (variable, value.trim_matches('"')))
            .collect();
        assert!(environment.len() >= 2, "{name}");
        check(&[], &environment);
    }
}

#[test]
fn every_file_is_explained_and_every_manifest_applied() {
    let files = files();
    let text = |name: &str| &files.iter().find(|(found, _)| found == name).unwrap().1;
    let (readme, kustomization) = (text("README.md"), text("kubernetes/kustomization.yaml"));
    for (name, text) in &files {
        let folder = name.split('/').next().unwrap();
        let listed = readme.contains(&format!("({name})"))
            || (matches!(folder, "kubernetes" | "grafana")
                && readme.contains(&format!("({folder}/)")));
        assert!(listed || name == "README.md", "{name} is not in deploy/README.md");
        if let Some(manifest) = name.strip_prefix("kubernetes/")
            && text.contains("\napiVersion: ")
            && manifest != "kustomization.yaml"
        {
            assert!(
                kustomization.contains(&format!("- {manifest}\n")),
                "{manifest} is not applied"
            );
        }
    }
}
