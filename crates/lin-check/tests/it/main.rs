//! Integration tests.

#[cfg(test)]
mod certificate;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod judgement;
#[cfg(test)]
mod metamorphic;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod search;
#[cfg(test)]
mod standalone;
#[cfg(test)]
mod tampering;
