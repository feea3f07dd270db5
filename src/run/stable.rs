//! Values at addresses that do not change, for pointers that compiled code and hosts keep.

use std::ops::Deref;
use std::ptr::NonNull;

/// A `Box` but for one thing: a `Box` that moves says that nobody else points to what it
/// holds, which makes pointers to it invalid.
pub(crate) struct Stable<T: ?Sized>(NonNull<T>);

// SAFETY: it owns its value, as a `Box` does.
unsafe impl<T: ?Sized + Send> Send for Stable<T> {}

impl<T> Stable<T> {
    pub(crate) fn new(value: T) -> Self {
        Box::new(value).into()
    }
}

impl<T: ?Sized> Stable<T> {
    /// Good for as long as this lives.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }
}

impl<T: ?Sized> From<Box<T>> for Stable<T> {
    fn from(value: Box<T>) -> Self {
        Self(NonNull::from(Box::leak(value)))
    }
}

impl<T> FromIterator<T> for Stable<[T]> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Box<[T]>>().into()
    }
}

impl<T: ?Sized> Deref for Stable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it came from a `Box`, and nobody has a mutable reference.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> Drop for Stable<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a `Box`, and is gone after this.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
