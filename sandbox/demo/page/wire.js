// The right pane, below: every request between the bridge and its two ends, newest first.

import { byId, h, list } from "./dom.js";
import { changed } from "./store.js";
import { clockWithSeconds } from "./words.js";

const MOST = 400;
const FAULTS = { status: "by the switch", cut_after: "cut after effect", duplicate: "in copies" };
const entries = new Map();
const view = { paused: null, from: 0, text: "", only: "all" };
const parts = {};

export function startWire() {
  const filter = h("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter requests by words",
    oninput: (event) => set({ text: event.target.value.trim().toLowerCase() }),
  });
  const only = h(
    "select",
    { "aria-label": "Which requests", onchange: (event) => set({ only: event.target.value }) },
    h("option", { value: "all" }, "All"),
    h("option", { value: "jollor" }, "Jollor"),
    h("option", { value: "slack" }, "Slack"),
    h("option", { value: "trouble" }, "Trouble"),
  );
  const pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: togglePause }, "Pause");
  const clear = h("button", { type: "button", class: "quiet", onclick: () => set({ from: newest() }) }, "Clear");
  const rows = h("ol", { class: "entries", "aria-label": "Requests, newest first", reversed: true });
  const empty = h("p", { class: "hint empty" });
  byId("wire-log").append(h("div", { class: "wire-tools" }, filter, only, pause, clear), rows, empty);
  Object.assign(parts, { pause, rows, empty });
}

/** Take what the live stream brought: new requests, or the end of known ones. */
export function takeEntries(news) {
  for (const entry of news) entries.set(entry.number, entry);
  for (const number of entries.keys()) {
    if (entries.size <= MOST) break;
    entries.delete(number);
  }
}

export function forgetEntries() {
  entries.clear();
  Object.assign(view, { paused: null, from: 0 });
}

export function renderWire() {
  const known = [...entries.values()].toSorted((one, other) => other.number - one.number);
  const shown = known.filter((entry) => entry.number > view.from && entry.number <= (view.paused ?? Infinity));
  const wanted = shown.filter(isWanted);
  list(parts.rows, wanted, (entry) => entry.number, (entry) => JSON.stringify(entry), row);
  const waiting = view.paused === null ? 0 : known.filter((entry) => entry.number > view.paused).length;
  parts.pause.textContent = view.paused === null ? "Pause" : waiting ? `Go on (${waiting})` : "Go on";
  parts.pause.setAttribute("aria-pressed", String(view.paused !== null));
  parts.empty.textContent = wanted.length ? "" : shown.length ? "Nothing fits the filter." : "Nothing yet.";
}

function isWanted(entry) {
  if (view.only === "trouble" ? !isTrouble(entry) : view.only !== "all" && entry.end !== view.only) return false;
  return !view.text || [entry.operation, entry.path, entry.request, entry.fault].join(" ").toLowerCase().includes(view.text);
}

const isTrouble = (entry) => entry.finished && (entry.fault !== null || entry.status === null || entry.status >= 400);
const newest = () => Math.max(0, ...entries.keys());

function set(changes) {
  Object.assign(view, changes);
  changed();
}

function togglePause() {
  set({ paused: view.paused === null ? newest() : null });
}

function row(entry) {
  const { word, kind } = outcome(entry);
  return h(
    "li",
    { class: `entry ${entry.end} ${kind}`, dataset: { operation: entry.operation } },
    h(
      "details",
      null,
      h(
        "summary",
        { dataset: { focus: `wire:${entry.number}` } },
        h(
          "span",
          { class: "first" },
          h("span", { class: "operation" }, entry.operation),
          entry.fault && h("span", { class: "fault" }, FAULTS[entry.fault] ?? entry.fault.replaceAll("_", " ")),
          h("span", { class: "status" }, word),
        ),
        h(
          "span",
          { class: "second" },
          h("span", { class: "route" }, `${entry.source} → ${entry.target}`),
          h("time", { datetime: entry.at }, clockWithSeconds(new Date(entry.at))),
          h("span", { class: "ms" }, entry.finished ? `${Math.round(entry.ms)} ms` : ""),
        ),
      ),
      h("p", { class: "path" }, `${entry.method} ${entry.path.replace(/^https?:\/\/[^/]+/, "")}`),
      excerpt("Request", entry.request),
      excerpt("Answer", entry.response),
    ),
  );
}

function outcome(entry) {
  if (!entry.finished) return { word: "…", kind: "open" };
  if (entry.status === null) return { word: "no answer", kind: "bad" };
  return { word: String(entry.status), kind: entry.status < 400 ? "good" : "bad" };
}

function excerpt(title, text) {
  return text && [h("p", { class: "hint" }, title), h("pre", null, text)];
}
