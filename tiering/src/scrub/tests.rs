//! Every kind of damage is found and named.

use std::sync::Arc;

use super::*;
use crate::fixtures::{partition, pool, runs, upload};
use crate::store::memory::{Fault, MemoryStore};

async fn stored() -> (MemoryStore, Entry, String) {
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let entry = upload(&store, 0, 1, &runs(0, 40, 3000, true, 31)).await.expect("uploaded").entry;
    let key = partition().segment_of(&entry);
    (memory, entry, key)
}

async fn check(memory: &MemoryStore, entry: &Entry) -> Result<Verified, ScrubError> {
    verify(memory, partition(), entry, &Depth::Unpacked(pool())).await
}

#[tokio::test]
async fn a_sound_object_is_sound() {
    let (memory, entry, _) = stored().await;
    let verified = check(&memory, &entry).await.expect("sound");
    assert_eq!((verified.chunks, verified.bytes), (3, entry.object_bytes));
    verify(&memory, partition(), &entry, &Depth::Stored).await.expect("sound");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found() {
    let (memory, entry, key) = stored().await;
    let good = memory.peek(&key).expect("stored");
    let (footer, tail) = (entry.footer_position as usize, good.len() - TAIL_BYTES);
    for position in [0, 1, footer / 2, footer - 1, footer, footer + 100, tail - 1, tail, tail + 30, good.len() - 1] {
        let mut bytes = good.to_vec();
        bytes[position] ^= 4;
        memory.plant(&key, bytes.into());
        let error = check(&memory, &entry).await.expect_err("damaged");
        let in_chunk = matches!(error, ScrubError::Chunk { .. });
        assert_eq!(in_chunk, position < footer, "{position}: {error:?}");
    }
    memory.plant(&key, good.slice(..good.len() - 1));
    assert!(check(&memory, &entry).await.is_err());
}

#[tokio::test]
async fn what_the_entry_says_is_compared() {
    let (memory, entry, key) = stored().await;
    let mut other = entry.clone();
    other.footer_crc ^= 1;
    assert!(matches!(check(&memory, &other).await, Err(ScrubError::End { .. })));
    let mut other = entry.clone();
    other.object_bytes -= 1;
    assert!(check(&memory, &other).await.is_err());
    let mut other = entry.clone();
    other.footer_position = u64::MAX;
    assert!(check(&memory, &other).await.is_err());
    // The right bytes under another partition's name.
    let mut elsewhere = partition();
    elsewhere.partition.0 += 1;
    memory.plant(&elsewhere.segment_of(&entry), memory.peek(&key).expect("stored"));
    assert!(matches!(
        verify(&memory, elsewhere, &entry, &Depth::Stored).await,
        Err(ScrubError::End { source: FormatError::Invalid { what: "topic section", .. }, .. })
    ));
    memory.remove(&key);
    assert!(matches!(check(&memory, &entry).await, Err(ScrubError::Store(StoreError::NotFound { .. }))));
}

#[tokio::test]
async fn a_store_that_is_away_is_no_damage() {
    let (memory, entry, _) = stored().await;
    memory.set_rule(|_| Some(Fault::Unavailable));
    assert!(matches!(check(&memory, &entry).await, Err(ScrubError::Store(StoreError::Unavailable { .. }))));
}
