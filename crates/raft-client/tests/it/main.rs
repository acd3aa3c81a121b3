//! The client against nodes that do as a script says.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod health;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod pipe;
#[cfg(test)]
mod real;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod transfer;
