//! Good bodies made at random from a message's schema: what a peer may send in a version.

use stratalog_protocol::Message;
use stratalog_protocol::codec::{FieldSchema, Structure, Wire};

/// A small generator (SplitMix64): a failure names the seed, and the seed makes the same body again.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The body of an `M` in a version. A tagged field that is present never holds its default, which an encoder leaves out.
pub fn body<M: Message>(version: i16, seed: u64) -> Vec<u8> {
    let mut writer = Writer { out: Vec::new(), version, flexible: version >= M::FLEXIBLE_SINCE, random: Random(seed) };
    writer.structure(<M as Structure>::FIELDS);
    writer.out
}

struct Writer {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
    random: Random,
}

impl Writer {
    fn structure(&mut self, fields: &[FieldSchema]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version) && field.tag.is_none()) {
            let null = field.is_nullable_in(self.version) && self.random.below(4) == 0;
            self.field(field, null);
        }
        if !self.flexible {
            return;
        }
        let tagged = fields.iter().filter(|field| field.is_in(version) && field.tag.is_some());
        let tagged = tagged.filter(|_| self.random.below(3) > 0).collect::<Vec<_>>();
        self.uvarint(tagged.len() as u64);
        for field in tagged {
            self.uvarint(u64::from(field.tag.unwrap()));
            let outer = std::mem::take(&mut self.out);
            self.field(field, false);
            let value = std::mem::replace(&mut self.out, outer);
            self.uvarint(value.len() as u64);
            self.out.extend(value);
        }
    }

    fn field(&mut self, field: &FieldSchema, null: bool) {
        match field.wire {
            Wire::Text => self.prefixed(null, true, Writer::text),
            Wire::Bytes | Wire::Records => {
                self.prefixed(null, false, |writer| (0..1 + writer.random.below(6)).map(|i| i as u8).collect())
            }
            Wire::Array(element) => {
                let count = (!null).then(|| (usize::from(field.tag.is_some())).max(self.random.below(3)));
                self.count(count);
                let element = FieldSchema { wire: *element, nullable_since: None, ..*field };
                (0..count.unwrap_or(0)).for_each(|_| self.field(&element, false));
            }
            Wire::Struct(fields) => {
                if field.is_nullable_in(self.version) {
                    self.out.push(if null { 0xff } else { 1 });
                }
                if !null {
                    self.structure(fields);
                }
            }
            Wire::Bool if field.tag.is_some() => self.out.push(1),
            fixed => self.fixed(fixed),
        }
    }

    fn fixed(&mut self, wire: Wire) {
        let value = 100 + self.random.next() % 20_000;
        match wire {
            Wire::Bool => self.out.push((value & 1) as u8),
            Wire::I8 => self.out.push((value % 100) as u8 + 20),
            Wire::I16 | Wire::U16 => self.out.extend((value as u16).to_be_bytes()),
            Wire::I32 | Wire::U32 => self.out.extend((value as u32).to_be_bytes()),
            Wire::I64 => self.out.extend(value.to_be_bytes()),
            Wire::F64 => self.out.extend((value as f64 / 4.0).to_be_bytes()),
            Wire::Uuid => self.out.extend([value.to_be_bytes(), (!value).to_be_bytes()].concat()),
            other => panic!("{other:?} has no fixed size"),
        }
    }

    fn text(&mut self) -> Vec<u8> {
        let letters = ["a", "b", "topic", "ä", "-"];
        let length = if self.random.below(40) == 0 { 90 } else { 1 + self.random.below(4) };
        (0..length).flat_map(|_| letters[self.random.below(letters.len())].bytes()).collect()
    }

    fn prefixed(&mut self, null: bool, text: bool, value: impl FnOnce(&mut Writer) -> Vec<u8>) {
        let value = (!null).then(|| value(self));
        let length = value.as_ref().map(Vec::len);
        if text && !self.flexible {
            self.out.extend(length.map_or(-1, |length| length as i16).to_be_bytes());
        } else {
            self.count(length);
        }
        self.out.extend(value.unwrap_or_default());
    }

    fn count(&mut self, count: Option<usize>) {
        if self.flexible {
            self.uvarint(count.map_or(0, |count| count as u64 + 1));
        } else {
            self.out.extend(count.map_or(-1, |count| count as i32).to_be_bytes());
        }
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
