//! Runs a cluster of real processes, breaks it, and ends with a verdict.
