//! Makes a plan that ends in a disagreement as short as a few seconds allow.

use crate::plan::{Plan, Step};
use crate::run::{Fleet, Mismatch, Tally};
use std::time::{Duration, Instant};

/// How long shrinking may take.
const SHRINK_MAX: Duration = Duration::from_secs(20);

/// Replays ever smaller parts of the plan; the smallest that still ends in a disagreement about the same, and that disagreement.
/// `None` when a replay of the whole does not disagree again.
pub fn shrink(fleet: &Fleet, plan: &Plan, mismatch: &Mismatch) -> Option<(Plan, Mismatch)> {
    let deadline = Instant::now() + SHRINK_MAX;
    let attempt = |steps: Vec<Step>| -> Option<(Plan, Mismatch)> {
        let plan = plan.with_steps(steps);
        let found = fleet.run(&plan, &mut Tally::default()).ok()??;
        (subject(&found.about) == subject(&mismatch.about))
            .then(|| (plan.with_steps(plan.steps[..=found.step].to_vec()), found))
    };
    let mut best = attempt(plan.steps[..=mismatch.step].to_vec())?;
    // Whole steps first, in ever smaller runs; then single commands of what is left.
    let mut length = best.0.steps.len() / 2;
    while length > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at < best.0.steps.len() && Instant::now() < deadline {
            let mut steps = best.0.steps.clone();
            steps.drain(at..(at + length).min(best.0.steps.len()));
            match attempt(steps) {
                Some(smaller) => best = smaller,
                None => at += length,
            }
        }
        length /= 2;
    }
    let (mut step, mut command) = (0, 0);
    while step < best.0.steps.len() && Instant::now() < deadline {
        let mut steps = best.0.steps.clone();
        let removable = match steps[step].commands_mut() {
            Some(commands) if command < commands.len() && commands.len() > 1 => {
                commands.remove(command);
                true
            }
            _ => false,
        };
        match removable.then(|| attempt(steps)) {
            None => (step, command) = (step + 1, 0),
            Some(Some(smaller)) => best = smaller,
            Some(None) => command += 1,
        }
    }
    Some(best)
}

/// What a disagreement is about, without the key.
pub fn subject(about: &str) -> &str {
    about.split(" key ").next().unwrap_or_default()
}
