// The middle pane: channels, messages, threads, and the person at the keyboard.

import { act } from "./api.js";
import { composer } from "./composer.js";
import { atEnd, byId, h, list, one } from "./dom.js";
import { editBox } from "./edit.js";
import { emojiState } from "./emoji.js";
import { continues, drawMessage, plainText, summary } from "./message.js";
import { channelOf, choose, isReply, keep, kept, messagesOf, person, server, ui } from "./store.js";
import { announce, toast } from "./toasts.js";
import { MARKS, count } from "./words.js";

const COMMANDS = ["projects", "status", "help", "link ", "unlink "];
const ROLES = { admin: "admin", member: "member", guest: "guest" };
const parts = {};

export function startSlack() {
  const main = composer({ label: "Message", send: sendToChannel, offers });
  const head = h("div", { class: "channel-head" });
  const messages = h("ol", { class: "messages", "aria-label": "Messages", tabindex: "0" });
  byId("timeline").append(head, messages, main.element);

  const also = h("input", { type: "checkbox" });
  const alsoLabel = h("label", { class: "also" }, also, h("span", null));
  const inThread = composer({ label: "Reply", send: sendToThread, offers, extra: alsoLabel });
  const threadHead = h("div", { class: "thread-head" });
  const replies = h("ol", { class: "messages", "aria-label": "Thread", tabindex: "0" });
  byId("thread").append(threadHead, replies, inThread.element);
  Object.assign(parts, { main, head, messages, inThread, also, alsoLabel, threadHead, replies });

  byId("persona").addEventListener("change", (event) => {
    keep("persona", event.target.selectedOptions[0].dataset.handle);
    choose({ persona: event.target.value });
  });
}

// --- what is shown

export function renderSlack() {
  if (!server.setting || !server.people || !server.channels) return;
  settle();
  byId("workspace").textContent = server.setting.workspace + (server.setting.socket_mode ? " · Socket Mode" : "");
  renderPersona();
  renderChannels();
  atEnd(parts.messages, () => {
    renderThread(); // first: it takes width from the channel
    renderTimeline();
  });
}

function settle() {
  const { personas } = server.setting;
  if (!personas.includes(ui.persona)) {
    const handle = kept("persona");
    ui.persona = personas.find((id) => person(id).handle === handle) ?? personas[1] ?? personas[0];
  }
  if (!channelOf(ui.channel)) ui.channel = server.setting.projects[0]?.channel ?? server.channels[0]?.id;
  if (ui.thread && !rootOf(ui.thread)) ui.thread = null;
  ui.seen.set(ui.channel, messagesOf(ui.channel).at(-1)?.ts ?? "0");
}

function renderPersona() {
  const select = byId("persona");
  const mark = JSON.stringify([ui.persona, server.setting.personas.map(person)]);
  if (select.dataset.shows === mark) return; // an open menu must not close because something else changed
  select.dataset.shows = mark;
  const options = server.setting.personas.map((id) => {
    const { name, role, handle } = person(id);
    const words = `${name} (${ROLES[role] ?? role})`;
    return h("option", { value: id, selected: id === ui.persona, dataset: { handle } }, words);
  });
  select.replaceChildren(...options);
  select.value = ui.persona;
}

function renderChannels() {
  const shown = server.channels.filter((channel) => !channel.is_archived);
  const mark = (channel) => JSON.stringify([channel.name, channel.id === ui.channel, unread(channel)]);
  list(byId("channels"), shown, (channel) => channel.id, mark, channelEntry);
}

function unread(channel) {
  const seen = ui.seen.get(channel.id) ?? "0";
  return messagesOf(channel.id).filter((message) => message.ts > seen && message.user !== ui.persona).length;
}

function channelEntry(channel) {
  const news = unread(channel);
  return h(
    "li",
    null,
    h(
      "button",
      {
        type: "button",
        class: news ? "channel unread" : "channel",
        "aria-current": channel.id === ui.channel ? "page" : null,
        dataset: { focus: `channel:${channel.id}`, channel: channel.name },
        onclick: () => openChannel(channel.id),
      },
      h("span", { "aria-hidden": "true", class: "hash" }, channel.is_private ? "🔒" : "#"),
      channel.name,
      news > 0 && h("span", { class: "news" }, news, h("span", { class: "unseen" }, " unread")),
    ),
  );
}

function renderTimeline() {
  const channel = channelOf(ui.channel);
  one(parts.head, JSON.stringify([channel.name, channel.topic, channel.members.length]), () => channelHead(channel));
  const shown = inOrder([
    ...messagesOf(channel.id).filter((message) => !isReply(message) || message.subtype === "thread_broadcast"),
    ...ephemerals(channel.id).filter((seen) => !seen.thread_ts),
  ]);
  renderMessages(parts.messages, channel.id, shown, { inThread: false });
  parts.main.name(`Message #${channel.name}`, "Message, or /jollor projects");
}

function channelHead(channel) {
  return h(
    "div",
    null,
    h("h3", null, h("span", { class: "hash", "aria-hidden": "true" }, "#"), channel.name),
    h("p", { class: "hint" }, channel.topic || count(channel.members.length, "member")),
  );
}

function renderThread() {
  const box = byId("thread");
  const root = ui.thread && rootOf(ui.thread);
  byId("slack-body").classList.toggle("with-thread", Boolean(root));
  box.hidden = !root;
  if (!root) return;
  const { channel, ts } = ui.thread;
  one(parts.threadHead, channel + ts, () => threadHead(channelOf(channel)));
  const shown = inOrder([
    ...messagesOf(channel).filter((message) => message.ts === ts || message.thread_ts === ts),
    ...ephemerals(channel).filter((seen) => seen.thread_ts === ts),
  ]);
  renderMessages(parts.replies, channel, shown, { inThread: true });
  parts.inThread.name(`Reply in thread as ${person(ui.persona).name}`, "Reply … or // for an internal note");
  parts.alsoLabel.lastElementChild.textContent = `Also send to #${channelOf(channel).name}`;
}

