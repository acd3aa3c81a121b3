//! What the words of the report mean.

use clap::ValueEnum;

/// What can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Topic {
    /// Coordinated omission, and the rows of a latency.
    Co,
    /// Outages and availability.
    Outage,
    /// The table of failovers.
    Failover,
    /// The three outcomes.
    Outcome,
    /// What --verify finds.
    Verify,
    /// Processor time, and what of a latency is the way.
    Cost,
}

const CO: &str = "\
co
  Without --rate the loop is closed: a worker sends nothing while it waits. An outage of a second is
  then seen by as many operations as there are workers, out of hundreds of thousands, and no
  percentile shows it. (\"Coordinated omission\", Gil Tene.)

  put         what was measured.
  corrected   an ESTIMATE of what users would have seen who do not wait for each other: for every
              operation that took longer than the median, those are added that could have been sent
              meanwhile, each waiting a median less (HdrHistogram's correction). What was never
              answered is in it with the time that it waited until it was given up.
  steady      what was measured without the slices of time within 2 s of an outage or a fault.
  service     with --rate: from the first attempt to the answer. The rows above count from when the
              operation was due, which is what a user feels; nothing is corrected there.
  sent late   with --rate: between when an operation was due and when it was sent.
  ~           fewer than ten values lie above: the figure is a matter of chance.
";

const OUTAGE: &str = "\
outage
  A time in which somebody waited and nothing was done: at least --gaps-from (100 ms), and at least
  20 times the median time between two operations. Refusals (a value too large) are answers, and no
  outage. Writes and reads are watched apart. Somebody waits from the moment an operation is sent:
  what it waited before, for a free worker of an open loop, is in its latency alone.
  available   the part of the run that was no outage.
  stood still this program did not run: stopped, starved, or asleep with its machine. That is no
              outage, and no part of a latency.
";

const FAILOVER: &str = "\
failover
  A change of the leader, or of its term, as the answers tell.
  at          when the leader was lost: the fault, if a chaos run reports one, else the last
              operation that it did.
  detect      from there to the first attempt that failed; - if none did.
  elect       from there to the first answer that told of the new term.
  redirect    from there to the first operation that was done.
  outage      the time without an operation that was done.
  retries     attempts that failed in it.
";

const OUTCOME: &str = "\
outcome
  ok          it was done, once.
  failed      it was not done, and never will be.
  unknown     it may have been done: its time was up before an answer came. Only writes end so.
  retried     attempts after the first ones. A session makes a repeated write take effect once.
  dropped     with --rate: it was due, and its time was up before anybody could send it.
";

const VERIFY: &str = "\
verify
  Each worker writes to keys of its own. Afterwards everything is read back, linearizably.
  lost          an acknowledged write is not there; or, of puts, an older value is.
  applied twice a write is there more than once (of appends; of puts it cannot be seen).
  stale or wrong  a get in the run that did not find what had to be there.
  A write of unknown outcome may be there or not.
";

const COST: &str = "\
cost
  cpu us/op   processor time of the run, divided by the operations that were done: of this program,
              and of the nodes that ran on this machine from the beginning to the end. A client that
              uses more than the leader does measures itself.
  empty trip  with --calibrate: requests that the leader answers at once, sent before the run by as
              many workers. Subtract it to know what a latency is without the way there and back.
";

pub(super) fn text(topic: Option<Topic>) -> String {
    let one = |topic: &Topic| match topic {
        Topic::Co => CO,
        Topic::Outage => OUTAGE,
        Topic::Failover => FAILOVER,
        Topic::Outcome => OUTCOME,
        Topic::Verify => VERIFY,
        Topic::Cost => COST,
    };
    match topic {
        Some(topic) => one(&topic).to_owned(),
        None => Topic::value_variants().iter().map(one).collect::<Vec<_>>().join("\n"),
    }
}
