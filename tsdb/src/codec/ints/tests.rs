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

#[test]
fn one_page_of_more_than_its_packing_holds_is_an_error() {
    // Noise of one page, which is packed densely or sparsely.
    for sparse in [false, true] {
        let noise = |i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()) >> 50 & 1023;
        let numbers: Vec<i64> = (0..500)
            .map(|i| {
                if sparse && i % 20 > 0 {
                    7
                } else {
                    noise(i) * noise(i)
                }
            })
            .collect();
        let mut bytes = vec![];
        encode(&mut bytes, &numbers, Effort::Merge);
        assert_eq!(bytes[0] & ONE_PAGE, 0);
        bytes[0] |= ONE_PAGE;
        // It is said of many more.
        for count in [514, 60_000] {
            let read = decode(&bytes, count, 0..count, &mut vec![]);
            assert!(read.is_err(), "{count}");
        }
    }
}
