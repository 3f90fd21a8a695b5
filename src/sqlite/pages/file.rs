//! The pages of a file, read in order several at a time.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path};

use super::{Unexpected, u16_at, u32_at};

/// Bytes that are read at once while pages are read in their order.
const WINDOW_BYTES: usize = 128 << 10;

/// A database file that nobody writes.
#[derive(Debug)]
pub struct PageFile {
    file: File,
    page_size: usize,
    /// Bytes of a page that hold content.
    usable: usize,
    pages: u32,
    /// Consecutive pages, from `first` on.
    window: Vec<u8>,
    first: u32,
}

impl PageFile {
    /// Opens a file. None if it is not a database in UTF-8 all of whose content is in the file itself.
    #[must_use]
    pub fn open(path: &Path) -> Option<Self> {
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            std::fs::metadata(name).is_ok_and(|found| found.len() > 0)
        };
        if beside("-wal") || beside("-journal") {
            return None;
        }
        let file = File::open(path).ok()?;
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0).ok()?;
        // Section 1.3: the first page begins with the header.
        let page_size = match u16_at(&header, 16).ok()? {
            1 => 65_536,
            size => size,
        };
        let reserved = header.get(20).copied().map(usize::from)?;
        let encoding = u32_at(&header, 56).ok()?;
        let is_database = header.starts_with(b"SQLite format 3\0");
        let is_size = page_size.is_power_of_two() && page_size >= 512 && page_size >= reserved + 480;
        if !is_database || !is_size || encoding != 1 {
            return None;
        }
        let pages = u32::try_from(file.metadata().ok()?.len() / page_size as u64).ok()?;
        // The number of pages in the header counts if it was written with the last change.
        let (recorded, is_current) = (u32_at(&header, 28).ok()?, header.get(24..28) == header.get(92..96));
        let pages = if is_current && recorded > 0 { pages.min(recorded) } else { pages };
        Some(Self { file, page_size, usable: page_size - reserved, pages, window: Vec::new(), first: 0 })
    }

    /// Pages of the file.
    pub(super) const fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes of a page that hold content.
    pub(super) const fn usable(&self) -> usize {
        self.usable
    }

    /// The content of a page; pages count from 1.
    ///
    /// # Errors
    /// [`Unexpected`] for a page that the file lacks, for the first page, and if it can't be read.
    pub(super) fn page(&mut self, number: u32) -> Result<&[u8], Unexpected> {
        if number < 2 || number > self.pages {
            return Err(Unexpected);
        }
        let held = u32::try_from(self.window.len() / self.page_size).unwrap_or(0);
        let is_held = number >= self.first && number - self.first < held;
        if !is_held {
            // Tables that were written row after row have their pages in order, others have not.
            let is_next = held > 0 && number == self.first + held;
            let most = if is_next { (WINDOW_BYTES / self.page_size).max(1) } else { 1 };
            let count = most.min((self.pages - number) as usize + 1);
            self.window.resize(count * self.page_size, 0);
            let offset = u64::from(number - 1) * self.page_size as u64;
            if self.file.read_exact_at(&mut self.window, offset).is_err() {
                self.window.clear();
                return Err(Unexpected);
            }
            self.first = number;
        }
        let start = (number - self.first) as usize * self.page_size;
        self.window.get(start..start + self.usable).ok_or(Unexpected)
    }
}
