//! Plots and the web page: queries drawn with plotters, the embedded user interface.

pub mod render;
pub mod ui;
