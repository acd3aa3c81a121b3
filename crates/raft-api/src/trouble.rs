//! What a node's own words say is wrong with it, told to its operator.

use crate::pb::{DiskSpace, StatusResponse};

/// That a member's disk is full, and what to do.
pub fn full_disk(status: &StatusResponse) -> Option<String> {
    let effect = match status.disk_space() {
        DiskSpace::Enough => return None,
        DiskSpace::Short => "takes no writes from clients",
        DiskSpace::Out => "stores nothing",
    };
    let StatusResponse { node_id, data_dir, .. } = status;
    let told = format!(
        "n{node_id} {effect}: its disk is full; free some space there, at {data_dir}, and it goes on"
    );
    (!status.removed).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_of_members() {
        let told = |space: DiskSpace, removed| {
            let data_dir = "/data/n2".to_owned();
            let disk_space = space.into();
            let status =
                StatusResponse { node_id: 2, data_dir, disk_space, removed, ..Default::default() };
            full_disk(&status)
        };
        let rest = "its disk is full; free some space there, at /data/n2, and it goes on";
        let short = format!("n2 takes no writes from clients: {rest}");
        assert_eq!(told(DiskSpace::Short, false), Some(short));
        assert_eq!(told(DiskSpace::Out, false), Some(format!("n2 stores nothing: {rest}")));
        assert_eq!(told(DiskSpace::Enough, false), None);
        assert_eq!(told(DiskSpace::Out, true), None);
    }
}
