//! A run on the whole screen: how fast, how slow, and when nothing came through.
//!
//! A panic takes the screen away as well, so that its message is seen and the shell is as before.

use std::convert::Infallible;
use std::io::{self, Stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_client::bench::Progress;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph, Sparkline,
};
use ratatui::{Frame, Terminal};
use tokio::time::{MissedTickBehavior, interval};

use super::keys::Keys;
use super::live::{Goal, millis, part, rate, silence};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(250);

/// Seconds of latencies that are shown.
const WINDOW_S: f64 = 60.0;

/// Tenths of a second in one cell of the map of availability.
const CELL: usize = 5;

/// The terminal, on its other screen. Gives the first one back when it goes.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    view: View,
}

/// What is shown, besides the present progress.
#[derive(Default)]
struct View {
    title: String,
    /// Seconds since the start, with the milliseconds of half of the operations and of 99 %.
    p50: Vec<(f64, f64)>,
    p99: Vec<(f64, f64)>,
    /// When which leaders were seen first.
    leaders: Vec<(f64, u64, u64)>,
}

/// Whether the other screen is shown.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    pub(super) fn open(title: String, keys: Option<&Keys>) -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
        let (before, restore) = (std::panic::take_hook(), keys.and_then(Keys::restore));
        std::panic::set_hook(Box::new(move |panic| {
            if IS_OPEN.load(Ordering::Relaxed) {
                close();
                if let Some(restore) = &restore {
                    restore.restore();
                }
            }
            before(panic);
        }));
        IS_OPEN.store(true, Ordering::Relaxed);
        let screen = Self { terminal, view: View { title, ..View::default() } };
        execute!(io::stderr(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Shows the progress until it is dropped.
    pub(super) async fn show(mut self, watch: impl Fn() -> Progress, goal: Goal) -> Infallible {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut before = Progress::default();
        loop {
            ticks.tick().await;
            let now = watch();
            self.view.learn(&now);
            // Nobody to see it is no reason to stop.
            drop(self.terminal.draw(|frame| self.view.draw(frame, &now, &before, goal)));
            before = now;
        }
    }
}

/// Shows the first screen again.
fn close() {
    if IS_OPEN.swap(false, Ordering::Relaxed) {
        drop(execute!(io::stderr(), Show, LeaveAlternateScreen));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        close();
    }
}

impl View {
    fn learn(&mut self, now: &Progress) {
        let at = now.elapsed.as_secs_f64();
        if let Some([p50, p99, _]) = now.recent {
            self.p50.push((at, as_millis(p50)));
            self.p99.push((at, as_millis(p99)));
            for points in [&mut self.p50, &mut self.p99] {
                points.retain(|(when, _)| at - WINDOW_S <= *when);
            }
        }
        if let Some((leader, term)) = now.leader
            && self.leaders.last().is_none_or(|(_, _, last)| *last < term)
        {
            self.leaders.push((at, leader, term));
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, now: &Progress, before: &Progress, goal: Goal) {
        let area = frame.area();
        if area.width < 80 || area.height < 24 {
            return self.draw_small(frame, now, before, goal);
        }
        let [head, gauge, speed, map, latency, leaders] = Layout::vertical([
            Constraint::Length(5),
            Constraint::Length(1),
            Constraint::Length(7),
            Constraint::Length(3),
            Constraint::Min(5),
            Constraint::Length(3),
        ])
        .areas(area);
        frame.render_widget(self.head(now, before), head);
        frame.render_widget(progress_bar(now, goal), gauge);
        frame.render_widget(throughput(now, speed), speed);
        frame.render_widget(availability(now, map), map);
        self.latencies(frame, latency, now.elapsed.as_secs_f64());
        frame.render_widget(self.reigns(leaders), leaders);
    }

    /// In 40 columns and 10 lines there are all figures, and what else fits below them.
    fn draw_small(&self, frame: &mut Frame<'_>, now: &Progress, before: &Progress, goal: Goal) {
        let figures = self.figures(now, before);
        let height = u16::try_from(figures.len()).unwrap_or(u16::MAX);
        let left = frame.area().height.saturating_sub(height + 1);
        let [figures_at, gauge, map, speed, _] = Layout::vertical([
            Constraint::Length(height),
            Constraint::Length(1),
            Constraint::Length(if left < 3 { 0 } else { 3 }),
            Constraint::Length(if left < 7 { 0 } else { 4 }),
            Constraint::Fill(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(figures), figures_at);
        frame.render_widget(progress_bar(now, goal), gauge);
        frame.render_widget(availability(now, map), map);
        frame.render_widget(throughput(now, speed), speed);
    }

    /// The figures in narrow lines.
    fn figures(&self, now: &Progress, before: &Progress) -> Vec<Line<'static>> {
        let (at, speed) = (now.elapsed.as_secs_f64(), rate(now, before));
        let recent = now.recent.map_or_else(String::new, |recent| {
            let [p50, p99, max] = recent.map(millis);
            format!("p50 {p50}  p99 {p99}  max {max} ms")
        });
        let leader =
            now.leader.map_or_else(String::new, |(node, term)| format!("  leader n{node} t{term}"));
        vec![
            Line::from(format!("{}  {at:.0} s  q ends", self.title)),
            Line::from(format!("ok {}  {speed} op/s", now.ok)),
            Line::from(format!("failed {}  unknown {}", now.failed, now.unknown)),
            Line::from(format!("retried {}  in flight {}", now.retries, now.in_flight)),
            Line::from(recent),
            Line::from(leader.trim_start().to_owned()),
            alarm(now),
        ]
    }

    fn head(&self, now: &Progress, before: &Progress) -> Paragraph<'_> {
        let (at, speed) = (now.elapsed.as_secs_f64(), rate(now, before));
        let counts = format!(
            "{at:.1} s   ok {}   failed {}   unknown {}   retried {}",
            now.ok, now.failed, now.unknown, now.retries,
        );
        let recent = now.recent.map_or_else(String::new, |recent| {
            let [p50, p99, max] = recent.map(millis);
            format!("p50 {p50}   p99 {p99}   max {max} ms   ")
        });
        let rest = format!("{speed} op/s   {recent}in flight {}", now.in_flight);
        let lines = vec![Line::from(counts), Line::from(rest), alarm(now)];
        Paragraph::new(lines)
            .block(Block::bordered().title(format!(" raft-bench  {}   q ends ", self.title)))
    }

    fn latencies(&self, frame: &mut Frame<'_>, area: Rect, now: f64) {
        let highest = self.p99.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        let begins = (now - WINDOW_S).max(0.0);
        let line = |name: &'static str, points, color| {
            Dataset::default()
                .name(name)
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(color))
                .data(points)
        };
        let lines =
            vec![line("p50", &self.p50, Color::Green), line("p99", &self.p99, Color::Yellow)];
        let seconds = [begins, now.max(1.0)];
        let chart = Chart::new(lines)
            .block(Block::bordered().title(" latency, ms "))
            .legend_position(Some(LegendPosition::TopLeft))
            .x_axis(Axis::default().bounds(seconds).labels(seconds.map(|at| format!("{at:.0} s"))))
            .y_axis(
                Axis::default()
                    .bounds([0.0, highest])
                    .labels(["0".into(), format!("{highest:.0}")]),
            );
        frame.render_widget(chart, area);
    }

    /// The leaders, the latest ones last.
    fn reigns(&self, area: Rect) -> Paragraph<'_> {
        let one =
            |(at, leader, term): &(f64, u64, u64)| format!("{at:.1} s n{leader} (term {term})");
        let mut all: Vec<String> = self.leaders.iter().map(one).collect();
        while 1 < all.len() && width_of(&all) + 2 > usize::from(area.width) {
            all.remove(0);
        }
        Paragraph::new(all.join("  ")).block(Block::bordered().title(" leaders "))
    }
}

