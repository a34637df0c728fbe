//! Reading records back, from the end of the file, and on through those that were put aside.
//!
//! Invariant: one request reads at most [`MAX_BYTES`], in slices, however much there is. Where it stopped is a file and a
//! place in it, which stay what they are when files are put aside. What is no record is passed over.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use chat_protocol::audit::Record;
pub use chat_protocol::cursor::RecordPlace as Cursor;

use super::Place;
use super::book::aside;

/// Bytes that one request reads at most, about.
const MAX_BYTES: u64 = 1024 * 1024;
/// Bytes that are read at once; far more than the longest record.
const SLICE: u64 = 64 * 1024;

/// Which records are asked for; all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// No older ones, Unix milliseconds.
    pub since: u64,
    /// By the key or user of this name.
    pub who: Option<String>,
    /// This operation; the `/` before it may be left out.
    pub operation: Option<String>,
}

/// Some records.
#[derive(Debug, Default)]
pub struct Page {
    /// The newest first.
    pub records: Vec<Record>,
    /// Where there may be more.
    pub more: Option<Cursor>,
}

impl Wanted {
    fn takes(&self, record: &Record) -> bool {
        let bare = |path: &str| path.trim_start_matches('/').to_owned();
        self.who.as_ref().is_none_or(|who| *who == record.who)
            && self.operation.as_ref().is_none_or(|asked| bare(asked) == bare(&record.operation))
    }
}

/// A file of the log.
struct Volume {
    file: File,
    /// What it is called whatever its name is.
    inode: u64,
    length: u64,
}

/// Reads a page.
pub(super) fn read(place: &Place, wanted: &Wanted, limit: usize, cursor: Option<Cursor>) -> io::Result<Page> {
    let (mut page, mut left, mut from) = (Page::default(), MAX_BYTES, cursor);
    let mut seen = HashSet::new();
    for number in 0..=place.old_files {
        let Some(volume) = open(place, number)? else { continue };
        // A file may have been put aside since the one before was opened.
        if !seen.insert(volume.inode) || from.as_ref().is_some_and(|from| from.file != volume.inode) {
            continue;
        }
        let end = from.take().map_or(volume.length, |from| from.end.min(volume.length));
        if volume.read(end, wanted, limit, &mut left, &mut page)? {
            return Ok(page);
        }
    }
    Ok(page)
}

fn open(place: &Place, number: u32) -> io::Result<Option<Volume>> {
    let path = if number == 0 { place.file.clone() } else { aside(&place.file, number) };
    // What is no file, as a terminal or a pipe, cannot be read back.
    if !path.metadata().is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    Ok(Some(Volume { file, inode: found.ino(), length: found.len() }))
}

impl Volume {
    /// Adds what is wanted before `end`; true when the page is whole.
    fn read(
        &self,
        mut end: u64,
        wanted: &Wanted,
        limit: usize,
        left: &mut u64,
        page: &mut Page,
    ) -> io::Result<bool> {
        while end > 0 {
            if *left == 0 {
                page.more = Some(Cursor { file: self.inode, end });
                return Ok(true);
            }
            let begin = end.saturating_sub(SLICE);
            let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or_default()];
            self.file.read_exact_at(&mut bytes, begin)?;
            *left = left.saturating_sub(end - begin);
            // Where the first line begins that begins here; the end of the last one ends none before it.
            let within = &bytes[..bytes.len() - 1];
            let whole = match within.iter().position(|byte| *byte == b'\n') {
                _ if begin == 0 => 0,
                Some(at) => at + 1,
                // A line longer than any record.
                None => bytes.len(),
            };
            let mut upto = bytes.len();
            while upto > whole {
                let line = &bytes[whole..upto - 1];
                let start = line.iter().rposition(|byte| *byte == b'\n').map_or(whole, |at| whole + at + 1);
                if let Ok(record) = serde_json::from_slice::<Record>(&bytes[start..upto]) {
                    if record.time < wanted.since {
                        return Ok(true);
                    }
                    if wanted.takes(&record) {
                        page.records.push(record);
                    }
                }
                upto = start;
                if page.records.len() == limit {
                    page.more = Some(Cursor { file: self.inode, end: begin + start as u64 });
                    return Ok(true);
                }
            }
            end = if whole == bytes.len() { begin } else { begin + whole as u64 };
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn line(number: u64) -> String {
        let who = if number.is_multiple_of(1000) { "rare" } else { "often" };
        format!(
            r#"{{"time":{number},"node":"n","by":"key","who":"{who}","operation":"/system/ban","address":"x","code":200}}"#
        ) + "\n"
    }

    fn place(directory: &Path) -> Place {
        Place { file: directory.join("a"), max_bytes: 0, old_files: 2 }
    }

    /// Times of all pages, and how many pages they were.
    fn walk(place: &Place, wanted: &Wanted, limit: usize) -> (Vec<u64>, usize) {
        let (mut times, mut pages, mut cursor) = (Vec::new(), 0, None);
        loop {
            let page = read(place, wanted, limit, cursor).unwrap();
            assert!(page.records.len() <= limit);
            times.extend(page.records.iter().map(|record| record.time));
            pages += 1;
            cursor = page.more;
            if cursor.is_none() {
                return (times, pages);
            }
        }
    }

    #[test]
    fn records_come_back_from_the_end_through_every_file_in_bounded_pages() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let text = |numbers: std::ops::Range<u64>| numbers.map(line).collect::<String>();
        std::fs::write(directory.path().join("a.2"), text(1..10_001)).unwrap();
        std::fs::write(directory.path().join("a.1"), "x".repeat(200_000) + "\n" + &text(10_001..20_001))
            .unwrap();
        std::fs::write(directory.path().join("a"), text(20_001..30_001) + "{\"cut").unwrap();
        let (times, _) = walk(&place, &Wanted::default(), 170);
        assert!(times.iter().copied().eq((1..30_001).rev()), "{} records", times.len());
        let rare = Wanted { who: Some("rare".to_owned()), ..Wanted::default() };
        let (times, pages) = walk(&place, &rare, 200);
        assert!(times.iter().copied().eq((1..31).rev().map(|number| number * 1000)));
        assert!((3..10).contains(&pages), "{pages} pages: a megabyte or so each");
        let since = Wanted { since: 29_990, operation: Some("system/ban".to_owned()), ..Wanted::default() };
        assert_eq!(walk(&place, &since, 200).0.len(), 11);
        let nowhere = Wanted { operation: Some("x".to_owned()), ..Wanted::default() };
        assert!(walk(&place, &nowhere, 200).0.is_empty());
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended_although_files_were_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        std::fs::write(&place.file, (1..10).map(line).collect::<String>()).unwrap();
        let first = read(&place, &Wanted::default(), 4, None).unwrap();
        std::fs::rename(&place.file, directory.path().join("a.1")).unwrap();
        std::fs::write(&place.file, line(10)).unwrap();
        let second = read(&place, &Wanted::default(), 10, first.more).unwrap();
        let times = |page: &Page| page.records.iter().map(|record| record.time).collect::<Vec<_>>();
        assert_eq!((times(&first), times(&second)), (vec![9, 8, 7, 6], vec![5, 4, 3, 2, 1]));
        assert!(second.more.is_none());
        // It has gone for good.
        let gone = Cursor { file: 1, end: 5 };
        assert!(read(&place, &Wanted::default(), 10, Some(gone)).unwrap().records.is_empty());
    }
}
