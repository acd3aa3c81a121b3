//! Colours that people with any eyes tell apart (after Okabe and Ito), each with a second sign: a
//! letter, a pattern or a dash. The colours themselves are in `page.css`, for light and for dark.

use crate::run::states::Mode;
use crate::text::{put, px};

/// Kinds that are told apart by colour and dash. More begin again.
pub(crate) const CURVES: usize = 6;

/// The class of a curve.
pub(crate) fn curve(place: usize) -> String {
    format!("k{}", place % CURVES)
}

/// The patterns of nodes that do not work, for a drawing in which a unit across is `unit` pixels
/// wide: those of the timeline are stretched with it.
pub(crate) fn patterns(out: &mut String, prefix: &str, unit: f64) {
    let stripes = [
        // Slanted, upright, and dots: told apart without colour too.
        (Mode::Down, "M.7 0H1V.3L.3 1H0V.7ZM0 0H.3L0 .3ZM1 1V.7L.7 1Z"),
        (Mode::Paused, "M0 0H.4V1H0Z"),
        (Mode::Silent, "M.1 .1H.5V.5H.1ZM.6 .6H1V1H.6Z"),
    ];
    for (mode, path) in stripes {
        let word = mode.word();
        let wide = px(7.0 * unit);
        put!(
            out,
            "<pattern id=\"{prefix}{word}\" width=\"{wide}\" height=\"7\" \
             patternUnits=\"userSpaceOnUse\"><rect class=\"{word}\" width=\"{wide}\" height=\"7\"/>\
             <path class=\"{word}-sign\" transform=\"scale({wide} 7)\" d=\"{path}\"/></pattern>"
        );
    }
}

/// How to fill what is `mode`.
pub(crate) fn fill(mode: Mode, prefix: &str) -> String {
    match mode {
        Mode::Down | Mode::Paused | Mode::Silent => {
            format!("fill=\"url(#{prefix}{})\"", mode.word())
        }
        Mode::Leader | Mode::Follower | Mode::Candidate | Mode::Learner | Mode::Other => {
            format!("class=\"{}\"", mode.word())
        }
    }
}
