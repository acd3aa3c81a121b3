//! Integration tests.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod long;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod support;
