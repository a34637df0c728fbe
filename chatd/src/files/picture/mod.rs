//! Pictures: as they may be seen by others, with their size and a smaller one.
//!
//! Invariant: what is kept is what a browser needs to draw it; where and by whom it was taken is not among that. A picture
//! is measured before any of it is unpacked, and one that cannot be drawn is refused.

mod strip;

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use chat_protocol::file::Size;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use sha2::{Digest, Sha256};

pub use self::strip::strip;

/// Pixels of the longer side of a smaller picture.
const THUMBNAIL: u32 = 320;
/// How much it is like the picture, 1 to 100.
const QUALITY: u8 = 80;
/// Bytes that a pixel takes at most.
const PIXEL_BYTES: u64 = 4;
/// Bytes that may be taken besides the pixels.
const SCRATCH: u64 = 32 * 1024 * 1024;

/// A picture as it is kept.
pub struct Picture {
    /// It, from its beginning.
    pub content: File,
    /// How long it is.
    pub bytes: u64,
    /// Its digest.
    pub sha256: [u8; 32],
    /// As it is seen.
    pub size: Size,
    /// A smaller one and its bytes, where that is worth it.
    pub thumbnail: Option<(File, u64)>,
}

/// Why a picture is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// It cannot be drawn.
    #[error("the picture cannot be read")]
    Unreadable,
    /// It is too large to be unpacked.
    #[error("the picture has {width}×{height} pixels, too many (limits.picture_pixels = {most})")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Pixels there may be.
        most: u64,
    },
}

/// Makes a picture of an upload; blocks.
///
/// # Errors
/// What the disk says; inside, why it is none.
pub fn paint(
    mut upload: File,
    content_type: &str,
    most: u64,
    place: &Path,
) -> std::io::Result<Result<Picture, Bad>> {
    let mut came = Vec::new();
    upload.read_to_end(&mut came)?;
    drop(upload);
    let Some(format) = ImageFormat::from_mime_type(content_type) else { return Ok(Err(Bad::Unreadable)) };
    let Some(kept) = strip(&came, format) else { return Ok(Err(Bad::Unreadable)) };
    drop(came);
    let (size, thumbnail) = match look(&kept, format, most) {
        Ok(seen) => seen,
        Err(bad) => return Ok(Err(bad)),
    };
    let thumbnail = match thumbnail {
        Some(bytes) => Some((written(&bytes, place)?, bytes.len() as u64)),
        None => None,
    };
    let (bytes, sha256) = (kept.len() as u64, Sha256::digest(&kept).into());
    Ok(Ok(Picture { content: written(&kept, place)?, bytes, sha256, size, thumbnail }))
}

fn written(bytes: &[u8], place: &Path) -> std::io::Result<File> {
    let mut file = tempfile::tempfile_in(place)?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The size of a picture and a smaller one.
fn look(bytes: &[u8], format: ImageFormat, most: u64) -> Result<(Size, Option<Vec<u8>>), Bad> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(most.saturating_mul(PIXEL_BYTES).saturating_add(SCRATCH));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| Bad::Unreadable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > most || decoder.total_bytes() > most.saturating_mul(PIXEL_BYTES) {
        return Err(Bad::TooLarge { width, height, most });
    }
    let orientation = match format {
        // That of others is not kept.
        ImageFormat::Jpeg => decoder.orientation().unwrap_or(Orientation::NoTransforms),
        _ => Orientation::NoTransforms,
    };
    let drawn = DynamicImage::from_decoder(decoder).map_err(|_| Bad::Unreadable)?;
    let mut small = match width.max(height) > THUMBNAIL {
        true => drawn.thumbnail(THUMBNAIL, THUMBNAIL),
        false => drawn.clone(),
    };
    drop(drawn);
    small.apply_orientation(orientation);
    let is_turned = orientation.to_exif() > 4;
    let size = if is_turned { Size { width: height, height: width } } else { Size { width, height } };
    let mut thumbnail = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut thumbnail, QUALITY);
    on_white(&small).write_with_encoder(encoder).map_err(|_| Bad::Unreadable)?;
    // Otherwise the picture itself is as good.
    Ok((size, Some(thumbnail).filter(|thumbnail| thumbnail.len() < bytes.len() / 2)))
}

/// Without what lets the background through.
fn on_white(picture: &DynamicImage) -> RgbImage {
    let seen = picture.to_rgba8();
    RgbImage::from_fn(seen.width(), seen.height(), |x, y| {
        let [red, green, blue, alpha] = seen.get_pixel(x, y).0;
        let over = |colour: u8| {
            let mixed = (u16::from(colour) * u16::from(alpha) + 255 * (255 - u16::from(alpha))) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        Rgb([red, green, blue].map(over))
    })
}

#[cfg(test)]
mod tests;
