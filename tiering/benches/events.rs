//! Data like a topic's.

pub fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// JSON events, about 200 bytes each.
pub fn events(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(length + 512);
    let actions = ["view", "click", "purchase", "refund", "login"];
    while out.len() < length {
        let (a, b, c) = (next(&mut state), next(&mut state), next(&mut state));
        let action = actions[(a % 5) as usize];
        out.extend_from_slice(
            format!(
                "{{\"ts\":17637{:08},\"user\":\"u{}\",\"action\":\"{action}\",\"amount\":{}.{:02},\"session\":\"{:016x}\",\
                 \"region\":\"eu-{}\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64) rv:{}\"}}",
                a % 100_000_000,
                b % 50_000,
                b % 1000,
                c % 100,
                c,
                a % 4,
                b % 9,
            )
            .as_bytes(),
        );
    }
    out.truncate(length);
    out
}
