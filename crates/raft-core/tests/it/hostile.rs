//! Whatever a peer says, no node panics and none breaks its promises: the same stories that the fuzz
//! target tells, a few thousand of them at random.

use proptest::prelude::*;

use crate::onslaught;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_input_makes_a_node_panic(story in proptest::collection::vec(any::<u8>(), 0..1500)) {
        onslaught::play(&story);
    }
}
