//! Integration tests.

#[cfg(test)]
mod check;
#[cfg(test)]
mod data_dir;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mem_disk;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod refound;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transfer;
#[cfg(test)]
mod volatile_disk;
#[cfg(test)]
mod wal;
#[cfg(test)]
mod wal_crash;
#[cfg(test)]
mod wal_damage;
#[cfg(test)]
mod wal_space;
