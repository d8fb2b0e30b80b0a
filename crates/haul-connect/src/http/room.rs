//! Room for bodies that are handed on at once. A body leaves its room to the next one on its thread: memory that was
//! just written is in the cache of the processor, and what an allocator gives for bodies mostly is not.

use std::cell::Cell;

/// Larger rooms are given back.
const KEPT: usize = 128 * 1024;

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer for a body of so many bytes: what was left, unless it is so large that a body which waits would
/// hold much more than it needs.
pub(super) fn take(len: usize) -> Vec<u8> {
    let left = ROOM.take();
    if left.capacity() <= 2 * len {
        return left;
    }
    ROOM.set(left);
    Vec::new()
}

/// Leaves the buffer of a body that nobody needs any more.
pub(super) fn leave(mut body: Vec<u8>) {
    if body.capacity() <= KEPT {
        body.clear();
        ROOM.set(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_left_for_bodies_of_its_size_only() {
        leave(Vec::with_capacity(10_000));
        assert_eq!(take(4_000).capacity(), 0, "it would hold more than twice what it needs");
        assert_eq!(take(9_000).capacity(), 10_000);
        assert_eq!(take(9_000).capacity(), 0, "it is taken");
        leave(Vec::with_capacity(KEPT + 1));
        assert_eq!(take(KEPT).capacity(), 0);
    }
}
