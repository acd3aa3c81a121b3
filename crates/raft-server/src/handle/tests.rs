//! Who is let in, and who is refused.

use super::*;

fn handle() -> (Handle, Ends) {
    let view = View {
        role: RoleName::Leader,
        term: Term(1),
        leader: None,
        removed: false,
        members_as_of: Index(1),
    };
    Handle::new(view, 1 << 20, Arc::default())
}

/// A command that costs so many bytes.
fn command(cost: usize) -> RequestKind {
    RequestKind::Command { session: None, command: vec![1; cost - OVERHEAD].into() }
}

fn is_refused(request: &Result<Pending, Declined>) -> bool {
    matches!(request, Err(Declined::Replica(Refused::Overloaded)))
}

/// Large requests take all they can get, and to the last byte; small ones are let in all the same.
#[test]
fn large_requests_leave_room_for_small_ones() {
    let (handle, _ends) = handle();
    let large = command(1 << 20);
    let mut under_way = Vec::new();
    while let Ok(request) = handle.submit(large.clone()) {
        under_way.push(request);
    }
    assert_eq!(under_way.len(), BYTES_MAX >> 20);
    assert!(!handle.has_room_for((1 << 20) - OVERHEAD));
    assert!(is_refused(&handle.submit(command(SMALL_MAX + 1))));

    let small = command(SMALL_MAX);
    let small_ones = BYTES_OF_SMALL_MAX / SMALL_MAX;
    let more: Vec<_> = (0..small_ones).map(|_| handle.submit(small.clone())).collect();
    assert!(more.iter().all(Result::is_ok));
    assert!(is_refused(&handle.submit(small.clone())));
    assert!(!handle.has_room_for(1));

    // What is answered makes room again, for its own kind.
    drop(more);
    assert!(handle.has_room_for(1) && handle.submit(small).is_ok());
    assert!(is_refused(&handle.submit(large.clone())));
    under_way.pop();
    assert!(handle.submit(large).is_ok());
}
