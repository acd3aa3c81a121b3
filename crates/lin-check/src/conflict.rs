//! Boils an impossible history down to the few operations that contradict each other.
//!
//! Leaving out operations at will would explain nothing: without its write, any read is impossible.
//! So an operation is never left out here, only weakened: its answer is forgotten, and with it the
//! time until which it took effect. Whatever order explains the whole history also explains the
//! weakened one; if the weakened one has none, then neither has the whole. (A read without its answer
//! says nothing, and so is left out after all.)

use crate::model::Model;
use crate::search::{Budget, Call, Found, search};

/// The calls whose answers no order explains, although every other call may have taken effect at
/// any time after it was called, or never. As few as the budget allows: given enough, any one fewer
/// could be explained.
///
/// `blocked` is what the search of `calls` returned.
pub(crate) fn conflict<M: Model>(
    calls: &[Call<M::Input, M::Output>],
    blocked: usize,
    mut budget: Budget,
) -> Vec<usize> {
    // What was called after the return that blocked the search could not be placed before it, and so
    // is no part of the explanation.
    let end_ns = calls[blocked].answer.as_ref().map(|answer| answer.returned_ns);
    let mut held: Vec<usize> = (0..calls.len())
        .filter(|position| calls[*position].answer.is_some())
        .filter(|position| Some(calls[*position].called_ns) <= end_ns)
        .collect();

    // Forgetting is monotone: what may not be forgotten now may not be forgotten later either, so
    // that one pass down to single calls is enough.
    let mut chunk = held.len().div_ceil(2);
    while 0 < chunk {
        let mut start = 0;
        while start < held.len() && !budget.is_spent() {
            let mut fewer = held.clone();
            fewer.drain(start..held.len().min(start + chunk));
            let weakened = weaken::<M>(calls, &fewer);
            match search::<M>(&weakened, &mut budget) {
                Found::Nothing { .. } => held = fewer,
                Found::Linearization(_) | Found::GaveUp => start += chunk,
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    held
}

/// All calls, with only the answers of those that are `held`.
fn weaken<M: Model>(
    calls: &[Call<M::Input, M::Output>],
    held: &[usize],
) -> Vec<Call<M::Input, M::Output>> {
    let mut weakened = calls.to_vec();
    for (position, call) in weakened.iter_mut().enumerate() {
        if held.binary_search(&position).is_err() {
            call.answer = None;
        }
    }
    weakened
}
