//! Random text for passwords and salts.
//!
//! Promise: from the kernel's generator, and of letters that need no quoting anywhere.

use rustix::rand::{GetRandomFlags, getrandom};

/// 64 letters: a byte's low six bits choose one, so none is likelier.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `length` random letters, six bits each.
pub fn letters(length: usize) -> String {
    let mut bytes = vec![0u8; length];
    let mut filled = 0;
    while filled < length {
        // Fails only when a signal comes first, and then it is simply asked again.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 63)]))
        .collect()
}

/// A password no database client has to quote: 192 bits, beginning and ending with a letter of its own kind for policies that ask.
pub fn password() -> String {
    format!("a{}Z9-", letters(32))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_are_never_the_same() {
        assert_ne!(super::letters(64), super::letters(64));
        assert_eq!(super::letters(64).len(), 64);
    }
}
