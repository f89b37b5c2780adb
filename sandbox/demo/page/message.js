// One message as Slack shows it: who, when, what, the reactions, the way into the thread.

import { act } from "./api.js";
import { drawBlocks } from "./blocks.js";
import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { menu } from "./menu.js";
import { mrkdwn } from "./mrkdwn.js";
import { person, server, ui } from "./store.js";
import { MARKS, clock, count, fullTime, initials, ofTs, tint } from "./words.js";

const TOGETHER_MS = 5 * 60_000;
const QUIET = new Set([
  "channel_join",
  "channel_leave",
  "channel_archive",
  "channel_unarchive",
  "channel_name",
  "group_join",
  "group_leave",
  "tombstone",
]);

/** Who wrote it: `{ name, icon, isApp, role, key }`. */
export function author(message) {
  if (message.via === "slack") return { name: "Slackbot", icon: null, isApp: false, key: "slackbot" };
  if (message.via) return { name: "Jollor", icon: null, isApp: true, key: "app" };
  if (message.username) {
    const icon = message.icons?.emoji?.replaceAll(":", "") ?? null;
    return { name: message.username, icon, isApp: true, key: `as:${message.username}` };
  }
  const known = person(message.user);
  if (known?.is_bot) return { name: known.name, icon: null, isApp: true, key: "app" };
  if (known) return { name: known.name, icon: null, isApp: false, role: known.role, key: known.id };
  return { name: "Jollor", icon: null, isApp: true, key: "app" };
}

/** What a reader learns in one line, for announcements: who, and the text without its markup. */
export function summary(message) {
  const { name } = author(message);
  const text = plainText(message);
  return text.startsWith(`${name}: `) ? text : `${name}: ${text}`;
}

export function plainText(message) {
  const lines = mrkdwn(message.text ?? "").map((node) => node.textContent);
  return lines.join(" ").slice(0, 200);
}

/** Whether `message` can stand under the one before it without its author's name. */
export function continues(message, before) {
  if (!before || QUIET.has(message.subtype) || QUIET.has(before.subtype) || message.via || before.via) return false;
  return author(message).key === author(before).key && ofTs(message.ts) - ofTs(before.ts) < TOGETHER_MS;
}

/** The element for a message. `inThread` leaves the thread's summary out. */
export function drawMessage(message, channel, { inThread, isCompact, openThread, edit }) {
  if (QUIET.has(message.subtype)) return quietLine(message, channel, inThread ? null : openThread);
  const who = author(message);
  const classes = ["message", isCompact && "compact", message.via && "ephemeral"].filter(Boolean).join(" ");
  return h(
    "li",
    { class: classes, dataset: { ts: message.ts } },
    avatar(who),
    h(
      "div",
      { class: "message-body" },
      message.via && h("p", { class: "only-you" }, "👁 Only visible to you"),
      byline(who, message, isCompact),
      message.subtype === "thread_broadcast" && !inThread && h("p", { class: "hint" }, "replied to a thread:"),
      body(message, channel),
      (message.files ?? []).map((file) => h("p", { class: "picture" }, `📎 ${file.name ?? file.id}`)),
      reactions(message),
      !inThread && message.reply_count > 0 && threadButton(message, openThread),
    ),
    tools(message, channel, { inThread, openThread, edit }),
  );
}

function quietLine(message, channel, openThread) {
  const replies = openThread && message.reply_count > 0 && threadButton(message, openThread);
  return h("li", { class: "message quiet-line" }, h("div", null, mrkdwn(message.text), replies));
}

export function avatar({ name, icon, isApp, key }) {
  if (key === "app") return h("span", { class: "avatar app", "aria-hidden": "true" });
  if (icon) return h("span", { class: "avatar icon", "aria-hidden": "true" }, emoji(icon));
  return h("span", { class: `avatar ${tint(name)} ${isApp ? "square" : ""}`, "aria-hidden": "true" }, initials(name));
}

function byline(who, message, isCompact) {
  const at = ofTs(message.ts);
  const time = h("time", { datetime: at.toISOString(), title: fullTime(at) }, clock(at));
  return h(
    "p",
    { class: isCompact ? "byline unseen" : "byline" },
    h("strong", null, who.name),
    who.isApp && h("span", { class: "badge" }, "App"),
    who.role === "guest" && h("span", { class: "badge" }, "Guest"),
    time,
  );
}

function body(message, channel) {
  const edited = message.edited && h("span", { class: "hint" }, " (edited)");
  const place = { channel, ts: message.ts, chosen: server.chosen?.[`${channel}:${message.ts}`] };
  if (message.blocks?.length) return h("div", { class: "content" }, drawBlocks(message.blocks, place), edited);
  return h("div", { class: "content" }, mrkdwn(message.text ?? ""), edited);
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  const shown = message.reactions.map(({ name, users, count: number }) => {
    const by = users.map((id) => person(id)?.name ?? id).join(", ");
    const meaning = users.includes(server.setting?.bot) ? MARKS[name] : null;
    const words = [meaning ?? name.replaceAll("_", " "), `by ${by}`].join(", ");
    return h(
      "li",
      { class: meaning ? `reaction mark-${name}` : "reaction", title: words, dataset: { reaction: name } },
      h("span", { role: "img", "aria-label": words }, emoji(name)),
      h("span", { class: "number", "aria-hidden": "true" }, number),
    );
  });
  return h("ul", { class: "reactions", "aria-label": "Reactions" }, shown);
}

function threadButton(message, openThread) {
  return h(
    "button",
    {
      type: "button",
      class: "replies",
      dataset: { focus: `replies:${message.ts}`, thread: message.ts },
      onclick: () => openThread(message.ts),
    },
    h("strong", null, count(message.reply_count, "reply", "replies")),
    h("span", { class: "hint" }, `Last reply ${clock(ofTs(message.latest_reply))}`),
  );
}

function tools(message, channel, { inThread, openThread, edit }) {
  if (message.via) return null;
  const isMine = message.user === ui.persona && !message.bot_id;
  const reply =
    !inThread &&
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        dataset: { focus: `reply:${message.ts}` },
        "aria-label": `Reply in thread to: ${plainText(message).slice(0, 80)}`,
        onclick: () => openThread(message.thread_ts ?? message.ts),
      },
      "Reply",
    );
  const mine = [
    { value: "edit", label: "Edit message" },
    { value: "delete", label: "Delete message" },
  ];
  const shortcuts = (server.setting?.shortcuts ?? []).map(({ id, name }) => ({ value: id, label: `${name} · Jollor` }));
  const choices = [...(isMine ? mine : []), ...shortcuts];
  const pick = (what) => {
    const at = { user: ui.persona, channel, ts: message.ts };
    if (isMine && what === "edit") edit(message);
    else if (isMine && what === "delete") act("slack/delete", at);
    else act("slack/shortcut", { ...at, callback_id: what });
  };
  const more = choices.length > 0 && menu("⋯", choices, pick, { quiet: true, focus: `more:${message.ts}`, name: "More actions" });
  return (reply || more) && h("div", { class: "message-tools" }, reply, more);
}
