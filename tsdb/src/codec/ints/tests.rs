//! Columns of integers come back, whole and in part.

use super::*;
use proptest::prelude::*;

fn round_trip(numbers: &[i64]) -> usize {
    let mut size = 0;
    for effort in [Effort::Flush, Effort::Merge] {
        let mut bytes = vec![];
        encode(&mut bytes, numbers, effort);
        let mut back = vec![42];
        decode(&bytes, numbers.len(), 0..numbers.len(), &mut back).unwrap();
        assert_eq!(&back[1..], numbers);
        size = bytes.len();
    }
    size
}

proptest! {
    #[test]
    fn any_column_comes_back(numbers in prop::collection::vec(any::<i64>(), 1..1200), shift in 0u32..64) {
        round_trip(&numbers);
        let small: Vec<i64> = numbers.iter().map(|n| n >> shift).collect();
        round_trip(&small);
    }
}
