/* Before the first paint, so that nothing flashes: the theme that was chosen, if one was. */
"use strict";
try {
  const theme = localStorage.getItem("kith.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  /* storage is off: the system's theme holds */
}
