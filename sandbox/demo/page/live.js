// The live stream: everything at first and after every reconnect, then what changed.

import { byId } from "./dom.js";
import { changed, server } from "./store.js";
import { takeEntries, forgetEntries } from "./wire.js";

let run = null;

export function connect(onChange) {
  const source = new EventSource("/demo/api/events");
  source.addEventListener("begin", (event) => {
    const begun = JSON.parse(event.data).run;
    if (run !== null && run !== begun) {
      // another run of the demo: nothing of the old one is true any more
      for (const name of Object.keys(server)) delete server[name];
      forgetEntries();
    }
    run = begun;
    offline(false);
  });
  source.addEventListener("change", (event) => {
    const { sections, wire } = JSON.parse(event.data);
    const before = { ...server };
    Object.assign(server, sections);
    takeEntries(wire);
    onChange(before, sections);
    changed();
  });
  source.addEventListener("error", () => {
    offline(true);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => connect(onChange), 2000);
  });
}

function offline(isOffline) {
  const bar = byId("offline");
  if (bar.hidden !== isOffline) return;
  bar.hidden = !isOffline;
  bar.textContent = isOffline ? "The demo has stopped or cannot be reached. Trying again …" : "";
}
