//! The scenarios that come with the program. Their files are in `configs/scenarios`.

use super::scenario::Scenario;

macro_rules! builtins {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../configs/scenarios/", $name, ".yaml")))),*]
    };
}

/// Name and file of each, in the order in which they are shown.
pub(crate) const BUILTINS: [(&str, &str); 24] = builtins![
    "kill-leader",
    "kill-random",
    "kill-all",
    "leader-storm",
    "rolling-restart",
    "pause-leader",
    "minority-partition",
    "refused-leader",
    "majority-ring",
    "one-way-leader",
    "flaky-link",
    "gray-leader",
    "power-loss",
    "slow-power",
    "snapshot-storm",
    "forgotten-votes",
    "disk-trouble",
    "bit-flip",
    "snapshot-catchup",
    "crash-loop",
    "clock-jumps",
    "starved",
    "replace-nodes",
    "overlap",
];

/// The scenario of this name.
pub(crate) fn builtin(name: &str) -> Option<Scenario> {
    let (_, text) = BUILTINS.iter().find(|(known, _)| *known == name)?;
    Some(Scenario::parse(text).expect("a test reads them all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/scenarios.md");

    #[test]
    fn all_of_them_can_be_read_and_say_what_they_show() {
        for (name, text) in BUILTINS {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, name);
            assert!(scenario.shows.ends_with('.'), "{name}");
            assert!(scenario.seed.is_none(), "{name}: every run is another one");
            let row = format!("| `{name}` | {} |", scenario.shows);
            assert!(PAGE.contains(&row), "docs/scenarios.md lacks this line:\n{row}");
        }
    }
}
