use bytes::Bytes;
use uuid::Uuid;

use super::*;

fn key(chunk: u32) -> ChunkKey {
    ChunkKey { object: Uuid::nil(), chunk }
}

#[test]
fn the_byte_bound_holds_and_the_oldest_goes_first() {
    let cache = ChunkCache::new(10_000);
    for chunk in 0..100 {
        cache.insert(key(chunk), Bytes::from(vec![0; 1000]));
        assert!(cache.bytes() <= 10_000);
    }
    assert!(cache.get(&key(0)).is_none());
    assert!(cache.get(&key(99)).is_some());
}

#[test]
fn a_buffer_returns_with_its_last_reader() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(100_000);
    buffer.extend_from_slice(b"abc");
    let place = buffer.as_ptr();
    let (shared, capacity) = (pool.share(buffer), 128 * 1024);
    let slice = shared.slice(1..2);
    drop(shared);
    assert_eq!((&slice[..], pool.free_bytes()), (&b"b"[..], 0));
    drop(slice);
    assert_eq!(pool.free_bytes(), capacity);
    let again = pool.take(100_000);
    assert_eq!((again.as_ptr(), again.len()), (place, 0));
    // Too large for what is asked: another one.
    drop(pool.share(again));
    assert_ne!(pool.take(1000).capacity(), capacity);
}

#[test]
fn free_buffers_are_bounded() {
    let pool = BufferPool::new(200_000);
    let loans: Vec<_> = (0..10).map(|_| pool.share(pool.take(65_536))).collect();
    drop(loans);
    assert_eq!(pool.free_bytes(), 3 * 65_536);
}
