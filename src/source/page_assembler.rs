//! A database file put together from pages, without SQLite: complete with every page, or not a database.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use roaring::RoaringBitmap;

use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// Page size of libSQL servers; they support no other.
pub const PAGE_BYTES: usize = 4096;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Offsets in the database header (SQLite "Database File Format", section 1.3).
const PAGE_SIZE_AT: usize = 16;
const FORMAT_VERSIONS_AT: usize = 18;
const CHANGE_COUNTER_AT: usize = 24;
const PAGE_COUNT_AT: usize = 28;
const VALID_FOR_AT: usize = 92;

/// The page at 1 GiB, where SQLite keeps its locks and stores nothing (SQLite "Database File Format", section 1.4).
const LOCK_BYTE_PAGE: u64 = (1 << 30) / PAGE_BYTES as u64;

/// How many pages a database can have (SQLite "Database File Format", section 1.3.7).
const PAGES_MAX: u64 = 0xffff_fffe;

/// Pages without a gap: the first, and the one after the last, counted from 0.
pub type PageRange = (u64, u64);

/// A file that is being filled.
#[derive(Debug)]
pub struct PageFile {
    file: File,
    path: PathBuf,
    /// The pages that came. What it takes follows their number, not the highest index that a server claims.
    present: RoaringBitmap,
}

impl PageFile {
    /// Creates the file (0600), replacing an earlier try.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub fn create(path: &Path) -> Result<Self> {
        let file = file_access::create(path).map_err(|cause| Error::io(Kind::ArtifactIo, "creating", path, &cause))?;
        Ok(Self { file, path: path.to_owned(), present: RoaringBitmap::new() })
    }

    /// Opens the file of an earlier try, in which these pages are present already.
    ///
    /// # Errors
    /// `ArtifactIo`; `ArtifactDamaged` if the file is shorter than what it should hold.
    pub fn reopen(path: &Path, present: &[PageRange]) -> Result<Self> {
        let file = file_access::change(path).map_err(|cause| Error::io(Kind::ArtifactIo, "opening", path, &cause))?;
        let length = file.metadata().map_err(|cause| Error::io(Kind::ArtifactIo, "reading", path, &cause))?.len();
        let mut opened = Self { file, path: path.to_owned(), present: RoaringBitmap::new() };
        for (first, end) in present {
            if end.saturating_mul(PAGE_BYTES as u64) > length {
                let text = format!("{} is shorter than what was written", path.display());
                return Err(Error::new(Kind::ArtifactDamaged, text));
            }
            for index in *first..*end {
                opened.mark(index)?;
            }
        }
        Ok(opened)
    }

    /// Makes what was written durable, and says which pages that is.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub fn settle(&self) -> Result<Vec<PageRange>> {
        self.file.sync_data().map_err(|cause| self.io("syncing", &cause))?;
        let mut runs: Vec<PageRange> = Vec::new();
        for index in self.present.iter().map(u64::from) {
            match runs.last_mut().filter(|run| run.1 == index) {
                Some(run) => run.1 += 1,
                None => runs.push((index, index + 1)),
            }
        }
        Ok(runs)
    }

    /// Writes one page; `index` counts from 0. A page may come again and then replaces the earlier one.
    ///
    /// # Errors
    /// `ArtifactIo`; `SourceRefused` for a page of another size.
    pub fn write(&mut self, index: u64, page: &[u8]) -> Result<()> {
        if page.len() != PAGE_BYTES {
            return Err(Error::new(
                Kind::SourceRefused,
                format!("the server sent a page of {} bytes instead of {PAGE_BYTES}", page.len()),
            ));
        }
        if index >= PAGES_MAX {
            return Err(too_large());
        }
        let offset = index.saturating_mul(PAGE_BYTES as u64);
        self.file.write_all_at(page, offset).map_err(|cause| self.io("writing", &cause))?;
        self.mark(index)
    }

    fn mark(&mut self, index: u64) -> Result<()> {
        self.present.insert(u32::try_from(index).map_err(|_| too_large())?);
        Ok(())
    }

    /// The first page below `pages` that never came.
    #[must_use]
    pub fn first_missing(&self, pages: u64) -> Option<u64> {
        (0..pages).find(|index| *index != LOCK_BYTE_PAGE && !self.has(*index))
    }

    /// All pages below `pages` that never came.
    #[must_use]
    pub fn missing(&self, pages: u64) -> Vec<Range<u64>> {
        let mut missing: Vec<Range<u64>> = Vec::new();
        for index in (0..pages).filter(|index| *index != LOCK_BYTE_PAGE && !self.has(*index)) {
            match missing.last_mut().filter(|range| range.end == index) {
                Some(range) => range.end += 1,
                None => missing.push(index..index + 1),
            }
        }
        missing
    }

    /// All pages below `pages` that came.
    pub fn present(&self, pages: u64) -> impl Iterator<Item = u64> {
        (0..pages).filter(|index| self.has(*index))
    }

    fn has(&self, index: u64) -> bool {
        u32::try_from(index).is_ok_and(|index| self.present.contains(index))
    }

    /// Cuts the file to its size, checks that it is whole and a database that this engine reads, marks it as one
    /// without WAL, and makes it durable.
    ///
    /// # Errors
    /// `SourceTruncated` if a page is missing, `SourceRefused` if the header is not that of a database of this size.
    pub fn finish(mut self, pages: u64) -> Result<()> {
        if pages == 0 {
            return Err(Error::new(Kind::SourceRefused, "the server sent a database without pages"));
        }
        if let Some(missing) = self.first_missing(pages) {
            let text = format!("page {} of {pages} never arrived", missing + 1);
            return Err(Error::new(Kind::SourceTruncated, text));
        }
        let length = pages.saturating_mul(PAGE_BYTES as u64);
        self.file.set_len(length).map_err(|cause| self.io("cutting", &cause))?;
        self.check_and_settle_header(pages)?;
        self.file.sync_all().map_err(|cause| self.io("syncing", &cause))
    }

    fn check_and_settle_header(&mut self, pages: u64) -> Result<()> {
        let mut header = [0_u8; 100];
        self.file.read_exact_at(&mut header, 0).map_err(|cause| self.io("reading", &cause))?;
        let refused = |what: &str| Err(Error::new(Kind::SourceRefused, format!("the server's first page {what}")));
        if header.get(..16) != Some(MAGIC.as_slice()) {
            return refused("is not that of a SQLite database");
        }
        if header.get(PAGE_SIZE_AT..PAGE_SIZE_AT + 2) != Some(&[0x10, 0]) {
            return refused("names another page size");
        }
        match header.get(FORMAT_VERSIONS_AT..FORMAT_VERSIONS_AT + 2) {
            Some([1 | 2, 1 | 2]) => {}
            Some(_) | None => return refused("names a format that is not SQLite's (an MVCC database)"),
        }
        // The page count is valid only when the change counter says so (1.3.7).
        let counted = word_at(&header, CHANGE_COUNTER_AT) == word_at(&header, VALID_FOR_AT);
        if counted && word_at(&header, PAGE_COUNT_AT).map(u64::from) != Some(pages) {
            return refused("counts another number of pages");
        }
        // Version 1 means "no WAL": opening the file read-only then leaves nothing beside it (1.3.3).
        self.file.write_all_at(&[1, 1], FORMAT_VERSIONS_AT as u64).map_err(|cause| self.io("writing", &cause))
    }

    fn io(&self, doing: &str, cause: &io::Error) -> Error {
        Error::io(Kind::ArtifactIo, doing, &self.path, cause)
    }
}

