// The right pane, above: the bridge's process, and everything that can go wrong at the push of a button.

import { act } from "./api.js";
import { byId, h, list, one } from "./dom.js";
import { menu } from "./menu.js";
import { openChannel } from "./slack.js";
import { server } from "./store.js";

const STATES = { running: "running", starting: "starting …", stopped: "stopped" };

export function renderTroubles() {
  if (!server.bridge || !server.troubles || !server.setting) return;
  renderPill();
  const { state, pid, ended } = server.bridge;
  one(byId("bridge-card"), JSON.stringify([state, pid, ended]), bridgeCard);
  renderLog();
  const { switches, buttons } = server.troubles;
  const all = [...switches, ...buttons];
  list(byId("switches"), all, (each) => each.id, (each) => JSON.stringify(each), (each) => ("on" in each ? toggle(each) : button(each)));
}

function renderPill() {
  const pill = byId("bridge-pill");
  const { state } = server.bridge;
  const on = server.troubles.switches.filter((each) => each.on).length;
  const words = `Bridge ${STATES[state]}` + (on ? ` · ${on} ${on === 1 ? "fault" : "faults"} on` : "");
  if (pill.textContent === words) return;
  pill.textContent = words;
  pill.className = `pill ${state} ${on ? "troubled" : ""}`;
}

function bridgeCard() {
  const { state, pid, ended } = server.bridge;
  const isStopped = state === "stopped";
  return h(
    "div",
    { class: `process ${state}`, dataset: { state } },
    h("div", null, h("strong", null, `The bridge is ${STATES[state]}`), h("p", { class: "hint" }, isStopped ? ended : `process ${pid}`)),
    h(
      "button",
      {
        type: "button",
        class: isStopped ? "primary small" : "danger small",
        dataset: { focus: "bridge-act" },
        title: isStopped ? "The same database, the same address" : "SIGKILL, in the middle of whatever it does",
        onclick: () => act("bridge", { act: isStopped ? "start" : "kill" }),
      },
      isStopped ? "Start again" : "Kill it",
    ),
    h("details", { class: "log" }, h("summary", { dataset: { focus: "bridge-log" } }, "Its log"), h("pre", { tabindex: "0" })),
  );
}

function renderLog() {
  const shown = byId("bridge-card").querySelector(".log pre");
  const text = server.bridge.log.join("\n");
  if (shown && shown.textContent !== text) {
    shown.textContent = text;
    shown.scrollTop = shown.scrollHeight;
  }
}

function toggle({ id, label, hint, on }) {
  const props = {
    type: "button",
    role: "switch",
    "aria-checked": String(on),
    dataset: { focus: `trouble:${id}`, trouble: id },
    onclick: () => act("troubles/switch", { trouble: id, on: !on }),
  };
  return trouble(hint, on, h("button", props, label, h("i", { class: "switch", "aria-hidden": "true" })));
}

function button({ id, label, hint, of_project }) {
  const props = { class: "small", dataset: { focus: `mishap:${id}`, mishap: id }, type: "button" };
  const now = () => act("troubles/happen", { mishap: id, project: null });
  const choices = server.setting.projects.map((project) => ({ value: project, label: project.name }));
  const control = of_project
    ? menu("Now", choices, (project) => expire(id, project), { focus: `mishap:${id}`, action: id, name: `${label}: of which project` })
    : h("button", { ...props, "aria-label": `${label}: now`, onclick: now }, "Now");
  return trouble(hint, false, h("span", { class: "trouble-label" }, label), control);
}

/** A row whose hint is shown below the list while it is looked at, and read with its control. */
function trouble(hint, isOn, ...children) {
  const row = h("div", { class: isOn ? "trouble on" : "trouble" }, children);
  const show = () => (byId("trouble-hint").textContent = hint);
  row.addEventListener("mouseenter", show);
  row.addEventListener("focusin", show);
  row.querySelector("button").setAttribute("aria-description", hint);
  return row;
}

async function expire(mishap, project) {
  await act("troubles/happen", { mishap, project: project.id });
  openChannel(project.channel);
}
