//! Choosing the dictionary for new strings, by trying it on samples of those that were written lately.
//!
//! A dictionary is simply a piece of each of some samples: what strings of one kind have in common stands in most of
//! them. (Choosing the most common pieces out of many more samples gained nothing over that, in JSON documents of one or
//! several schemas, sessions, HTML and program text.)

use super::compress::Head;
use super::dictionary::{self, DICTIONARIES_MAX, DICTIONARY_MAX, Dictionary};
use rand::Rng;
use rand::seq::SliceRandom;

/// Samples that are enough for a choice.
pub const SAMPLES: usize = 48;
/// Bytes of a sample at most.
const SAMPLE_MAX: usize = 4096;
/// Samples that a dictionary is made of; it is tried on the others.
const SOURCES: usize = 12;
/// Samples that each of the older dictionaries is tried on.
const OLD_TRIALS: usize = 8;

/// Strings of which a dictionary can be made.
#[derive(Debug, Default)]
pub struct Samples(Vec<Vec<u8>>);

impl Samples {
    /// Adds a string, or a piece of it. Returns whether there are enough samples now.
    pub fn add(&mut self, string: &[u8]) -> bool {
        if self.0.len() < SAMPLES {
            self.0.push(piece(string, SAMPLE_MAX).to_vec());
        }
        self.0.len() == SAMPLES
    }
}

/// `len` bytes from a random place of a string, or all of it.
fn piece(string: &[u8], len: usize) -> &[u8] {
    let spare = string.len().saturating_sub(len);
    let start = rand::rng().random_range(0..=spare);
    &string[start..string.len() - (spare - start)]
}

/// Chooses for new strings that dictionary which makes the samples shortest: an old one, or one made of the samples, if
/// it gains a sixteenth; or none, if none gains anything.
pub fn choose_dictionary(samples: Samples) {
    let mut samples = samples.0;
    samples.shuffle(&mut rand::rng());
    let (sources, trials) = samples.split_at(SOURCES.min(samples.len() / 2));
    let mut scratch = Vec::new();
    let mut total = |trials: &[Vec<u8>], dictionary: Option<&Dictionary>| -> usize {
        trials.iter().map(|raw| stored_len(raw, dictionary, &mut scratch)).sum()
    };
    let few = &trials[..OLD_TRIALS.min(trials.len())];
    let best = dictionary::numbers().min_by_key(|number| total(few, dictionary::get(*number)));
    let chosen = dictionary::chosen();
    // What is in use is tried on all samples, and so is what seems best.
    let (best_len, best) = [dictionary::NONE, chosen, best.unwrap_or(dictionary::NONE)]
        .into_iter()
        .map(|number| (total(trials, dictionary::get(number)), number))
        .min_by_key(|(len, number)| (*len, *number != chosen))
        .expect("there are three");
    let pieces: Vec<&[u8]> = sources.iter().map(|source| piece(source, DICTIONARY_MAX / SOURCES)).collect();
    let candidate = Dictionary::new(&pieces.concat());
    if dictionary::numbers().count() < DICTIONARIES_MAX && total(trials, Some(&candidate)) <= best_len - best_len / 16 {
        dictionary::add(candidate).inspect(|number| dictionary::choose(*number));
    } else {
        dictionary::choose(best);
    }
}

/// Bytes that a string would take with a dictionary, or without.
fn stored_len(raw: &[u8], dictionary: Option<&Dictionary>, scratch: &mut Vec<u8>) -> usize {
    let len = match dictionary {
        Some(dictionary) => dictionary::compressed_len(raw, dictionary, scratch),
        None => lz4_flex::block::compress(raw).len(),
    };
    raw.len().min(Head::SIZE + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::string::{NewString, StringView};

    fn samples(make: impl Fn(u32) -> String) -> Samples {
        let mut samples = Samples::default();
        assert!((0..).any(|number| samples.add(make(number).as_bytes())));
        samples
    }

    /// Text that has nothing in common with any other such text.
    fn noise(seed: u32) -> String {
        let mut state = u64::from(seed) + 1;
        let next = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (*state >> 58) as u8)
        };
        (0..1500).map(|_| next(&mut state)).collect()
    }

    fn order(number: u32) -> String {
        let item =
            |i: u32| format!(r#"{{"sku":{},"quantity":{i},"unit_price":{}}}"#, number % 1000 * 7919 + i * 31, i * 97);
        let items: Vec<_> = (0..30).map(item).collect();
        format!(r#"{{"order":{number},"customer":"c{}","items":[{}]}}"#, number / 3, items.join(","))
    }

    fn invoice(number: u32) -> String {
        let field =
            |field: u32| format!("<Feld-{:x} Wert='{}'/>", field.wrapping_mul(0x9E37_79B9), number * 17 + field);
        (0..50).map(field).collect()
    }

    #[test]
    fn dictionaries_follow_the_data_and_old_ones_are_found_again() {
        choose_dictionary(samples(noise));
        assert_eq!(dictionary::chosen(), dictionary::NONE);

        choose_dictionary(samples(order));
        let orders = dictionary::chosen();
        assert_ne!(orders, dictionary::NONE);
        let text = order(9_999);
        let string = NewString::classify(text.as_bytes(), 1024);
        let NewString::Inline(kind, payload) = string else { panic!("it fits into a record") };
        let view = StringView::inline(kind, &payload).expect("it is a string");
        assert_eq!(view.as_slice(&mut Vec::new()), text.as_bytes());

        // The same data is no reason for another dictionary, other data is.
        choose_dictionary(samples(|number| order(number + 1000)));
        assert_eq!(dictionary::chosen(), orders);
        choose_dictionary(samples(invoice));
        let invoices = dictionary::chosen();
        assert!(invoices != orders && invoices != dictionary::NONE);
        assert_eq!(view.as_slice(&mut Vec::new()), text.as_bytes());

        choose_dictionary(samples(order));
        assert_eq!(dictionary::chosen(), orders);

        // There is an end to dictionaries.
        while dictionary::add(Dictionary::new(b"some bytes")).is_some() {}
        assert_eq!(dictionary::numbers().count(), DICTIONARIES_MAX);
        choose_dictionary(samples(noise));
        choose_dictionary(samples(|number| order(number).replace(r#"""#, "*")));
        assert!(usize::from(dictionary::chosen()) <= DICTIONARIES_MAX);
    }
}
