//! Whether a revision is still what it was, by a few of its pages.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::source::{
    page_file::{PAGE_BYTES, Run},
    page_updates::Reader,
};

/// The first, a middle and the last of the pages.
pub(super) fn sample(pages: &[Run]) -> Vec<u64> {
    let first = pages.first().map(|run| run.0);
    let middle = pages.get(pages.len() / 2).map(|run| run.0.midpoint(run.1 - 1));
    let last = pages.last().map(|run| run.1 - 1);
    let mut sample: Vec<u64> = [first, middle, last].into_iter().flatten().collect();
    sample.sort_unstable();
    sample.dedup();
    sample
}

/// Whether exactly these pages come, at this revision, and as they are in the file; and the bytes that came.
pub(super) fn compare(name: &str, file: &Path, sample: &[u64], mut reader: Reader) -> (bool, u64) {
    let same = reader.opening().is_ok_and(|opening| opening.revision == name)
        && File::open(file).is_ok_and(|file| {
            let mut left = sample.to_vec();
            while let Ok(Some(page)) = reader.next_page() {
                let mut own = vec![0; PAGE_BYTES];
                let read = file.read_exact_at(&mut own, page.index.saturating_mul(PAGE_BYTES as u64));
                let same = read.is_ok() && settled(page.index, &own) == settled(page.index, &page.bytes);
                let Some(place) = left.iter().position(|wanted| *wanted == page.index).filter(|_| same) else {
                    return false;
                };
                left.swap_remove(place);
            }
            left.is_empty()
        });
    (same, reader.received_bytes())
}

/// A page without the two bytes of the header that a finished copy sets anew.
fn settled(index: u64, page: &[u8]) -> Vec<u8> {
    let is_changed = |place: usize| index == 0 && (place == 18 || place == 19);
    page.iter().enumerate().map(|(place, byte)| if is_changed(place) { 0 } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_pages_that_are_there() {
        assert_eq!(sample(&[(0, 9)]), [0, 4, 8]);
        assert_eq!(sample(&[(3, 4)]), [3]);
        assert_eq!(sample(&[(1, 2), (5, 7), (9, 10)]), [1, 5, 9]);
        assert_eq!(sample(&[]), Vec::<u64>::new());
    }
}
