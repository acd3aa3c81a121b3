//! What a message looks like in the body of a call: a flag, a length of four bytes, the message.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use tonic::Status;

use crate::budget::Share;

/// Bytes before a message.
pub(crate) const PREFIX: usize = 5;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Appends a message to what is to be sent, as gRPC frames it.
pub fn put(message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(PREFIX + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("a message has less than 4 GiB"));
    message.encode(out).expect("there is room");
}

/// A body on its way in, that is to be one message.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    first: Bytes,
    /// More than one piece.
    rest: BytesMut,
    /// For what is there while it is not whole.
    share: Share,
}

impl Assembly {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

    /// Takes the next piece. An error as soon as the message turns out to be none, or too large.
    pub(crate) fn add(&mut self, piece: Bytes, max: usize) -> Result<(), Status> {
        if self.first.is_empty() {
            self.first = piece;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&self.first);
            }
            self.rest.extend_from_slice(&piece);
        }
        let head = if self.rest.is_empty() { &self.first[..] } else { &self.rest[..] };
        match framed_len(head, max)? {
            Some(length) if length < head.len() => {
                Err(Status::internal("more than one message for a unary call"))
            }
            Some(length) if length == head.len() => self.share.hold(0),
            Some(_) | None => self.share.hold(head.len()),
        }
    }

    /// The message, now that there is no more. `None`: the body had none.
    pub(crate) fn finish(self) -> Result<Option<Bytes>, Status> {
        let mut body = if self.rest.is_empty() { self.first } else { self.rest.freeze() };
        if body.is_empty() {
            return Ok(None);
        }
        if body.len() < PREFIX {
            return Err(cut_short());
        }
        body.advance(1);
        let length = body.get_u32() as usize;
        if body.len() != length {
            return Err(cut_short());
        }
        Ok(Some(body))
    }
}

/// A body on its way in, of any number of messages. One that came in one piece is not copied.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// What is there, if it came in one piece.
    one: Bytes,
    /// Else.
    several: BytesMut,
    /// For what is there of a message that is not whole.
    share: Share,
}

impl Pieces {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

    /// Takes the next piece.
    pub(crate) fn add(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.one = piece;
            return;
        }
        if self.several.is_empty() {
            self.several.reserve(self.one.len() + piece.len());
            self.several.extend_from_slice(&std::mem::take(&mut self.one));
        }
        self.several.extend_from_slice(&piece);
    }

    /// The next message, if it is whole. An error as soon as what is there turns out to be none, or too
    /// large.
    pub(crate) fn next(&mut self, max: usize) -> Result<Option<Bytes>, Status> {
        let head = if self.several.is_empty() { &self.one[..] } else { &self.several[..] };
        let length = framed_len(head, max)?.filter(|length| *length <= head.len());
        let Some(length) = length else {
            self.share.hold(head.len())?;
            return Ok(None);
        };
        self.share.hold(0)?;
        if !self.several.is_empty() {
            self.one = std::mem::take(&mut self.several).freeze();
        }
        let mut message = self.one.split_to(length);
        message.advance(PREFIX);
        Ok(Some(message))
    }

    /// Whether nothing is left of it, not even a part of a message.
    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_empty() && self.several.is_empty()
    }
}

/// Length of the message that begins there, with what is before it, if that much is there.
fn framed_len(head: &[u8], max: usize) -> Result<Option<usize>, Status> {
    let Some(prefix) = head.get(..PREFIX) else { return Ok(None) };
    if prefix[0] != 0 {
        return Err(Status::unimplemented("compressed messages are not taken"));
    }
    let length = (&prefix[1..]).get_u32() as usize;
    if max < length {
        return Err(Status::out_of_range(format!(
            "Error, decoded message length too large: found {length} bytes, the limit is: {max} bytes"
        )));
    }
    Ok(Some(PREFIX + length))
}

/// The body was to be longer.
pub(crate) fn cut_short() -> Status {
    Status::internal("the body ends within a message")
}

/// How a call ended, as trailers have it.
pub(crate) fn end(ended: Result<(), Status>) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    match ended {
        Ok(()) => drop(trailers.insert(GRPC_STATUS, OK)),
        // What cannot be told in a header is not told; that it went wrong is.
        Err(status) => {
            if status.add_header(&mut trailers).is_err() {
                let plain = Status::new(status.code(), "");
                plain.add_header(&mut trailers).expect("a number fits into a header");
            }
        }
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(pieces: &[&[u8]], max: usize) -> Result<Option<Bytes>, tonic::Code> {
        let mut assembly = Assembly::default();
        for piece in pieces {
            assembly.add(Bytes::copy_from_slice(piece), max).map_err(|status| status.code())?;
        }
        assembly.finish().map_err(|status| status.code())
    }

    /// However a message is cut into pieces, it is the same; whatever else a body is, it is refused.
    #[test]
    fn a_body_is_one_message() {
        let body = [0, 0, 0, 0, 3, b'a', b'b', b'c'];
        let message = Ok(Some(Bytes::from_static(b"abc")));
        assert_eq!(assembled(&[&body], 3), message);
        for cut in 1..body.len() {
            assert_eq!(assembled(&[&body[..cut], &body[cut..]], 3), message, "cut at {cut}");
            assert_eq!(assembled(&[&body[..cut]], 3), Err(tonic::Code::Internal), "ends at {cut}");
        }
        assert_eq!(assembled(&[], 3), Ok(None));
        assert_eq!(assembled(&[&[0; PREFIX]], 3), Ok(Some(Bytes::new())));
        assert_eq!(assembled(&[&body], 2), Err(tonic::Code::OutOfRange));
        assert_eq!(assembled(&[&body, b"d"], 9), Err(tonic::Code::Internal));
        assert_eq!(assembled(&[&[1, 0, 0, 0, 0]], 9), Err(tonic::Code::Unimplemented));
    }

    fn streamed(pieces: &[&[u8]], max: usize) -> Result<(Vec<Bytes>, bool), tonic::Code> {
        let (mut stream, mut messages) = (Pieces::default(), Vec::new());
        for piece in pieces {
            stream.add(Bytes::copy_from_slice(piece));
            while let Some(message) = stream.next(max).map_err(|status| status.code())? {
                messages.push(message);
            }
        }
        Ok((messages, stream.is_empty()))
    }

    /// However messages are cut into pieces, they are the same, and what is no message is refused.
    #[test]
    fn a_stream_is_its_messages() {
        let body = [0, 0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'd'];
        let messages: Vec<Bytes> = vec!["abc".into(), "".into(), "d".into()];
        for cut in 0..body.len() {
            for other in cut..body.len() {
                let pieces = [&body[..cut], &body[cut..other], &body[other..]];
                assert_eq!(streamed(&pieces, 3), Ok((messages.clone(), true)), "{cut}, {other}");
            }
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(streamed(&bytes, 3), Ok((messages.clone(), true)));
        assert_eq!(streamed(&[&body[..18]], 3), Ok((messages[..2].to_vec(), false)));
        assert_eq!(streamed(&[&body], 2), Err(tonic::Code::OutOfRange));
        assert_eq!(streamed(&[&[1, 0, 0, 0, 0]], 9), Err(tonic::Code::Unimplemented));
    }
}
