//! Which key an operation goes to, and how large its value is.

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Zipf};

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyChoice {
    /// Each as often as the others.
    Uniform,
    /// Key number `n`, counted from 1, with a probability in proportion to `n` to the power of the
    /// negated exponent.
    Zipf(f64),
    /// One after the other, and again from the first.
    Sequential,
}

impl fmt::Display for KeyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
            Self::Sequential => f.write_str("seq"),
        }
    }
}

/// The exponent of `zipf` alone, as in YCSB.
const ZIPF: f64 = 0.99;

impl FromStr for KeyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, exponent) = text.split_once(':').unzip();
        match (name.unwrap_or(text), exponent) {
            ("uniform", None) => Ok(Self::Uniform),
            ("seq", None) => Ok(Self::Sequential),
            ("zipf", None) => Ok(Self::Zipf(ZIPF)),
            ("zipf", Some(exponent)) => match exponent.parse() {
                Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(Self::Zipf(exponent)),
                _ => Err(format!("`{exponent}` is no exponent from 0 to 10")),
            },
            _ => Err("write uniform, zipf, zipf:EXPONENT or seq".to_owned()),
        }
    }
}

/// A number of keys and how one is chosen.
#[derive(Clone, Debug)]
pub(super) struct KeySpace {
    keys: u64,
    choice: KeyChoice,
    zipf: Option<Zipf<f64>>,
}

impl KeySpace {
    /// `keys` is at least 1.
    pub(super) fn new(keys: u64, choice: KeyChoice) -> Self {
        let zipf = match choice {
            KeyChoice::Zipf(exponent) => Some(
                Zipf::new(as_float(keys), exponent)
                    .expect("there is a key, and the exponent is not negative"),
            ),
            KeyChoice::Uniform | KeyChoice::Sequential => None,
        };
        Self { keys, choice, zipf }
    }

    /// The number of a key, from 0. `word` is random, `turn` counts the operations.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the distribution yields whole numbers from 1 to the number of keys"
    )]
    pub(super) fn choose(&self, word: u64, turn: u64) -> u64 {
        match (self.choice, &self.zipf) {
            (KeyChoice::Sequential, _) => turn % self.keys,
            (_, Some(zipf)) => {
                let rank = zipf.sample(&mut SmallRng::seed_from_u64(word));
                (rank as u64 - 1).min(self.keys - 1)
            }
            _ => word % self.keys,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no store holds 2^53 keys")]
fn as_float(keys: u64) -> f64 {
    keys as f64
}

/// How large values are: from the smallest to the largest, each size as often as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the smallest.
    pub min: usize,
    /// Bytes of the largest.
    pub max: usize,
}

impl Sizes {
    /// The size that a random word stands for.
    pub(super) fn choose(self, word: u64) -> usize {
        let span = (self.max - self.min) as u64 + 1;
        self.min + usize::try_from(word % span).expect("below a usize")
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        if min == max { write!(f, "{min}") } else { write!(f, "{min}-{max}") }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = |text: &str| -> Result<usize, String> {
            let size: raft_api::units::ByteSize = text
                .trim()
                .parse()
                .map_err(|error: raft_api::units::UnitError| error.to_string())?;
            usize::try_from(size.0).map_err(|_too_large| "it is too large".to_owned())
        };
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (size(min)?, size(max)?),
            None => (size(text)?, size(text)?),
        };
        if max < min {
            return Err("the smaller size goes first, as in 64-1024".to_owned());
        }
        Ok(Self { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 10 000 draws among 100 keys: how often the first and the last came.
    fn drawn(choice: &str) -> (usize, usize) {
        let space = KeySpace::new(100, choice.parse().unwrap());
        let keys: Vec<u64> = (0..10_000_u64)
            .map(|turn| space.choose(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15), turn))
            .collect();
        assert!(keys.iter().all(|key| *key < 100));
        let count = |wanted| keys.iter().filter(|key| **key == wanted).count();
        (count(0), count(99))
    }

    #[test]
    fn keys_come_as_often_as_their_distribution_says() {
        assert_eq!(drawn("seq"), (100, 100));
        let (first, last) = drawn("uniform");
        assert!((60..140).contains(&first) && (60..140).contains(&last), "{first} {last}");
        // With exponent 1 the first of 100 has 1 / 5.19 of all, the last a hundredth of that.
        let (first, last) = drawn("zipf:1");
        assert!((1700..2200).contains(&first) && (5..40).contains(&last), "{first} {last}");
    }

    #[test]
    fn choices_and_sizes_are_read_and_shown() {
        for text in ["uniform", "seq", "zipf:0.99", "zipf:1.2"] {
            assert_eq!(text.parse::<KeyChoice>().unwrap().to_string(), text);
        }
        for text in ["", "zipf:", "zipf:-1", "zipf:nan", "seq:1", "hot"] {
            text.parse::<KeyChoice>().unwrap_err();
        }
        assert_eq!("1k".parse::<Sizes>().unwrap().to_string(), "1024");
        assert_eq!("64-128".parse::<Sizes>().unwrap().to_string(), "64-128");
        for text in ["", "x", "9-8", "1-2-3"] {
            text.parse::<Sizes>().unwrap_err();
        }
        let sizes: Sizes = "3-5".parse().unwrap();
        let drawn: Vec<usize> = (0..6).map(|word| sizes.choose(word)).collect();
        assert_eq!(drawn, [3, 4, 5, 3, 4, 5]);
    }
}
