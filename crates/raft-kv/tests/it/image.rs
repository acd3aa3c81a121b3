//! A state has one image, and only a whole image is read.

use std::io::{self, Read as _, Write};

use bytes::Bytes;
use proptest::prelude::*;
use raft_kv::{Command, Store};

use crate::commands;

fn image_of(store: &Store) -> Vec<u8> {
    let mut out = Vec::new();
    store.image().write_to(&mut out).unwrap();
    out
}

fn put(store: &mut Store, key: &'static str, value: &'static str) {
    store.apply(&Command::Put { key: key.into(), value: value.into() });
}

proptest! {
    #[test]
    fn images_are_read_back(commands in prop::collection::vec(commands(), 0..40), after: [u8; 5]) {
        let mut store = Store::new();
        for command in &commands {
            store.apply(command);
        }
        let image = image_of(&store);
        prop_assert_eq!(&image_of(&store), &image);
        // What follows the image is left to whoever wrote it.
        let mut input = image.chain(&after[..]);
        let mut restored = Store::restore(&mut input).unwrap();
        prop_assert_eq!(&restored, &store);
        prop_assert_eq!(image_of(&restored), image_of(&store));
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).unwrap();
        prop_assert_eq!(rest, after);
        // And it goes on as the original does.
        for command in &commands {
            prop_assert_eq!(restored.apply(command), store.apply(command));
        }
        prop_assert_eq!(image_of(&restored), image_of(&store));
    }

    /// Every proper beginning of an image is refused.
    #[test]
    fn cut_images_are_refused(commands in prop::collection::vec(commands(), 0..20)) {
        let mut store = Store::new();
        for command in &commands {
            store.apply(command);
        }
        let image = image_of(&store);
        for len in 0..image.len() {
            let error = Store::restore(&mut &image[..len]).unwrap_err();
            prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    /// Altered images give an error or a state whose image they are, never a panic.
    #[test]
    fn altered_images_are_survived(position: prop::sample::Index, byte: u8) {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        put(&mut store, "b", "2");
        let mut image = image_of(&store);
        let position = position.index(image.len());
        image[position] = byte;
        let mut input = &image[..];
        if let Ok(restored) = Store::restore(&mut input) {
            let read = image.len() - input.len();
            prop_assert_eq!(&image_of(&restored)[..], &image[..read]);
        }
    }
}

/// The way to a state does not show in its image; the proposals made on the way do, and their order.
#[test]
fn a_state_has_one_image() {
    let (mut one, mut other) = (Store::new(), Store::new());
    put(&mut one, "a", "1");
    put(&mut one, "b", "2");
    put(&mut other, "b", "x");
    put(&mut other, "c", "3");
    put(&mut other, "a", "1");
    put(&mut other, "b", "2");
    other.apply(&Command::Delete { key: "c".into() });
    assert_eq!(image_of(&one), image_of(&other));

    let propose = |data: &'static str| Command::Propose { data: data.into() };
    for (mine, yours) in [("x", "y"), ("y", "x")] {
        one.apply(&propose(mine));
        other.apply(&propose(yours));
        assert_ne!(image_of(&one), image_of(&other));
    }
    // A difference is never forgotten, however long they agree afterwards.
    one.apply(&propose("z"));
    other.apply(&propose("z"));
    assert_ne!(image_of(&one), image_of(&other));
    assert_eq!(one.proposals(), other.proposals());
    // Padding must not hide a difference.
    let (mut short, mut long) = (Store::new(), Store::new());
    short.apply(&propose("x"));
    long.apply(&propose("x\0"));
    assert_ne!(image_of(&short), image_of(&long));
}

/// Not an image, in every way an image can fail to be one.
#[test]
fn garbage_is_refused() {
    let refusal = |bytes: &[u8]| {
        let error = Store::restore(&mut &bytes[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        error.to_string()
    };
    let image = |pairs: &[(&[u8], &[u8])]| {
        let mut out = [&b"raftkv1\n"[..], &[0; 16], &(pairs.len() as u64).to_le_bytes()].concat();
        for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
            out.extend_from_slice(part);
        }
        out
    };
    assert!(Store::restore(&mut &image(&[(b"a", b""), (b"b", b"")])[..]).is_ok());
    assert!(refusal(b"something else altogether").contains("begin"));
    assert!(refusal(&image(&[(b"b", b""), (b"a", b"")])).contains("order"));
    assert!(refusal(&image(&[(b"a", b""), (b"a", b"")])).contains("order"));
    assert!(refusal(&image(&[(b"", b"")])).contains("order"));
    assert!(refusal(&image(&[(&[1; 4097], b"")])).contains("longer"));
    // A count that lies ends where the input does.
    let mut endless = image(&[]);
    let at = endless.len() - 8;
    endless[at..].fill(0xff);
    let error = Store::restore(&mut &endless[..]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

/// A disk that fills up is an error of the one who writes, at whatever byte it does.
#[test]
fn a_full_disk_is_reported() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.0);
            self.0 -= len;
            if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut store = Store::new();
    store.apply(&Command::Put { key: "k".into(), value: Bytes::from(vec![7; 200_000]) });
    let size = image_of(&store).len();
    for room in [0, 1, 65_536, size - 1] {
        let error = store.image().write_to(&mut Full(room)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
    store.image().write_to(&mut Full(size)).unwrap();
    // What is small enough to be gathered first must not get lost on the way out.
    assert!(Store::new().image().write_to(&mut Full(0)).is_err());
}
