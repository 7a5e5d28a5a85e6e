//! Varints: every value returns, and nothing that passes its type is taken.

use proptest::prelude::*;

use super::super::varint::{len_i32, len_i64, put_i32, put_i64, take_i32, take_i64};

fn check_i32(encoded: &[u8], expected: Option<i32>) {
    assert_eq!(take_i32(&mut &*encoded), expected, "{encoded:02x?}");
}

fn check_i64(encoded: &[u8], expected: Option<i64>) {
    assert_eq!(take_i64(&mut &*encoded), expected, "{encoded:02x?}");
}

#[test]
fn bounds_hold() {
    check_i32(&[0xff, 0xff, 0xff, 0xff, 0x0f], Some(i32::MIN));
    check_i32(&[0xfe, 0xff, 0xff, 0xff, 0x0f], Some(i32::MAX));
    check_i32(&[0x80, 0x00], Some(0));
    check_i32(&[0x80, 0x80, 0x80, 0x80, 0x10], None);
    check_i32(&[0xff, 0xff, 0xff, 0xff, 0x1f], None);
    check_i32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], None);
    check_i32(&[0x80], None);
    check_i32(&[], None);
    let nine = [0xff; 9];
    check_i64(&[&nine[..], &[0x01]].concat(), Some(i64::MIN));
    check_i64(&[&nine[..], &[0x02]].concat(), None);
    check_i64(&[&nine[..], &[0x7f]].concat(), None);
    check_i64(&[&nine[..], &[0x80, 0x00]].concat(), None);
    check_i64(&nine, None);
}

proptest! {
    #[test]
    fn values_return(narrow in any::<i32>(), wide in any::<i64>(), shift in 0u32..64) {
        let (narrow, wide) = (narrow >> (shift % 32), wide >> shift);
        let mut out = Vec::new();
        put_i32(&mut out, narrow);
        prop_assert_eq!(out.len(), len_i32(narrow));
        check_i32(&out, Some(narrow));
        out.clear();
        put_i64(&mut out, wide);
        prop_assert_eq!(out.len(), len_i64(wide));
        check_i64(&out, Some(wide));
    }
}
