//! Room for bodies that are handed on at once. A body leaves its room to the next one on its thread: memory that was
//! just written is in the cache of the processor, and what an allocator gives for bodies mostly is not.

use std::cell::Cell;

/// Larger rooms are given back.
const KEPT: usize = 128 * 1024;

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer for a body of so many bytes; what was left, or a new one.
pub(super) fn take(len: usize) -> Vec<u8> {
    if len <= KEPT { ROOM.take() } else { Vec::new() }
}

/// Leaves the buffer of a body that nobody needs any more.
pub(super) fn leave(mut body: Vec<u8>) {
    if body.capacity() <= KEPT {
        body.clear();
        ROOM.set(body);
    }
}
