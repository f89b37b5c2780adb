// A button that opens a list of choices: for Slack's menus and for what can be done with a line.

import { h } from "./dom.js";

/** `choices` are `{ value, label }`; `pick` is called with the value. */
export function menu(label, choices, pick, { focus, action, quiet = false, name } = {}) {
  const box = h("div", { popover: "auto", class: "menu", role: "menu" });
  for (const { value, label: words } of choices) {
    const choose = () => {
      box.hidePopover();
      pick(value);
    };
    box.append(h("button", { type: "button", role: "menuitem", tabindex: "-1", onclick: choose }, words));
  }
  if (choices.length === 0) box.append(h("p", { class: "hint" }, "Nothing to choose from"));
  const opener = h(
    "button",
    {
      type: "button",
      class: quiet ? "quiet" : "slack-button select",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-label": name,
      dataset: { focus, action },
    },
    label,
  );
  opener.popoverTargetElement = box;
  box.addEventListener("toggle", (event) => opened(opener, box, event.newState === "open"));
  box.addEventListener("keydown", (event) => moved(box, event));
  return h("span", { class: "menu-place" }, opener, box);
}

function opened(opener, box, isOpen) {
  opener.setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) return;
  const at = opener.getBoundingClientRect();
  const room = box.getBoundingClientRect();
  const below = at.bottom + 4 + room.height <= innerHeight;
  box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - room.width - 8))}px`;
  box.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - room.height - 4)}px`;
  box.querySelector("[role=menuitem]")?.focus();
}

function moved(box, event) {
  const items = [...box.querySelectorAll("[role=menuitem]")];
  const here = items.indexOf(document.activeElement);
  const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next === undefined) {
    if (event.key === "Tab") box.hidePopover();
    return;
  }
  event.preventDefault();
  items.at(next % items.length)?.focus();
}
