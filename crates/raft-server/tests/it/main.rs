//! Starts the real program and talks to it over real sockets.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod counter;
#[cfg(test)]
mod dial;
#[cfg(test)]
mod disk_faults;
#[cfg(test)]
mod diverged;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod inline;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod laboratory;
mod membership;
#[cfg(test)]
#[cfg(debug_assertions)]
mod mutants;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod recover;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod single;
#[cfg(test)]
mod slow_disk;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod start;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unheard;
#[cfg(test)]
mod way_back;
