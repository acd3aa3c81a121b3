//! The two ends of a connection.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod support;
#[cfg(test)]
mod talk;
