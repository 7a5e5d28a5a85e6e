use stratalog_protocol::records::{Batch, BatchBuilder, NewRecord};

use super::template::base64;
use super::*;

#[test]
fn positions() {
    let parse = |text: &str| text.parse::<Position>();
    assert_eq!(parse("start"), Ok(Position::Start));
    assert_eq!(parse("42"), Ok(Position::Offset(42)));
    assert_eq!(parse("+5"), Ok(Position::AfterStart(5)));
    assert_eq!(parse("-5"), Ok(Position::BeforeEnd(5)));
    assert_eq!(parse("@1700000000000"), Ok(Position::Time(1_700_000_000_000)));
    assert!(matches!(parse("@-1h"), Ok(Position::Time(_))));
    for wrong in ["", "begin", "--5", "+-5", "1.5", "@", "@yesterday", "-"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn positions_within_a_partition() {
    let (start, end) = (10, 20);
    let at = |position: Position, at_time| position.offset(start, end, at_time);
    assert_eq!(at(Position::Start, None), 10);
    assert_eq!(at(Position::End, None), 20);
    assert_eq!(at(Position::Offset(3), None), 10, "what is gone begins at the start");
    assert_eq!(at(Position::Offset(25), None), 25, "what is yet to come is waited for");
    assert_eq!(at(Position::AfterStart(4), None), 14);
    assert_eq!(at(Position::BeforeEnd(4), None), 16);
    assert_eq!(at(Position::BeforeEnd(400), None), 10);
    assert_eq!(at(Position::Time(1), Some(13)), 13);
    assert_eq!(at(Position::Time(1), Some(-1)), 20, "nothing is that young");
    assert_eq!(Position::Time(5).time(4), None, "a time ahead is the end");
}

fn printed(template: &str, record: &NewRecord<'_>) -> String {
    let template: Template = template.parse().expect("template");
    let mut builder = BatchBuilder::new(7).leader_epoch(3);
    builder.append(record).expect("fits");
    let bytes = builder.build().expect("batch");
    let records = Batch::at_start(&bytes).expect("whole").records(1 << 20).expect("plain");
    let record = records.iter().next().expect("one").expect("sound");
    let fetched = crate::net::client::FetchedRecord {
        record,
        timestamp_type: stratalog_protocol::records::TimestampType::CreateTime,
        leader_epoch: 3,
    };
    let mut out = Vec::new();
    template.write(&mut out, "t", 2, &fetched).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn templates() {
    let headers: [(&str, Option<&[u8]>); 2] = [("a", Some(b"1")), ("b", None)];
    let record = NewRecord { timestamp: 99, key: Some(b"key"), value: Some(b"value"), headers: &headers };
    assert_eq!(printed("text", &record), "value\n");
    assert_eq!(printed("%t-%p@%o %T %k=%v [%h] %H %K %V %e%%\\n", &record), "t-2@7 99 key=value [a=1,b=] 2 3 5 3%\n");
    assert_eq!(printed("\\x41%v\\0\\\\\\t", &record), "Avalue\0\\\t");
    let empty = NewRecord { timestamp: 99, ..Default::default() };
    assert_eq!(printed("%k|%K|%v|%V", &empty), "|-1||-1");
    for wrong in ["plain", "%", "%z", "%v\\", "%v\\q", "%v\\xZZ"] {
        assert!(wrong.parse::<Template>().is_err(), "{wrong}");
    }
}

#[test]
fn json_keeps_every_byte() {
    let headers: [(&str, Option<&[u8]>); 2] = [("a", Some(b"\xff")), ("b", None)];
    let record = NewRecord { timestamp: 99, key: None, value: Some(b"\xfe\x00"), headers: &headers };
    let expected = "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":99,\"timestamp_type\":\"CreateTime\",\
                    \"leader_epoch\":3,\"key\":null,\"value_base64\":\"/gA=\",\"headers\":[{\"key\":\"a\",\
                    \"value_base64\":\"/w==\"},{\"key\":\"b\",\"value\":null}]}\n";
    assert_eq!(printed("json", &record), expected);
    let vectors =
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
    for (text, expected) in vectors {
        assert_eq!(base64(text.as_bytes()), expected);
    }
}
