//! Tokens and codes.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn tokens_hold_their_numbers(number: u64, shift in 0u32..64, detail in 0..=MAX_DETAIL) {
        let number = number >> shift;
        let token = token_of(number, detail);
        let (smallest, added) = range_of(token, detail);
        prop_assert!(token < TOKENS && number & !mask(added) == smallest);
    }
}
