use super::*;

#[test]
fn text_names_units_and_labels() {
    let metrics = Metrics::new();
    metrics.network_bytes_in.inc_by(5);
    metrics.requests.get_or_create(&ApiLabel { api: "Produce" }).inc();
    metrics.request_duration.get_or_create(&ApiLabel { api: "Produce" }).observe(0.002);
    let text = metrics.encode().expect("text");
    assert!(text.contains("stratalog_network_in_bytes_total 5\n"), "{text}");
    assert!(text.contains("stratalog_requests_total{api=\"Produce\"} 1\n"), "{text}");
    assert!(text.contains("stratalog_request_duration_seconds_count{api=\"Produce\"} 1\n"), "{text}");
    assert!(text.contains("stratalog_build_info{version=\""), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_deleted_topics_series_go() {
    let metrics = Metrics::new();
    let label = TopicLabel { topic: "gone".to_owned() };
    metrics.topic_bytes_in.get_or_create(&label).inc();
    metrics.tier_bytes.get_or_create(&label).set(1);
    let purpose = StoreBytesLabels { topic: "gone".to_owned(), purpose: "upload", direction: "sent" };
    metrics.store_bytes.get_or_create(&purpose).inc();
    assert!(metrics.encode().expect("text").contains("gone"));
    metrics.forget_topic("gone");
    assert!(!metrics.encode().expect("text").contains("gone"));
}
