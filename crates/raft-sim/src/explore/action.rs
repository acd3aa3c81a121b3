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
    /// Whether the node's disk keeps nothing any more, from this on and until the process ends.
    pub(super) loses: bool,
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
const ABOUT_BITS: u32 = 24;

impl Action {
    /// This, at the node at this position.
    pub(super) fn new(kind: Kind, at: u8, about: u32) -> Self {
        Self { kind, at, about, loses: false }
    }

    /// The action as a number.
    pub(super) fn code(self) -> u32 {
        let kind = KINDS.iter().position(|&kind| kind == self.kind).expect("all are listed");
        let kind = u32::try_from(kind).expect("there are few");
        assert!(self.about >> ABOUT_BITS == 0, "more than 2^{ABOUT_BITS} different messages");
        kind << (AT_BITS + ABOUT_BITS + 1)
            | u32::from(self.loses) << (AT_BITS + ABOUT_BITS)
            | u32::from(self.at) << ABOUT_BITS
            | self.about
    }

    /// The action of a number.
    pub(super) fn from_code(code: u32) -> Self {
        let part = |shift: u32, bits: u32| code >> shift & ((1 << bits) - 1);
        let kind = usize::try_from(code >> (AT_BITS + ABOUT_BITS + 1)).expect("it is small");
        let at = u8::try_from(part(ABOUT_BITS, AT_BITS)).expect("it is small");
        let loses = part(AT_BITS + ABOUT_BITS, 1) == 1;
        Self { kind: KINDS[kind], at, about: part(0, ABOUT_BITS), loses }
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
                for loses in [false, true] {
                    let action = Action { kind, at, about, loses };
                    assert_eq!(Action::from_code(action.code()), action);
                }
            }
        }
    }
}
