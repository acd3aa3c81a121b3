//! What two processes must agree on, from the outside.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod convert;
#[cfg(test)]
mod units;
