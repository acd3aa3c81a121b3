//! Files of lines, one JSON value each, read without ever holding more than one line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::text;

/// A longer line is damaged: nothing that a run writes comes near.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a file of lines held beside what was understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) damaged: u64,
}

impl Tally {
    /// What to say of the damage, if there is any.
    pub(crate) fn note(self) -> Option<String> {
        let lines = text::counted(self.damaged, "damaged line");
        (0 < self.damaged).then(|| format!("{lines} left out, of {}", text::count(self.read)))
    }
}

/// Hands every line that can be understood to `take`.
pub(crate) fn each<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T),
) -> Result<Tally, String> {
    let name = path.file_name().unwrap_or_default().display();
    let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut tally, mut line) = (Tally::default(), Vec::new());
    loop {
        line.clear();
        let part = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        match part {
            Ok(0) => return Ok(tally),
            Ok(_) => tally.read += 1,
            Err(error) if tally.read == 0 => return Err(format!("{name} cannot be read: {error}")),
            Err(_) => {
                tally.damaged += 1;
                return Ok(tally);
            }
        }
        if !line.ends_with(b"\n") && LINE_BYTES_MAX <= line.len() as u64 {
            tally.damaged += 1;
            if reader.skip_until(b'\n').is_err() {
                return Ok(tally);
            }
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(value) => take(value),
            Err(_) if line.trim_ascii().is_empty() => tally.read -= 1,
            Err(_) => tally.damaged += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_costs_a_line_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let mut text = b"1\n{\n\n2\n".to_vec();
        text.extend(std::iter::repeat_n(b'3', 3 << 20));
        text.extend(b"\n4\n\xff\n5");
        std::fs::write(&path, text).unwrap();
        let mut seen = Vec::new();
        let tally = each(&path, |number: u64| seen.push(number)).unwrap();
        assert_eq!(seen, [1, 2, 4, 5]);
        assert_eq!(tally, Tally { read: 7, damaged: 3 });
        assert_eq!(tally.note().unwrap(), "3 damaged lines left out, of 7");
        let missing = each(&dir.path().join("gone"), |_: u64| ()).unwrap_err();
        assert!(missing.starts_with("gone cannot be read: "), "{missing}");
    }
}
