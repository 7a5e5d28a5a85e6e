use clap::{CommandFactory, Parser};

use super::arguments::{Arguments, Command};
use super::produce::KeyRule;
use super::time::{parse_duration, parse_span, parse_time};

#[test]
fn every_command_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn no_subcommand_is_a_broker() {
    let flags = |line: &str| {
        let arguments = Arguments::try_parse_from(line.split(' ')).expect("valid");
        match arguments.into_command() {
            Command::Broker(arguments) => arguments.flags(),
            other => panic!("{other:?}"),
        }
    };
    assert!(flags("stratalog").is_empty());
    let expected = [("log.dirs", "/d"), ("num.partitions", "3"), ("log.dirs", "/e")];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(flags("stratalog --data-dir /d --set num.partitions=3 --set log.dirs=/e"), expected);
    assert_eq!(flags("stratalog broker --data-dir /d --set num.partitions=3 --set log.dirs=/e"), expected);
    let named = flags(
        "stratalog --listeners A://:1 --tier embedded --admin-listener 127.0.0.1:0 --log-format json --node-id 7",
    );
    let keys: Vec<&str> = named.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        ["listeners", "stratalog.tier.url", "stratalog.admin.listener", "stratalog.log.format", "node.id"]
    );
}

#[test]
fn commands_as_they_are_typed() {
    for line in [
        "stratalog topic create a b -p 3 -r 1 -c retention.ms=1 --if-not-exists",
        "stratalog topic list --format json -b h:1",
        "stratalog topic describe a --all",
        "stratalog topic alter a --set k=v --unset k2 --partitions 4",
        "stratalog topic delete a --yes",
        "stratalog produce t file -k : -z zstd -a all -H a=b -p 0",
        "stratalog produce t --key-field a.b --acks 1 --command-config f",
        "stratalog consume t -o -5 -e -n 3 -f %v",
        "stratalog consume t --offset @-1h --until end -p 0,1 --format json",
        "stratalog consume t -g g -o start -e -n 3 -f json",
        "stratalog tier ls",
        "stratalog tier flush --topic t --wait --format json",
        "stratalog tier evict --topic t --admin h:1",
        "stratalog tier verify -t t",
        "stratalog group list --state empty,Stable --type classic --protocol consumer",
        "stratalog group describe g h --format json",
        "stratalog group lag",
        "stratalog group lag g --watch --format json",
        "stratalog group lag g -w=500ms",
        "stratalog group reset g -t a -t b:0,1 --to-earliest --execute",
        "stratalog group reset g h --all-topics --shift-by -5",
        "stratalog group reset g --all-topics --by-duration PT1H --dry-run",
        "stratalog group reset g -t a --to-datetime 2026-11-21T08:00:00.000 --export",
        "stratalog group reset g --from-file f",
        "stratalog group delete g h --yes --if-exists",
        "stratalog group delete-offsets g -t a:0 --yes",
        "stratalog demo",
        "stratalog broker --config f",
    ] {
        Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for line in [
        "stratalog nonsense",
        "stratalog topic",
        "stratalog topic create",
        "stratalog topic create a --config novalue",
        "stratalog produce t -k : --key-field f",
        "stratalog produce t --acks 2",
        "stratalog consume t -o yesterday",
        "stratalog consume t -f plain",
        "stratalog consume t -e --until 5",
        "stratalog tier flush",
        "stratalog --set novalue",
        "stratalog --data-dir d topic list",
    ] {
        let error = Arguments::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn keys_of_lines() {
    let separator = KeyRule::Separator(b"::".to_vec());
    assert_eq!(separator.split(b"k::v::w"), Ok((Some(b"k".to_vec()), &b"v::w"[..])));
    assert_eq!(separator.split(b"::v"), Ok((Some(Vec::new()), &b"v"[..])));
    assert!(separator.split(b"kv").is_err());
    let field = KeyRule::Field(vec!["a".to_owned(), "b".to_owned()]);
    let line = br#"{"a":{"b":"x"}}"#;
    assert_eq!(field.split(line), Ok((Some(b"x".to_vec()), &line[..])));
    assert_eq!(field.split(br#"{"a":{"b":12}}"#).map(|(key, _)| key), Ok(Some(b"12".to_vec())));
    for wrong in [&b"{}"[..], b"nonsense", br#"{"a":{"b":null}}"#] {
        assert!(field.split(wrong).is_err());
    }
    assert_eq!(KeyRule::None.split(b"k:v"), Ok((None, &b"k:v"[..])));
}

#[test]
fn times_and_spans() {
    let now = 1_000_000_000_000;
    let time = |text: &str| parse_time(text, now);
    assert_eq!(time("1700000000000"), Ok(1_700_000_000_000));
    assert_eq!(time("-1h30m"), Ok(now - 5_400_000));
    assert_eq!(time("1970-01-01T00:00:00Z"), Ok(0));
    assert_eq!(time("2000-02-29T12:34:56.789Z"), Ok(951_827_696_789));
    assert_eq!(time("2026-11-21T02:00:00+02:00"), Ok(1_795_219_200_000));
    assert_eq!(time("2026-11-21"), Ok(1_795_219_200_000));
    assert_eq!(time("1969-12-31T23:59:59Z"), Ok(-1_000));
    for wrong in ["", "2026-02-30", "2026-13-01", "2026-11-21T24:00:00Z", "now", "-", "-5", "-5x", "2026-11"] {
        assert!(time(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse_span("2d250ms"), Some(172_800_250));
    assert_eq!(parse_span("99999999999999999999d"), None);
}

#[test]
fn durations_as_kafkas_tools_take_them() {
    for (text, millis) in [
        ("1h30m", 5_400_000),
        ("PT1H30M", 5_400_000),
        ("P1D", 86_400_000),
        ("P1DT1S", 86_401_000),
        ("P2W", 1_209_600_000),
        ("pt5s", 5_000),
        ("250ms", 250),
    ] {
        assert_eq!(parse_duration(text), Ok(millis), "{text}");
    }
    for wrong in ["", "P", "PT", "P1DT", "P1M", "P1Y", "PT1", "PT5MS", "P-1D", "P1H", "1", "P99999999999999999D"] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}
