#include "palette.h"

const char *const board_ink[BOARD_COLOURS_N] = {
    "#1d2320", "#7a8580", "#d92d20", "#e8740c", "#e3b505", "#2b9a3e",
    "#0b7f79", "#2f6fe0", "#7a4be0", "#d6409f", "#8a5a3c", "#ffffff",
};
const char *const board_soft[BOARD_COLOURS_N] = {
    "#e6e9e6", "#eceeed", "#fcdcd7", "#fde3cc", "#fff0b3", "#d6f0d9",
    "#d0eeea", "#d9e6fd", "#e6dcfd", "#fad9ec", "#efe2d8", "#ffffff",
};
