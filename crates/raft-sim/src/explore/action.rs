//! What may happen next in a state, small enough to be kept for every state ever found.

use super::machine::Happening;

/// What may happen next: to which node, and which message or request it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) kind: Kind,
    /// The node's position, from 0.
    pub(super) at: u8,
    /// The message's number, or the request's; otherwise 0.
    pub(super) about: u32,
}

/// The kinds of [`Happening`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deliver,
    Timeout,
    Lapse,
    Hint,
    Beat,
    Sync,
    Told,
    Crash,
    Propose,
    Read,
}

const KINDS: [Kind; 10] = [
    Kind::Deliver,
    Kind::Timeout,
    Kind::Lapse,
    Kind::Hint,
    Kind::Beat,
    Kind::Sync,
    Kind::Told,
    Kind::Crash,
    Kind::Propose,
    Kind::Read,
];

const AT_BITS: u32 = 3;
const ABOUT_BITS: u32 = 25;

impl Action {
    /// The action as a number.
    pub(super) fn code(self) -> u32 {
        let kind = KINDS.iter().position(|&kind| kind == self.kind).expect("all are listed");
        let kind = u32::try_from(kind).expect("there are few");
        assert!(self.about >> ABOUT_BITS == 0, "more than 2^{ABOUT_BITS} different messages");
        kind << (AT_BITS + ABOUT_BITS) | u32::from(self.at) << ABOUT_BITS | self.about
    }

    /// The action of a number.
    pub(super) fn from_code(code: u32) -> Self {
        let part = |shift: u32, bits: u32| code >> shift & ((1 << bits) - 1);
        let kind = usize::try_from(code >> (AT_BITS + ABOUT_BITS)).expect("it is small");
        let at = u8::try_from(part(ABOUT_BITS, AT_BITS)).expect("it is small");
        Self { kind: KINDS[kind], at, about: part(0, ABOUT_BITS) }
    }

    /// What it is to the node.
    pub(super) fn happening(self, message: impl FnOnce(u32) -> raft_core::Message) -> Happening {
        let number = || u8::try_from(self.about).expect("requests are few");
        match self.kind {
            Kind::Deliver => Happening::Deliver(Box::new(message(self.about))),
            Kind::Timeout => Happening::Timeout,
            Kind::Lapse => Happening::Lapse,
            Kind::Hint => Happening::Hint,
            Kind::Beat => Happening::Beat,
            Kind::Sync => Happening::Sync,
            Kind::Told => Happening::Told,
            Kind::Crash => Happening::Crash,
            Kind::Propose => Happening::Propose(number()),
            Kind::Read => Happening::Read(number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_can_be_read_back() {
        for kind in KINDS {
            for (at, about) in [(0, 0), (4, 1), (7, (1 << ABOUT_BITS) - 1)] {
                let action = Action { kind, at, about };
                assert_eq!(Action::from_code(action.code()), action);
            }
        }
    }
}
