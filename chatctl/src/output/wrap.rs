//! Fitting columns into a line: how wide each may be, and how a text goes on below.
//!
//! Invariant: the pieces of a text hold all of it but spaces at which it was broken; none is wider than asked unless a
//! single character is.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// No column is made narrower: what stands in it could not be read.
const NARROWEST: usize = 8;

/// Takes from the widest columns until all have room; those that must stay whole keep their width.
pub fn fit(widths: &mut [usize], whole: &[bool], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let widest = widths.iter_mut().zip(whole).filter(|(width, whole)| !**whole && **width > NARROWEST);
        let Some((width, _)) = widest.max_by_key(|(width, _)| **width) else { return };
        *width -= 1;
    }
}

/// The text in pieces, broken at spaces where that leaves no line half empty.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while rest.width() > width {
        let end = end_of_piece(rest, width);
        let space = rest[..end].rfind(' ').filter(|at| rest[..*at].width() * 2 >= width);
        let (piece, after) = match space {
            _ if rest[end..].starts_with(' ') => (&rest[..end], &rest[end + 1..]),
            Some(at) => (&rest[..at], &rest[at + 1..]),
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
        let mut widths = [4, 64, 20, 30];
        fit(&mut widths, &[false, false, true, false], 74);
        assert_eq!(widths, [4, 25, 20, 25]);
        let mut widths = [64, 64];
        fit(&mut widths, &[false, true], 10);
        assert_eq!(widths, [NARROWEST, 64], "what cannot be made to fit stays readable");
    }

    #[test]
    fn a_text_goes_on_below_at_a_space_or_where_it_must() {
        assert_eq!(wrapped("short", 8), ["short"]);
        assert_eq!(wrapped("two words here", 9), ["two words", "here"]);
        assert_eq!(wrapped("a verylongwordindeed", 8), ["a verylo", "ngwordin", "deed"]);
        assert_eq!(wrapped("黄帝黄帝黄", 5), ["黄帝", "黄帝", "黄"]);
        assert_eq!(wrapped("👨\u{200d}👩\u{200d}👧x", 2), ["👨\u{200d}👩\u{200d}👧", "x"]);
        assert_eq!(wrapped("黄", 1), ["黄"]);
        assert_eq!(wrapped("", 8), [""]);
    }
}
