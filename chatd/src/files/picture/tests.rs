//! Pictures with what should not get about, and files that only look like pictures.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ImageEncoder, RgbImage, RgbaImage};

use super::*;

const MOST: u64 = 1_000_000;

fn noisy(width: u32, height: u32) -> RgbImage {
    let noise = |x: u32, y: u32| u8::try_from((x * 7919 + y * 104_729 + x * y) % 251).unwrap_or_default();
    RgbImage::from_fn(width, height, |x, y| Rgb([noise(x, y), noise(y, x), noise(x + 3, y)]))
}

/// EXIF with a place (a GPS list at 26) and a way the camera was held.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0]);
    exif.extend_from_slice(b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0");
    exif.extend_from_slice(b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0SECRET PLACE");
    exif
}

fn jpeg(orientation: u8) -> Vec<u8> {
    let (mut bytes, picture) = (Vec::new(), noisy(600, 400));
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    encoder.encode_image(&picture).unwrap();
    bytes
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn seen(bytes: &[u8], format: ImageFormat) -> (Size, Option<Vec<u8>>) {
    look(bytes, format, MOST).unwrap()
}

#[test]
fn where_a_picture_was_taken_goes_and_how_the_camera_was_held_stays() {
    for (orientation, width, height) in [(1, 600, 400), (6, 400, 600), (8, 400, 600), (3, 600, 400)] {
        let came = jpeg(orientation);
        assert!(holds(&came, b"SECRET PLACE"));
        let kept = strip(&came, ImageFormat::Jpeg).unwrap();
        assert!(!holds(&kept, b"SECRET PLACE"));
        let (size, thumbnail) = seen(&kept, ImageFormat::Jpeg);
        assert_eq!(size, Size { width, height }, "{orientation}");
        let small = image::load_from_memory(&thumbnail.unwrap()).unwrap();
        assert_eq!(small.width() > small.height(), width > height, "{orientation}");
        assert_eq!(small.width().max(small.height()), THUMBNAIL);
        assert_eq!(strip(&kept, ImageFormat::Jpeg).unwrap(), kept, "nothing more to take away");
    }
}

#[test]
fn a_picture_is_drawn_as_before() {
    let mut png = Vec::new();
    let picture = noisy(60, 40);
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif(1)).unwrap();
    encoder.write_image(&picture, 60, 40, image::ExtendedColorType::Rgb8).unwrap();
    let mut webp = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif(1)).unwrap();
    encoder.write_image(&picture, 60, 40, image::ExtendedColorType::Rgb8).unwrap();
    let mut gif = Vec::new();
    DynamicImage::from(picture.clone()).write_to(&mut Cursor::new(&mut gif), ImageFormat::Gif).unwrap();
    let comment = b"\x21\xfe\x0cSECRET PLACE\0";
    gif.splice(gif.len() - 1..gif.len() - 1, comment.iter().copied());
    for (came, format) in [
        (png, ImageFormat::Png),
        (webp, ImageFormat::WebP),
        (gif, ImageFormat::Gif),
        (jpeg(1), ImageFormat::Jpeg),
    ] {
        assert!(holds(&came, b"SECRET PLACE"), "{format:?}");
        let mut polyglot = came.clone();
        polyglot.extend_from_slice(b"<script>alert(1)</script>");
        let kept = strip(&polyglot, format).unwrap();
        assert!(!holds(&kept, b"SECRET PLACE") && !holds(&kept, b"<script>"), "{format:?}");
        let draw = |bytes: &[u8]| image::load_from_memory_with_format(bytes, format).unwrap().to_rgb8();
        assert!(draw(&came) == draw(&kept), "{format:?}");
        // Wherever it is cut, it is refused or whole; never a panic.
        for cut in (0..came.len()).step_by(came.len() / 300 + 1) {
            assert!(strip(&came[..cut], format).is_none_or(|kept| kept.len() <= cut + 8), "{format:?} {cut}");
        }
    }
}

#[test]
fn a_picture_that_would_fill_the_memory_is_refused_before_it_is_unpacked() {
    let mut bomb = Vec::new();
    let encoder = PngEncoder::new(&mut bomb);
    encoder.write_image(&vec![0; 5000 * 5000], 5000, 5000, image::ExtendedColorType::L8).unwrap();
    assert!(bomb.len() < 300_000, "{}", bomb.len());
    let too_large = Bad::TooLarge { width: 5000, height: 5000, most: MOST };
    assert_eq!(look(&bomb, ImageFormat::Png, MOST), Err(too_large));
    // One that lies about its size.
    bomb[16..24].copy_from_slice(&[0, 0, 0, 10, 0, 0, 0, 10]);
    assert_eq!(look(&bomb, ImageFormat::Png, MOST), Err(Bad::Unreadable));
    assert_eq!(look(b"\x89PNG\r\n\x1a\n", ImageFormat::Png, MOST), Err(Bad::Unreadable));
}

#[test]
fn what_lets_the_background_through_is_white_below_it() {
    let clear = DynamicImage::from(RgbaImage::from_pixel(1, 1, image::Rgba([0, 0, 0, 0])));
    assert_eq!(on_white(&clear).get_pixel(0, 0).0, [255, 255, 255]);
    let solid = DynamicImage::from(RgbaImage::from_pixel(1, 1, image::Rgba([9, 8, 7, 255])));
    assert_eq!(on_white(&solid).get_pixel(0, 0).0, [9, 8, 7]);
}
