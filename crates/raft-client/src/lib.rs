//! Client library, command line and load generator.
