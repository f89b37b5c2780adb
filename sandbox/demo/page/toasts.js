// Short sentences at the edge of the page, and words for screen readers alone.

import { byId, h } from "./dom.js";

const SHOWN_MS = 8000;
const MOST_SPOKEN = 20;

export function toast(text) {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Dismiss" }, "✕");
  const shown = h("div", { class: "toast" }, h("p", null, text), close);
  const timer = setTimeout(() => shown.remove(), SHOWN_MS);
  close.addEventListener("click", () => {
    clearTimeout(timer);
    shown.remove();
  });
  byId("toasts").append(shown);
}

/** Let screen readers say `text` when they have time. */
export function announce(text) {
  const log = byId("announcer");
  log.append(h("p", null, text));
  while (log.children.length > MOST_SPOKEN) log.firstElementChild.remove();
}
