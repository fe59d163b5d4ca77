//! Plots and the web page: queries drawn with plotters, the embedded user interface.
