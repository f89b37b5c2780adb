// What this page cannot draw says so by its name.

import { h } from "./dom.js";

export function unknown(what, type) {
  return h("span", { class: "unknown" }, `unknown ${what} type: ${type}`);
}
