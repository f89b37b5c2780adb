// Light or dark: as the system has it, until somebody chooses.

import { byId } from "./dom.js";
import { keep, kept } from "./store.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const WORDS = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

export function startTheme() {
  show(kept("theme", "system"));
  byId("theme-button").addEventListener("click", () => {
    const theme = NEXT[kept("theme", "system")] ?? "light";
    keep("theme", theme);
    show(theme);
  });
}

function show(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme-button").textContent = WORDS[theme] ?? WORDS.system;
}
