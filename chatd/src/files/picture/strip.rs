//! What of a picture's file is kept: what draws it, in the order it came.
//!
//! Invariant: nothing is kept that is not known to be needed, and nothing behind the picture's end. Of where the camera
//! was held only how it was turned is kept.

use image::ImageFormat;
use image::metadata::Orientation;

/// The file without the rest; none when it is no whole file of its kind.
#[must_use]
pub fn strip(bytes: &[u8], format: ImageFormat) -> Option<Vec<u8>> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Gif => gif(bytes),
        _ => None,
    }
}

/// Takes so many bytes off the front.
fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

const JPEG_START: [u8; 2] = [0xff, 0xd8];
const JPEG_END: [u8; 2] = [0xff, 0xd9];
/// How a segment with EXIF begins.
const EXIF: &[u8] = b"Exif\0\0";

/// Segments (ITU-T T.81 §B.1.1): those of applications go, but for colours, and for how the camera was held.
fn jpeg(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = &mut bytes;
    let mut kept = Vec::with_capacity(rest.len());
    (take(rest, 2)? == JPEG_START).then_some(())?;
    kept.extend_from_slice(&JPEG_START);
    let mut is_turned = false;
    loop {
        let marker = marker(rest)?;
        if marker == JPEG_END[1] {
            kept.extend_from_slice(&JPEG_END);
            return Some(kept);
        }
        let length = rest.get(..2).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        let segment = take(rest, length)?;
        let content = segment.get(2..)?;
        let is_kept = match marker {
            0xe0 => content.starts_with(b"JFIF\0"),
            0xe2 => content.starts_with(b"ICC_PROFILE\0"),
            0xee => content.starts_with(b"Adobe"),
            0xe1 if !is_turned && content.starts_with(EXIF) => {
                let turned = Orientation::from_exif_chunk(&content[EXIF.len()..]);
                if let Some(orientation) = turned.filter(|turned| *turned != Orientation::NoTransforms) {
                    kept.extend_from_slice(&turn(orientation));
                    is_turned = true;
                }
                false
            }
            0xe1..=0xef | 0xfe => false,
            _ => true,
        };
        if is_kept {
            kept.extend_from_slice(&[0xff, marker]);
            kept.extend_from_slice(segment);
        }
        if marker == 0xda {
            let end = scan_end(rest)?;
            kept.extend_from_slice(take(rest, end)?);
        }
    }
}

/// The next marker; bytes of 0xff may stand before it.
fn marker(rest: &mut &[u8]) -> Option<u8> {
    (take(rest, 1)? == [0xff]).then_some(())?;
    loop {
        match take(rest, 1)?[0] {
            0xff => {}
            0 => return None,
            marker => return Some(marker),
        }
    }
}

/// Where the data of a scan ends: before the first marker that is no restart.
fn scan_end(bytes: &[u8]) -> Option<usize> {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    bytes.windows(2).position(is_marker)
}

/// A segment with EXIF that says nothing else.
fn turn(orientation: Orientation) -> Vec<u8> {
    let mut segment = vec![0xff, 0xe1, 0, 34];
    segment.extend_from_slice(EXIF);
    // Big endian; one entry at 8: tag 0x0112, a short, one of it; no further list.
    segment.extend_from_slice(b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
    segment.extend_from_slice(&[orientation.to_exif(), 0, 0, 0, 0, 0, 0]);
    segment
}

const PNG_START: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that draw, and those of an animation.
const PNG_KEPT: [&[u8; 4]; 15] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD",
    b"pHYs", b"acTL", b"fcTL", b"fdAT",
];

fn png(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = &mut bytes;
    let mut kept = Vec::with_capacity(rest.len());
    (take(rest, PNG_START.len())? == PNG_START).then_some(())?;
    kept.extend_from_slice(PNG_START);
    loop {
        let length = rest.get(..4).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes)?;
        // With its length, its name and its check.
        let chunk = take(rest, usize::try_from(length).ok()?.checked_add(12)?)?;
        let name = &chunk[4..8];
        if PNG_KEPT.iter().any(|known| *known == name) {
            kept.extend_from_slice(chunk);
        }
        if name == b"IEND" {
            return Some(kept);
        }
    }
}

const WEBP_KEPT: [&[u8; 4]; 7] = [b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
/// In the flags of VP8X: there is EXIF, there is XMP.
const WEBP_GONE: u8 = 0x08 | 0x04;

fn webp(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = &mut bytes;
    let mut kept = Vec::with_capacity(rest.len());
    let head = take(rest, 12)?;
    (head.starts_with(b"RIFF") && head.ends_with(b"WEBP")).then_some(())?;
    kept.extend_from_slice(head);
    let length = |four: &[u8]| four.try_into().ok().map(u32::from_le_bytes);
    let whole = usize::try_from(length(&head[4..8])?).ok()?.checked_sub(4)?;
    let mut chunks = rest.get(..whole)?;
    while !chunks.is_empty() {
        let size = usize::try_from(length(chunks.get(4..8)?)?).ok()?;
        let (name, padded) = (&chunks[..4], size.checked_add(8)?.checked_add(size % 2)?);
        // The last one may lack what makes its length even.
        let count = padded.min(chunks.len()).max(size.checked_add(8)?);
        let chunk = take(&mut chunks, count)?;
        if WEBP_KEPT.iter().any(|known| *known == name) {
            let at = kept.len();
            kept.extend_from_slice(chunk);
            if name == b"VP8X" {
                *kept.get_mut(at + 8)? &= !WEBP_GONE;
            }
        }
    }
    let length = u32::try_from(kept.len() - 8).ok()?;
    kept[4..8].copy_from_slice(&length.to_le_bytes());
    Some(kept)
}

fn gif(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes;
    let rest = &mut rest;
    let mut kept = Vec::with_capacity(rest.len());
    let head = take(rest, 13)?;
    (head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")).then_some(())?;
    kept.extend_from_slice(head);
    kept.extend_from_slice(take(rest, colours(head[10]))?);
    loop {
        let from = *rest;
        let is_kept = match take(rest, 1)?[0] {
            0x3b => {
                kept.push(0x3b);
                return Some(kept);
            }
            0x2c => {
                let image = take(rest, 9)?;
                take(rest, colours(image[8]) + 1)?;
                true
            }
            0x21 => match take(rest, 1)?[0] {
                0xf9 => true,
                // How often it is shown.
                0xff => rest.get(1..12).is_some_and(|name| name == b"NETSCAPE2.0"),
                _ => false,
            },
            _ => return None,
        };
        // Blocks of data up to an empty one.
        loop {
            let length = usize::from(take(rest, 1)?[0]);
            if length == 0 {
                break;
            }
            take(rest, length)?;
        }
        if is_kept {
            kept.extend_from_slice(&from[..from.len() - rest.len()]);
        }
    }
}

/// Bytes of a table of colours, as the flags before it say.
fn colours(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
