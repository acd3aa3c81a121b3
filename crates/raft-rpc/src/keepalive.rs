//! Whether somebody is still at the other end of a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

/// When the other end is asked whether it is there, and how long it may take to say so.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// From one answer to the next question.
    pub interval: Duration,
    /// How long the answer may take.
    pub patience: Duration,
}

/// Asks again and again.
#[derive(Debug)]
pub(crate) struct Pinger {
    pings: PingPong,
    rule: KeepAlive,
    /// When to ask, or when to give up.
    next: Pin<Box<Sleep>>,
    asked: bool,
}

impl Pinger {
    pub(crate) fn new(pings: PingPong, rule: KeepAlive) -> Self {
        Self { pings, rule, next: Box::pin(tokio::time::sleep(rule.interval)), asked: false }
    }

    /// Ready once the other end has kept silent for too long, or the connection is gone.
    pub(crate) fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.asked {
                match self.pings.poll_pong(context) {
                    Poll::Ready(Ok(_pong)) => {
                        self.asked = false;
                        self.next.as_mut().reset(Instant::now() + self.rule.interval);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.next.as_mut().poll(context),
                }
            }
            if self.next.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.pings.send_ping(Ping::opaque()).is_err() {
                return Poll::Ready(());
            }
            self.asked = true;
            self.next.as_mut().reset(Instant::now() + self.rule.patience);
        }
    }
}
