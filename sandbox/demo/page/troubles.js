// The right pane, above: the bridge's process, and everything that can go wrong at the push of a button.

import { act } from "./api.js";
import { byId, h, list, one } from "./dom.js";
import { server, ui } from "./store.js";

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
  const describedBy = `hint-${id}`;
  return h(
    "div",
    { class: on ? "trouble on" : "trouble" },
    h(
      "button",
      {
        type: "button",
        role: "switch",
        "aria-checked": String(on),
        "aria-describedby": describedBy,
        dataset: { focus: `trouble:${id}`, trouble: id },
        onclick: () => act("troubles/switch", { trouble: id, on: !on }),
      },
      h("span", null, label),
      h("i", { class: "switch", "aria-hidden": "true" }),
    ),
    h("p", { class: "hint", id: describedBy }, hint),
  );
}

function button({ id, label, hint, of_project }) {
  const describedBy = `hint-${id}`;
  const choices = of_project ? server.setting.projects : [{ id: null, name: null }];
  return h(
    "div",
    { class: "trouble" },
    h("p", { class: "trouble-label" }, label),
    h("p", { class: "hint", id: describedBy }, hint),
    h(
      "div",
      { class: "row" },
      choices.map((project) =>
        h(
          "button",
          {
            type: "button",
            class: "small",
            "aria-describedby": describedBy,
            dataset: { focus: `mishap:${id}:${project.id}`, mishap: id },
            onclick: () => happen(id, project),
          },
          project.name ?? "Let them expire",
        ),
      ),
    ),
  );
}

async function happen(mishap, project) {
  await act("troubles/happen", { mishap, project: project.id });
  if (project.channel && ui.channel !== project.channel) {
    const { openChannel } = await import("./slack.js");
    openChannel(project.channel);
  }
}
