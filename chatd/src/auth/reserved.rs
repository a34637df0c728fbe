//! Names that chatd speaks under, and what a reader would take for one of them.
//!
//! A name is folded and compared: forms of compatibility (full-width, mathematical, circled, ligatures; NFKC) to plain
//! letters, what is not seen to nothing, and letters of other scripts that look like one of the name's to that one, as the
//! list of confusables of Unicode (UTS #39) has them. The list of all letters would be a crate of 6,000 lines for five of
//! them. Accents stay: a reader sees them.
//!
//! Invariant: what is refused reads as the reserved name in an ordinary font; any other name stays anybody's.

use chat_protocol::id::SYSTEM;
use unicode_normalization::UnicodeNormalization;

/// Whether a reader would take the name for one that chatd speaks under.
pub(super) fn is_reserved(name: &str) -> bool {
    let seen = name.chars().filter(|c| !is_unseen(*c));
    let plain: String = seen.nfkc().filter(|c| !is_unseen(*c)).collect();
    // The two stand so close that they look like one; UTS #39 has the pair, too.
    plain.trim().replace("rn", "m").chars().map(letter).eq(SYSTEM.chars())
}

/// The letter of [`SYSTEM`] that this one looks like, in either case; any other as it is.
fn letter(c: char) -> char {
    match c {
        '\u{1bd}' | '\u{405}' | '\u{455}' | '\u{54f}' | '\u{13da}' | '\u{a4e2}' | '\u{a731}' | '\u{abaa}'
        | '\u{10296}' | '\u{10420}' | '\u{10448}' | '\u{118c1}' | '\u{16f3a}' => 's',
        '\u{263}' | '\u{28f}' | '\u{3a5}' | '\u{3b3}' | '\u{423}' | '\u{443}' | '\u{4ae}' | '\u{4af}'
        | '\u{10e7}' | '\u{13a9}' | '\u{13bd}' | '\u{1d8c}' | '\u{1eff}' | '\u{2ca8}' | '\u{a4ec}'
        | '\u{ab5a}' | '\u{102b2}' | '\u{118a4}' | '\u{118dc}' | '\u{16f43}' => 'y',
        '\u{3a4}' | '\u{3c4}' | '\u{422}' | '\u{442}' | '\u{13a2}' | '\u{1d1b}' | '\u{22a4}' | '\u{27d9}'
        | '\u{2ca6}' | '\u{a4d4}' | '\u{ab72}' | '\u{10297}' | '\u{102b1}' | '\u{10315}' | '\u{118bc}'
        | '\u{16f0a}' => 't',
        '\u{395}' | '\u{415}' | '\u{435}' | '\u{4bd}' | '\u{13ac}' | '\u{1d07}' | '\u{212e}' | '\u{22ff}'
        | '\u{2d39}' | '\u{a4f0}' | '\u{ab32}' | '\u{ab7c}' | '\u{10286}' | '\u{118a6}' | '\u{118ae}' => 'e',
        '\u{39c}' | '\u{3fa}' | '\u{41c}' | '\u{43c}' | '\u{13b7}' | '\u{16d6}' | '\u{1d0d}' | '\u{2c98}'
        | '\u{a4df}' | '\u{ab87}' | '\u{102b0}' | '\u{10311}' | '\u{11700}' | '\u{118e3}' => 'm',
        c => c.to_ascii_lowercase(),
    }
}

/// Whether nothing is seen of it: spaces but the usual one, and what Unicode calls ignorable by default.
fn is_unseen(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_reads_as_the_reserved_name_is_reserved() {
        for name in [
            "system",
            "SYSTEM",
            " System ",
            "ｓｙｓｔｅｍ",
            "ＳＹＳＴＥＭ",
            "ѕуѕтем",
            "ЅУЅТЕМ",
            "ЅYSΤΕΜ",
            "sуstem",
            "sys\u{200b}tem",
            "\u{202e}system\u{202c}",
            "sys\u{ad}t\u{feff}em",
            "s\u{2060}y\u{200d}stem\u{fe0f}",
            "sys\u{200a}tem",
            "\u{3000}system\u{2800}",
            "𝐬𝐲𝐬𝐭𝐞𝐦",
            "𝓼𝔂𝓼𝓽𝓮𝓶",
            "𝕊𝕐𝕊𝕋𝔼𝕄",
            "ⓢⓨⓢⓣⓔⓜ",
            "ˢʸˢᵗᵉᵐ",
            "ꜱʏꜱᴛᴇᴍ",
            "sy\u{fb06}em",
            "ſyſtem",
            "systeⅿ",
            "systern",
            "ꓢꓬꓢꓔꓰꓟ",
            "ᏚᎽᏚᎢᎬᎷ",
        ] {
            assert!(is_reserved(name), "{name:?}");
        }
    }

    #[test]
    fn other_names_stay_anybodys() {
        for name in [
            "systems",
            "system1",
            "my system",
            "sys tem",
            "systém",
            "sÿstem",
            "ecosystem",
            "sistem",
            "Систем",
            "систем",
            "sytem",
            "stem",
            "sys-tem",
            "system!",
            "黄帝",
            "ＳＹＳ",
            "s",
            "mmm",
            "5ystem",
            "\u{200b}",
            "SYSTERN",
        ] {
            assert!(!is_reserved(name), "{name:?}");
        }
    }
}
