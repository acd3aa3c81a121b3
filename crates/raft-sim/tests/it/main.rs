//! Integration tests.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod teeth;
