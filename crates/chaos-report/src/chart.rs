//! Pictures as SVG, drawn here: text that can be selected, printed and compared.

pub(crate) mod close_ups;
pub(crate) mod curves;
mod frame;
mod lanes;
mod load;
pub(crate) mod palette;
pub(crate) mod timeline;
