// Everything by keyboard: single keys outside of text fields, F6 anywhere.

import { openNew } from "./customers.js";
import { byId, h } from "./dom.js";
import { closeThread, writeInChannel } from "./slack.js";
import { choose, keep, kept } from "./store.js";

const PANES = ["customers", "slack", "wire"];
const KEYS = [
  ["n", "New message from a customer", () => openNew()],
  ["/", "Type a slash command in Slack", () => writeInSlack()],
  ["c", "To the customers", () => goTo("customers")],
  ["s", "To Slack", () => goTo("slack")],
  ["w", "To the wire", () => goTo("wire")],
  ["?", "These keys", () => showKeys()],
];
const ALWAYS = [
  ["F6", "To the next pane (Shift F6: the one before)"],
  ["Enter", "Send what you wrote (Shift Enter: a new line)"],
  ["Esc", "Close the thread"],
];

export function startKeys() {
  byId("keys-button").addEventListener("click", showKeys);
  document.addEventListener("keydown", (event) => {
    if (event.key === "F6") {
      event.preventDefault();
      return goOn(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape" && byId("thread").contains(event.target) && !isInMenu(event)) return closeThread();
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target) || byId("keys").open) return;
    const known = kept("single-keys") === "off" ? null : KEYS.find(([key]) => key === event.key);
    if (!known) return;
    event.preventDefault();
    known[2]();
  });
}

const isWriting = (target) => target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
const isInMenu = (event) => event.target.closest("[popover], .edit") !== null;

export function goTo(pane) {
  choose({ pane });
  byId(pane).focus();
}

function goOn(step) {
  const here = PANES.findIndex((pane) => byId(pane).contains(document.activeElement));
  const from = here < 0 ? (step > 0 ? -1 : 0) : here;
  goTo(PANES[(from + step + PANES.length) % PANES.length]);
}

function writeInSlack() {
  choose({ pane: "slack" });
  writeInChannel("/");
}

function showKeys() {
  const dialog = byId("keys");
  const single = h("input", {
    type: "checkbox",
    checked: kept("single-keys") !== "off",
    onchange: (event) => keep("single-keys", event.target.checked ? null : "off"),
  });
  dialog.replaceChildren(
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", null, [...ALWAYS, ...KEYS].map(([key, words]) => [h("dt", null, h("kbd", null, key)), h("dd", null, words)])),
    h("label", { class: "also" }, single, h("span", null, "Single keys work outside of text fields")),
    h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"),
  );
  dialog.showModal();
}
