// What the server told, what the person at the page chose, and who wants to know when either changes.

/** Sections as the server names them; see sandbox/demo/snapshot.py. */
export const server = {};

/** Choices of this page. */
export const ui = {
  pane: "slack",
  customer: null, // key of a conversation or post, "new" for the form
  persona: null,
  channel: null,
  thread: null, // { channel, ts }
  seen: new Map(), // channel -> ts up to which it was read
  opened: new Set(), // threads that were opened, as "channel:ts"
};

const watchers = [];
let isPlanned = false;

/** Call `watcher` after changes, several of them together. */
export function watch(watcher) {
  watchers.push(watcher);
}

/** Say that something changed. */
export function changed() {
  if (isPlanned) return;
  isPlanned = true;
  queueMicrotask(() => {
    isPlanned = false;
    for (const watcher of watchers) watcher();
  });
}

/** Change choices. */
export function choose(choices) {
  Object.assign(ui, choices);
  changed();
}

export const messagesOf = (channel) => server[`messages:${channel}`] ?? [];
export const person = (id) => server.people?.[id];
export const channelOf = (id) => server.channels?.find((channel) => channel.id === id);
export const projectOf = (id) => server.setting?.projects.find((project) => project.id === id);
export const isReply = (message) => Boolean(message.thread_ts) && message.thread_ts !== message.ts;

const KEPT = "jollor-slack-demo:";

/** A choice that outlives the page, where the browser keeps such things. */
export function kept(name, fallback = null) {
  try {
    return localStorage.getItem(KEPT + name) ?? fallback;
  } catch {
    return fallback; // the browser keeps nothing for this page: then it is chosen anew each time
  }
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(KEPT + name);
    else localStorage.setItem(KEPT + name, value);
  } catch {
    // as above
  }
}
