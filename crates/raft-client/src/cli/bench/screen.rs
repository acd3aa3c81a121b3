//! A run on the whole screen: how fast, how slow, and when nothing came through.
//!
//! It only shows: no key is read, and the signals mean what they always do.

use std::convert::Infallible;
use std::io::{self, Stderr};
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

impl Screen {
    pub(super) fn open(title: String) -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
        execute!(io::stderr(), EnterAlternateScreen, Hide)?;
        Ok(Self { terminal, view: View { title, ..View::default() } })
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

impl Drop for Screen {
    fn drop(&mut self) {
        drop(execute!(io::stderr(), Show, LeaveAlternateScreen));
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
        let [head, gauge, speed, map, latency, leaders] = Layout::vertical([
            Constraint::Length(4),
            Constraint::Length(1),
            Constraint::Length(7),
            Constraint::Length(3),
            Constraint::Min(6),
            Constraint::Length(3),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(now, before), head);
        let done =
            Gauge::default().ratio(part(now, goal)).gauge_style(Style::new().fg(Color::Cyan));
        frame.render_widget(done, gauge);
        frame.render_widget(throughput(now, speed), speed);
        frame.render_widget(availability(now, map), map);
        self.latencies(frame, latency, now.elapsed.as_secs_f64());
        frame.render_widget(self.reigns(leaders), leaders);
    }

    fn head(&self, now: &Progress, before: &Progress) -> Paragraph<'_> {
        let counts = format!(
            "{:.1} s   ok {}   failed {}   unknown {}   retried {}   {} op/s",
            now.elapsed.as_secs_f64(),
            now.ok,
            now.failed,
            now.unknown,
            now.retries,
            rate(now, before),
        );
        let recent = now.recent.map_or_else(String::new, |recent| {
            let [p50, p99, max] = recent.map(millis);
            format!("p50 {p50}   p99 {p99}   max {max} ms   ")
        });
        let rest = format!("{recent}in flight {}", now.in_flight);
        let silent = Span::styled(silence(now), Style::new().fg(Color::Red));
        let lines = vec![Line::from(counts), Line::from(vec![Span::raw(rest), silent])];
        Paragraph::new(lines)
            .block(Block::bordered().title(format!(" raft-bench  {} ", self.title)))
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

    /// However small the window is, and however little there is to show.
    #[test]
    fn any_window_will_do() {
        for (width, height) in [(80, 24), (20, 10), (1, 1), (300, 3)] {
            drawn(&Progress::default(), width, height);
        }
    }
}
