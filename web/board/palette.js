// The twelve colours: how each is drawn, and its soft shade for areas, by day and at night. The operations know numbers only.
export const COLOURS = ["ink", "grey", "red", "orange", "yellow", "green", "teal", "blue", "violet", "pink", "brown", "paper"];

const LIGHT = {
  paper: "#ffffff",
  ink: ["#1d2320", "#7a8580", "#d92d20", "#e8740c", "#e3b505", "#2b9a3e", "#0b7f79", "#2f6fe0", "#7a4be0", "#d6409f", "#8a5a3c", "#ffffff"],
  soft: ["#e6e9e6", "#eceeed", "#fcdcd7", "#fde3cc", "#fff0b3", "#d6f0d9", "#d0eeea", "#d9e6fd", "#e6dcfd", "#fad9ec", "#efe2d8", "#ffffff"],
};
const DARK = {
  paper: "#151a18",
  ink: ["#eef1ef", "#9aa5a0", "#ff6b5e", "#ff9a4d", "#ffd84d", "#5fce74", "#4fd0c4", "#6da2ff", "#a98bff", "#ff83c9", "#c99b7c", "#151a18"],
  soft: ["#39423e", "#2d3431", "#552824", "#55381e", "#50451a", "#23482c", "#1a4843", "#243c68", "#3b306a", "#592a4a", "#46382e", "#151a18"],
};

export const theme = (dark) => (dark ? DARK : LIGHT);
export const HIGHLIGHT_OPACITY = 0.35;