function threadHead(channel) {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close thread", onclick: closeThread }, "✕");
  return h("div", null, h("h3", null, "Thread ", h("span", { class: "hint" }, `#${channel.name}`)), close);
}

function renderMessages(box, channel, shown, { inThread }) {
  const name = `${channel}:${inThread ? ui.thread.ts : ""}`;
  const isSame = box.dataset.shows === name;
  const first = inThread ? 1 : 0; // a line under the root of a thread stands for itself
  const before = new Map(shown.map((message, index) => [message, index > first ? shown[index - 1] : null]));
  const isCompact = (message) => continues(message, before.get(message));
  const mark = (message) =>
    JSON.stringify([message, isCompact(message), server.chosen?.[`${channel}:${message.ts}`], emojiState(), ui.persona]);
  const build = (message) =>
    drawMessage(message, channel, {
      inThread,
      isCompact: isCompact(message),
      openThread: (ts) => openThread(channel, ts),
      edit: (line) => editBox(box, channel, line),
    });
  const update = () => list(box, shown, (message) => message.ts, mark, build);
  if (isSame) return atEnd(box, update);
  box.replaceChildren();
  box.dataset.shows = name;
  update();
  box.scrollTop = box.scrollHeight;
}

function inOrder(messages) {
  return messages.toSorted((one, other) => (one.ts < other.ts ? -1 : 1));
}

const ephemerals = (channel) =>
  (server.ephemerals ?? []).filter((seen) => seen.channel === channel && seen.user === ui.persona);

const rootOf = ({ channel, ts }) => messagesOf(channel).find((message) => message.ts === ts);

// --- what people do

export function openChannel(id) {
  choose({ channel: id, pane: "slack", thread: ui.thread?.channel === id ? ui.thread : null });
}

export function openThread(channel, ts) {
  ui.opened.add(`${channel}:${ts}`);
  choose({ channel, pane: "slack", thread: { channel, ts } });
  queueMicrotask(() => parts.inThread.focus());
}

export function closeThread() {
  const { ts } = ui.thread ?? {};
  choose({ thread: null });
  queueMicrotask(() => {
    const opener = document.querySelector(`[data-thread="${CSS.escape(ts ?? "")}"]`);
    (opener ?? parts.messages).focus();
  });
}

export const writeInThread = (text) => parts.inThread.write(text);
export const writeInChannel = (text) => parts.main.write(text);

async function sendToChannel(text) {
  if (text.startsWith("/")) {
    const [command, ...rest] = text.split(" ");
    return act("slack/command", { user: ui.persona, channel: ui.channel, command, text: rest.join(" ") });
  }
  return act("slack/say", { user: ui.persona, channel: ui.channel, text });
}

async function sendToThread(text) {
  if (/^\/\w/.test(text)) {
    toast("Slash commands do not work in threads: Slack would say the same. Write it in the channel.");
    return null;
  }
  const { channel, ts } = ui.thread;
  const sent = await act("slack/say", {
    user: ui.persona,
    channel,
    text,
    thread_ts: ts,
    broadcast: parts.also.checked,
  });
  if (sent) parts.also.checked = false;
  return sent;
}

/** Words to pick from: commands after a slash, people after an at sign. */
function offers(text) {
  if (/^\/\S*$/.test(text) || text === "/jollor ") {
    const wanted = "/jollor".startsWith(text.trim()) || text.startsWith("/jollor");
    return wanted ? COMMANDS.map((word) => ({ label: `/jollor ${word}`, text: `/jollor ${word}` })) : [];
  }
  const at = /(^|\s)@(\w*)$/.exec(text);
  if (!at) return [];
  const people = server.setting.personas.map(person).filter(({ name }) => name.toLowerCase().startsWith(at[2].toLowerCase()));
  return people.map(({ name }) => ({ label: `@${name}`, text: `${text.slice(0, text.length - at[2].length)}${name} ` }));
}

// --- what is new

/** Tell screen readers of messages that came since `before`. */
export function announceNews(before, sections) {
  for (const [name, messages] of Object.entries(sections)) {
    if (!name.startsWith("messages:") || !before[name]) continue;
    const channel = channelOf(name.slice("messages:".length));
    const old = new Map(before[name].map((message) => [message.ts, message]));
    for (const message of messages) {
      const known = old.get(message.ts);
      if (!known && message.user !== ui.persona) announce(`#${channel?.name}, ${summary(message)}`);
      for (const mark of newMarks(known, message)) announce(`${MARKS[mark]}. ${plainText(message)}`);
    }
  }
  if (!sections.ephemerals || !before.ephemerals) return;
  const known = new Set(before.ephemerals.map((seen) => seen.ts + seen.text));
  const news = sections.ephemerals.filter((seen) => seen.user === ui.persona && !known.has(seen.ts + seen.text));
  for (const seen of news) announce(`Only visible to you, ${summary(seen)}`);
}

/** The bridge's marks that `message` has and had not before. */
function newMarks(known, message) {
  const had = new Set((known?.reactions ?? []).map(({ name }) => name));
  const has = (message.reactions ?? []).filter(({ users }) => users.includes(server.setting.bot));
  return has.map(({ name }) => name).filter((name) => MARKS[name] && !had.has(name));
}
