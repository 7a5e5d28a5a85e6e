use super::*;

#[test]
fn murmur2_as_java_computes_it() {
    for (key, expected) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()), expected, "{key}");
    }
    assert_eq!(partition_of_key(b"21", 10), (-973_932_308 & i32::MAX) % 10);
    assert_eq!(partition_of_key(b"x", 1), 0);
}

#[test]
fn bootstrap_addresses() {
    let parse = |text: &str| parse_bootstrap(text).map(|all| all.iter().map(Address::to_string).collect::<Vec<_>>());
    assert_eq!(parse("a:1,b:2").expect("valid"), ["a:1", "b:2"]);
    assert_eq!(parse("a").expect("valid"), ["a:9092"]);
    assert_eq!(parse("[::1]:9, ::1").expect("valid"), ["[::1]:9", "[::1]:9092"]);
    assert_eq!(parse("PLAINTEXT://localhost:9092").expect("valid"), ["localhost:9092"]);
    for wrong in ["", ":9092", "a:x", "a:70000", "[::1"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
