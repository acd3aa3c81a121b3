//! The client against nodes that do as a script says.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod etcd;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod health;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pipe;
#[cfg(test)]
mod real;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod screen;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod transfer;

test_each_file::test_each_path! { in "crates/raft-client/tests/scripts" as scripts => golden::run }
