//! Tests of the page of the API as readers use it.

use std::collections::BTreeSet;

use smbench_definitions::{page, read_api};

#[test]
fn every_link_leads_to_an_anchor_and_no_two_places_have_the_same_one() {
    let page = page(&read_api());
    let anchors = page.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut known = BTreeSet::new();
    for anchor in anchors {
        assert!(known.insert(anchor), "two places have the anchor {anchor}");
    }
    assert!(known.len() > 100, "{known:?}");
    let links = page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    let dead: BTreeSet<&str> = links.filter(|link| !known.contains(link)).collect();
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn the_page_has_every_group_and_describes_every_function() {
    let api = read_api();
    let page = page(&api);
    for title in ["The client", "Random numbers", "Thresholds", "Hooks", "Metrics", "@bench/office"]
    {
        assert!(page.contains(&format!("\n## {title}\n")), "{title}");
    }
    let items = api.globals().chain(api.modules.iter().flat_map(|module| module.public()));
    let undescribed: Vec<String> = items
        .filter_map(|item| item.function())
        .filter(|function| function.text.is_empty())
        .map(|function| format!("{}:{}", function.object, function.name))
        .collect();
    assert!(undescribed.is_empty(), "functions without a description: {undescribed:?}");
}