fn word_at(header: &[u8; 100], at: usize) -> Option<u32> {
    let bytes: &[u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(*bytes))
}

fn too_large() -> Error {
    Error::new(Kind::SourceRefused, "the server names a page beyond the largest database")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_page(pages: u32) -> Vec<u8> {
        let mut page = vec![0_u8; PAGE_BYTES];
        page[..16].copy_from_slice(MAGIC);
        page[16..20].copy_from_slice(&[0x10, 0, 2, 2]);
        page[28..32].copy_from_slice(&pages.to_be_bytes());
        page
    }

    fn file() -> (tempfile::TempDir, PathBuf, PageFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let file = PageFile::create(&path).unwrap();
        (directory, path, file)
    }

    #[test]
    fn a_whole_file_is_settled_without_wal() {
        let (_directory, path, mut file) = file();
        file.write(1, &[7; PAGE_BYTES]).unwrap();
        file.write(0, &first_page(2)).unwrap();
        file.write(2, &[9; PAGE_BYTES]).unwrap();
        file.finish(2).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!((bytes.len(), bytes[18], bytes[19], bytes[PAGE_BYTES]), (2 * PAGE_BYTES, 1, 1, 7));
    }

    #[test]
    fn an_earlier_try_is_continued_and_a_short_file_is_not() {
        let (_directory, path, mut file) = file();
        for index in [0, 1, 2, 70, 5] {
            file.write(index, &first_page(71)).unwrap();
        }
        let present = file.settle().unwrap();
        assert_eq!(present, [(0, 3), (5, 6), (70, 71)]);
        let again = PageFile::reopen(&path, &present).unwrap();
        assert_eq!(again.first_missing(71), Some(3));
        assert_eq!(again.missing(72), [3..5, 6..70, 71..72]);
        assert_eq!(again.settle().unwrap(), present);
        let error = PageFile::reopen(&path, &[(0, 72)]).unwrap_err();
        assert_eq!(error.kind(), Kind::ArtifactDamaged);
    }

    #[test]
    fn the_page_of_the_locks_is_never_sent() {
        let (_directory, path, mut file) = file();
        file.write(LOCK_BYTE_PAGE + 1, &[0; PAGE_BYTES]).unwrap();
        let file = PageFile::reopen(&path, &[(0, LOCK_BYTE_PAGE), (LOCK_BYTE_PAGE + 1, LOCK_BYTE_PAGE + 2)]).unwrap();
        assert_eq!(file.first_missing(LOCK_BYTE_PAGE + 2), None);
    }

    #[test]
    fn a_missing_page_is_a_truncated_source() {
        let (_directory, _path, mut file) = file();
        file.write(0, &first_page(3)).unwrap();
        file.write(2, &[0; PAGE_BYTES]).unwrap();
        let error = file.finish(3).unwrap_err();
        assert_eq!(error.kind(), Kind::SourceTruncated);
        assert!(error.message().contains("page 2 of 3"), "{error}");
    }

    #[test]
    fn what_is_no_database_is_refused() {
        for (at, byte) in [(0, b'x'), (17, 1), (18, 0xff), (31, 9)] {
            let (_directory, _path, mut file) = file();
            let mut page = first_page(1);
            page[at] = byte;
            file.write(0, &page).unwrap();
            assert_eq!(file.finish(1).unwrap_err().kind(), Kind::SourceRefused, "{at}");
        }
        let (_directory, _path, file) = file();
        assert_eq!(file.finish(0).unwrap_err().kind(), Kind::SourceRefused);
    }
}
