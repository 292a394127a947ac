//! A tree like a grown WordPress site.
//!
//! Promise: the same size gives the same tree: PHP text, uploads that cannot be compressed, one large file, odd names,
//! links.

use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::os::unix::fs::symlink;
use std::path::Path;

/// PHP files for each GiB, as in the tree that peers were measured with.
const PHP_FILES: u64 = 11_100;
/// Uploads are this large.
const UPLOAD_MIN: u64 = 20 * 1024;
const UPLOAD_MAX: u64 = 5 * 1024 * 1024;

/// A small generator, so that nothing of the tree is left to chance.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Make it; gives files and bytes.
pub fn make(root: &Path, mebibytes: u64) -> Result<(u64, u64)> {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let total = mebibytes << 20;
    let (mut files, mut bytes) = (0, 0);
    for number in 0..PHP_FILES * mebibytes / 1024 {
        let at = match number % 3 {
            0 => format!("wp-includes/part-{}/sub-{}", number % 40, number % 7),
            1 => format!("wp-admin/part-{}", number % 60),
            _ => format!("wp-content/plugins/plugin-{}/src", number % 90),
        };
        fs::create_dir_all(root.join(&at))?;
        let size = 1024 + noise.below(22 * 1024);
        bytes += php(
            &root.join(at).join(format!("class-{number}.php")),
            size,
            &mut noise,
        )?;
        files += 1;
    }
    let large = total / 5;
    fs::create_dir_all(root.join("wp-content/uploads"))?;
    let path = root.join("wp-content/uploads/film.mp4");
    bytes += upload(&path, large, &mut noise)?;
    files += 1;
    while bytes < total {
        let at = format!(
            "wp-content/uploads/20{:02}/{:02}",
            10 + files % 15,
            1 + files % 12
        );
        fs::create_dir_all(root.join(&at))?;
        // As many small ones as large ones, by magnitude.
        let (low, high) = ((UPLOAD_MIN as f64).ln(), (UPLOAD_MAX as f64).ln());
        let share = noise.below(1 << 20) as f64 / f64::from(1 << 20);
        let size = (low + share * (high - low)).exp() as u64;
        let path = root.join(at).join(format!("image-{files}.jpg"));
        bytes += upload(&path, size, &mut noise)?;
        files += 1;
    }
    let odd = root.join("wp-content/uploads/odd");
    fs::create_dir_all(odd.join("empty"))?;
    for name in [
        "a b",
        "Ü ñ 文.txt",
        "-rf",
        "new\nline",
        "quote'\"",
        &"long".repeat(60),
    ] {
        fs::write(odd.join(name), name)?;
        files += 1;
    }
    symlink("../film.mp4", odd.join("link"))?;
    fs::hard_link(odd.join("a b"), odd.join("second name"))?;
    Ok((files, bytes))
}

/// Change one file in a hundred in place.
pub fn touch(root: &Path, round: u64) -> Result<()> {
    let mut noise = Noise(round + 1);
    for number in 0..PHP_FILES / 100 {
        let path = root.join(format!(
            "wp-admin/part-{}/changed-{number}.php",
            number % 60
        ));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        php(&path, 12 * 1024, &mut noise)?;
    }
    for number in 0..8 {
        let path = root.join(format!("wp-content/uploads/new-{number}.jpg"));
        upload(&path, 1 << 20, &mut noise)?;
    }
    Ok(())
}

fn php(path: &Path, size: u64, noise: &mut Noise) -> Result<u64> {
    const WORDS: [&str; 24] = [
        "function",
        "return",
        "$this->",
        "array(",
        ");",
        "if (",
        "wp_",
        "get_option(",
        "apply_filters(",
        "'",
        "null",
        "public",
        "static",
        "foreach (",
        " as ",
        "=> ",
        "// ",
        "esc_html(",
        "add_action(",
        "class",
        "string",
        "$post",
        "_meta",
        "=== ",
    ];
    let mut text = String::from("<?php\n/**\n * A part of the site.\n */\n");
    while (text.len() as u64) < size {
        let indent = noise.below(4) as usize;
        text.push_str(&"\t".repeat(indent));
        for _ in 0..3 + noise.below(9) {
            let number = noise.next();
            text.push_str(WORDS[(number % 24) as usize]);
            if number & (7 << 32) == 0 {
                text.push_str(&format!("{:x} ", number >> 40));
            }
        }
        text.push('\n');
    }
    fs::write(path, &text)?;
    Ok(text.len() as u64)
}

fn upload(path: &Path, size: u64, noise: &mut Noise) -> Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut left = size;
    while left > 0 {
        let bytes = noise.next().to_le_bytes();
        let some = left.min(8);
        file.write_all(&bytes[..some as usize])?;
        left -= some;
    }
    file.flush()?;
    Ok(size)
}