fn progress_bar(now: &Progress, goal: Goal) -> Gauge<'static> {
    Gauge::default().ratio(part(now, goal)).gauge_style(Style::new().fg(Color::Cyan))
}

/// What must not be overlooked: that nothing is done, or that nothing new is begun.
fn alarm(now: &Progress) -> Line<'static> {
    let text = match (now.ending && !now.reading_back, now.in_flight) {
        (false, _) => silence(now).trim_start().to_owned(),
        (true, 0) => "ending".to_owned(),
        (true, left) => format!("ending: waits for {left}, q gives up"),
    };
    Line::from(Span::styled(text, Style::new().fg(Color::Red)))
}

fn width_of(all: &[String]) -> usize {
    all.iter().map(|one| one.len() + 2).sum()
}

/// Operations in each half second, as many as fit.
fn throughput(now: &Progress, area: Rect) -> Sparkline<'_> {
    let cells: Vec<u64> =
        cells(now).iter().map(|cell| cell.iter().map(|it| u64::from(*it)).sum()).collect();
    let shown = cells.len().saturating_sub(usize::from(area.width.saturating_sub(2)));
    let most = cells.iter().max().copied().unwrap_or(0) * 10 / CELL as u64;
    Sparkline::default()
        .data(cells[shown..].to_vec())
        .style(Style::new().fg(Color::Cyan))
        .block(Block::bordered().title(format!(" op/s in each half second, up to {most} ")))
}

