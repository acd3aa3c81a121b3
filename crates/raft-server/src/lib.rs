//! One node of the cluster: network and clock around a replica.
