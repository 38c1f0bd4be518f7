//! The best candidates for eviction among all that were sampled lately.

use crate::config::MaxmemoryPolicy;

/// Candidates that are kept.
const SIZE: usize = 16;

/// A key that may be evicted.
#[derive(Debug)]
pub struct Candidate {
    /// The greater, the sooner it is to go.
    pub score: i64,
    pub shard: usize,
    pub database: usize,
    /// The access clock when it was sampled: if it is another now, the key has been used.
    pub clock: u32,
    pub key: Vec<u8>,
}

/// Candidates by ascending score.
#[derive(Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    /// Bytes of memory of their keys.
    bytes: usize,
    /// The policy that the scores are of.
    policy: Option<MaxmemoryPolicy>,
}

impl Pool {
    /// Begins an eviction by `policy`. Candidates for another are forgotten.
    pub fn begin(&mut self, policy: MaxmemoryPolicy) {
        if self.policy != Some(policy) {
            self.candidates.clear();
            self.bytes = 0;
            self.policy = Some(policy);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Bytes of memory of the candidates' keys.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a candidate with this score would have a place.
    pub fn wants(&self, score: i64) -> bool {
        self.candidates.len() < SIZE || score > self.candidates[0].score
    }

    /// Adds a candidate, unless it is there already; the worst of all goes if there are too many.
    pub fn put(&mut self, candidate: Candidate) {
        let place = |candidate: &Candidate| (candidate.shard, candidate.database);
        let mut known = self.candidates.iter();
        if known.any(|other| place(other) == place(&candidate) && other.key == candidate.key) {
            return;
        }
        let at = self.candidates.partition_point(|other| other.score < candidate.score);
        self.bytes += candidate.key.capacity();
        self.candidates.insert(at, candidate);
        if self.candidates.len() > SIZE {
            self.bytes -= self.candidates.remove(0).key.capacity();
        }
    }

    /// Takes the best.
    pub fn pop(&mut self) -> Option<Candidate> {
        self.candidates.pop().inspect(|candidate| self.bytes -= candidate.key.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(score: i64, key: &str) -> Candidate {
        Candidate { score, shard: 0, database: 0, clock: 0, key: key.into() }
    }

    #[test]
    fn the_best_stay_and_go_first() {
        let mut pool = Pool::default();
        pool.begin(MaxmemoryPolicy::AllkeysLru);
        for score in 0..100 {
            let score = score * 37 % 100;
            if pool.wants(score) {
                pool.put(candidate(score, &score.to_string()));
                pool.put(candidate(score, &score.to_string()));
            }
        }
        assert!(!pool.wants(84) && pool.wants(85));
        let mut best = || pool.pop().map(|candidate| candidate.score);
        assert_eq!([best(), best(), best()], [Some(99), Some(98), Some(97)]);
        pool.begin(MaxmemoryPolicy::AllkeysLru);
        assert!(!pool.is_empty());
        let bytes: usize = pool.candidates.iter().map(|candidate| candidate.key.capacity()).sum();
        assert_eq!((pool.candidates.len(), pool.bytes()), (13, bytes));
        pool.begin(MaxmemoryPolicy::AllkeysLfu);
        assert!(pool.is_empty() && pool.bytes() == 0);
    }
}
