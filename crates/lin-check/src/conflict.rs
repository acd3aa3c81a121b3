//! Boils an impossible history down to the few operations that contradict each other.
//!
//! Leaving out operations at will would explain nothing: without its write, any read is impossible.
//! So an operation is never left out here, only weakened: its answer is forgotten, and with it the
//! time until which it took effect. Whatever order explains the whole history also explains the
//! weakened one; if the weakened one has none, then neither has the whole. (A read without its answer
//! says nothing, and so is left out after all.)

use crate::model::Model;
use crate::search::{Budget, Call, Found, search};

/// Beyond so many calls on a key, what an answer says besides its main word is forgotten, if the rest
/// is impossible without it.
const MANY: usize = 100;

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
    // Of many, without what answers say besides: then few of the unanswered ones matter, and each search
    // is quick.
    let short = if MANY < calls.len() { blocked_in_short::<M>(calls, budget) } else { None };
    let vague = if short.is_some() { vaguer::<M>(calls) } else { Vec::new() };
    let (calls, blocked) = match short {
        Some(blocked) => (&vague[..], blocked),
        None => (calls, blocked),
    };
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

/// The call at which a search for less comes to its end where one for everything took too long: without
/// what answers say besides, and without the unanswered calls that do not matter then. `None`: there is
/// an order for that much, or it takes too long as well.
pub(crate) fn blocked_in_short<M: Model>(
    calls: &[Call<M::Input, M::Output>],
    mut budget: Budget,
) -> Option<usize> {
    let answered: Vec<usize> =
        (0..calls.len()).filter(|&position| calls[position].answer.is_some()).collect();
    let short = weaken::<M>(&vaguer::<M>(calls), &answered);
    let Found::Nothing { blocked } = search::<M>(&short, &mut budget) else { return None };
    // Its position among all: the answered calls are there, in the same order.
    let rank = short[..blocked].iter().filter(|call| call.answer.is_some()).count();
    answered.get(rank).copied()
}

/// All calls, with answers that say less.
fn vaguer<M: Model>(calls: &[Call<M::Input, M::Output>]) -> Vec<Call<M::Input, M::Output>> {
    let mut vague = calls.to_vec();
    for answer in vague.iter_mut().filter_map(|call| call.answer.as_mut()) {
        if let Some(output) = M::vaguer(&answer.output) {
            answer.output = output;
        }
    }
    vague
}

/// The calls with only the answers of those that are `held`, and of the others those that may help to
/// explain these: a search takes longer for each that it might place.
fn weaken<M: Model>(
    calls: &[Call<M::Input, M::Output>],
    held: &[usize],
) -> Vec<Call<M::Input, M::Output>> {
    let mut is_held = vec![false; calls.len()];
    for &position in held {
        is_held[position] = true;
    }
    let answers: Vec<_> = held
        .iter()
        .filter_map(|&position| {
            let call = &calls[position];
            call.answer.as_ref().map(|answer| (call.input.clone(), answer.output.clone()))
        })
        .collect();
    let others = || calls.iter().zip(&is_held).filter(|(_, held)| !**held).map(|(call, _)| call);
    let inputs: Vec<_> = others().map(|call| call.input.clone()).collect();
    let mut helpful = M::helpful(&answers, &inputs).into_iter();
    let mut weakened = Vec::with_capacity(held.len());
    for (call, is_held) in calls.iter().zip(is_held) {
        if is_held {
            weakened.push(call.clone());
        } else if helpful.next().unwrap_or(true) {
            weakened.push(Call { answer: None, ..call.clone() });
        }
    }
    weakened
}