/// Whether something was done in each half second: all of it, a part, or nothing.
fn availability(now: &Progress, area: Rect) -> Paragraph<'_> {
    let cells = cells(now);
    let shown = cells.len().saturating_sub(usize::from(area.width.saturating_sub(2)));
    let mark = |cell: &[u32]| match cell.iter().filter(|count| **count == 0).count() {
        0 => Span::styled("#", Style::new().fg(Color::Green)),
        silent if silent < cell.len() => Span::styled(".", Style::new().fg(Color::Yellow)),
        _ => Span::styled("X", Style::new().fg(Color::Red)),
    };
    let marks: Vec<Span<'_>> = cells[shown..].iter().map(|cell| mark(cell)).collect();
    let title = " availability  # ok  . part outage  X none ";
    Paragraph::new(Line::from(marks)).block(Block::bordered().title(title))
}

/// The run in half seconds, up to now: in what nobody did anything, nothing is counted.
fn cells(now: &Progress) -> Vec<Vec<u32>> {
    let tenths = usize::try_from(now.elapsed.as_millis() / 100).unwrap_or(0);
    let mut slots = now.slots.clone();
    slots.resize(tenths.max(slots.len()), 0);
    slots.chunks_exact(CELL).map(<[u32]>::to_vec).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a point of a chart")]
fn as_millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(now: &Progress, width: u16, height: u16) -> String {
        let mut view = View { title: "demo".into(), ..View::default() };
        view.learn(now);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let goal = Goal { requests: None, duration: Some(Duration::from_secs(10)) };
        let before = Progress::default();
        terminal.draw(|frame| view.draw(frame, now, &before, goal)).unwrap();
        terminal.backend().to_string()
    }

    /// Three seconds, the last of which nobody was served.
    #[test]
    fn an_outage_is_seen() {
        let now = Progress {
            elapsed: Duration::from_secs(3),
            ok: 2000,
            in_flight: 10,
            leader: Some((3, 2)),
            recent: Some([1_700_000, 3_200_000, 48_400_000]),
            silence: Duration::from_secs(1),
            slots: vec![100; 20],
            ..Progress::default()
        };
        let screen = drawn(&now, 80, 30);
        for part in ["demo", "ok 2000", "####XX", "p50 1.70", "n3 (term 2)", "30%"] {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
        assert!(screen.contains("nothing acknowledged for 1.0 s"), "{screen}");
    }

    /// In a small window there are at least the figures.
    #[test]
    fn a_small_window_has_the_figures() {
        let now = Progress {
            elapsed: Duration::from_mins(10),
            ok: 12_345_678,
            failed: 1234,
            unknown: 1235,
            retries: 1_236_000,
            in_flight: 4096,
            leader: Some((12, 3456)),
            recent: Some([1_700_000, 3_200_000, 29_948_400_000]),
            silence: Duration::from_secs(100),
            slots: vec![9000; 6000],
            ..Progress::default()
        };
        let figures = [
            "demo  600 s  q ends",
            "ok 12345678 ",
            "20576 op/s",
            "failed 1234  unknown 1235",
            "retried 1236000  in flight 4096",
            "p50 1.70  p99 3.20  max 29948 ms",
            "leader n12 t3456",
            "nothing acknowledged for 100.0 s",
        ];
        for (width, height) in [(40, 10), (80, 10), (40, 24), (79, 23)] {
            let screen = drawn(&now, width, height);
            for part in figures {
                assert!(screen.contains(part), "{width}x{height}: {part} in\n{screen}");
            }
            assert_eq!(screen.contains(" op/s in each"), 14 < height, "{screen}");
        }
        let ending = Progress { ending: true, ..now };
        for (width, height) in [(40, 10), (80, 24)] {
            let screen = drawn(&ending, width, height);
            assert!(screen.contains("ending: waits for 4096, q gives up"), "{screen}");
        }
    }

    /// However small the window is, and however little there is to show.
    #[test]
    fn any_window_will_do() {
        for (width, height) in [(80, 24), (20, 10), (1, 1), (300, 3)] {
            drawn(&Progress::default(), width, height);
        }
    }
}
