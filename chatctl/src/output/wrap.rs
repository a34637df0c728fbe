//! Fitting columns into a line: how wide each may be, how a text is cut, and how it goes on below.
//!
//! Invariant: what was cut ends in the mark of that; the pieces of a text hold all of it but spaces at which it was
//! broken; none is wider than asked unless a single character is.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// No column is made narrower: what stands in it could not be read.
pub const NARROWEST: usize = 8;

/// So many characters for each column that there is are more than fit, whatever they are.
const MANY: usize = 16;

/// Stands for the rest of a text.
const MARK: char = '…';

/// Takes from the widest columns until all have room; those that must stay whole keep their width, and the first one,
/// which names the row, gives way last.
pub fn fit(widths: &mut [usize], whole: &[bool], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let can = |at: &usize| !whole[*at] && widths[*at] > NARROWEST;
        let widest = (1..widths.len()).filter(can).max_by_key(|at| widths[*at]);
        let Some(at) = widest.or_else(|| Some(0).filter(can)) else { return };
        widths[at] -= 1;
    }
}

/// The text, or as much of it as fits before the mark.
#[must_use]
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let end = if width > 1 { end_of_piece(text, width - 1) } else { 0 };
    let kept = &text[..end];
    // A wide character may take the place of the mark.
    let kept = if kept.width() < width { kept } else { "" };
    Cow::Owned(format!("{}{MARK}", kept.trim_end()))
}

/// The text in pieces, broken at a space, which goes, or behind a comma or the like, where that leaves no line half
/// empty.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    // To measure all that is left for each piece would take the square of a long text.
    let is_wider = |rest: &str| rest.chars().nth(width * MANY).is_some() || rest.width() > width;
    while is_wider(rest) {
        let end = end_of_piece(rest, width);
        let seam = rest[..end].rfind([' ', ',', ';', '&']).filter(|at| rest[..*at].width() * 2 >= width);
        let (piece, after) = match seam {
            _ if rest[end..].starts_with(' ') => (&rest[..end], &rest[end + 1..]),
            Some(at) if rest[at..].starts_with(' ') => (&rest[..at], &rest[at + 1..]),
            Some(at) => rest.split_at(at + 1),
            None => rest.split_at(end),
        };
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where the first piece ends: behind at least one character, and not within one that is made of several.
fn end_of_piece(text: &str, width: usize) -> usize {
    let mut taken = 0;
    let mut joins = true;
    for (at, c) in text.char_indices() {
        let wide = c.width().unwrap_or(0);
        if !joins && wide > 0 && taken + wide > width {
            return at;
        }
        taken += wide;
        joins = c == '\u{200d}';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_columns_give_way_first() {
        let mut widths = [36, 64, 20, 30];
        fit(&mut widths, &[false, false, true, false], 106);
        assert_eq!(widths, [36, 25, 20, 25]);
        fit(&mut widths, &[false, false, true, false], 60);
        assert_eq!(widths, [24, NARROWEST, 20, NARROWEST], "what names the row gives way last");
        let mut widths = [64, 64];
        fit(&mut widths, &[false, true], 10);
        assert_eq!(widths, [NARROWEST, 64], "what cannot be made to fit stays readable");
    }

    #[test]
    fn what_is_cut_is_marked() {
        assert_eq!(cut("short", 8), "short");
        assert_eq!(cut("two words", 5), "two…");
        assert_eq!(cut("黄帝黄帝", 6), "黄帝…");
        assert_eq!(cut("黄帝黄帝", 5), "黄帝…");
        assert_eq!((cut("黄帝", 2), cut("黄帝", 1)), ("…".into(), "…".into()));
    }

    #[test]
    fn a_text_goes_on_below_at_a_space_or_where_it_must() {
        assert_eq!(wrapped("short", 8), ["short"]);
        assert_eq!(wrapped("two words here", 9), ["two words", "here"]);
        assert_eq!(wrapped("a verylongwordindeed", 8), ["a verylo", "ngwordin", "deed"]);
        assert_eq!(wrapped("image/png,image/gif, and more", 12), ["image/png,", "image/gif,", "and more"]);
        assert_eq!(wrapped("a=1&b=2&c=3", 9), ["a=1&b=2&", "c=3"]);
        assert_eq!(wrapped("黄帝黄帝黄", 5), ["黄帝", "黄帝", "黄"]);
        assert_eq!(wrapped("👨\u{200d}👩\u{200d}👧x", 2), ["👨\u{200d}👩\u{200d}👧", "x"]);
        assert_eq!(wrapped("黄", 1), ["黄"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped(&"黄".repeat(1_000_000), 80).len(), 25_000, "and soon, however long it is");
    }
}
