// Small pieces that stand inside lines: mentions, links, dates, styled text.

import { emoji } from "./emoji.js";
import { h } from "./dom.js";
import { channelOf, person } from "./store.js";

const SAFE = /^(https?:\/\/|mailto:|tel:)/i;

export function link(url, label) {
  if (!SAFE.test(url)) return h("span", null, label ?? url);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label ?? url);
}

export function userMention(id) {
  return h("span", { class: "mention" }, `@${person(id)?.name ?? id}`);
}

export function channelMention(id) {
  return h("span", { class: "mention" }, `#${channelOf(id)?.name ?? id}`);
}

export function broadcast(range) {
  return h("span", { class: "mention loud" }, `@${range}`);
}

export function emojiNode(name, tone) {
  const shown = emoji(name, tone);
  return h("span", { class: "emoji", role: "img", "aria-label": name.replaceAll("_", " ") }, shown);
}

/** Wrap `node` in the elements for bold, italic, strike, underline and code. */
export function styled(node, style) {
  const tags = { code: "code", bold: "strong", italic: "em", strike: "s", underline: "u" };
  return Object.entries(tags).reduce((inner, [name, tag]) => (style?.[name] ? h(tag, null, inner) : inner), node);
}

const FORMS = {
  date: { day: "numeric", month: "long", year: "numeric" },
  date_num: { day: "2-digit", month: "2-digit", year: "numeric" },
  date_slash: { day: "2-digit", month: "2-digit", year: "numeric" },
  date_short: { day: "numeric", month: "short", year: "numeric" },
  date_long: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
  time: { hour: "2-digit", minute: "2-digit" },
  time_secs: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

/** A time in the reader's zone, written as Slack's format says. */
export function date(seconds, format) {
  const moment = new Date(Number(seconds) * 1000);
  const text = format.replace(/\{(\w+?)(_pretty)?\}/g, (whole, name, pretty) => {
    if (name === "ago") return ago(moment);
    const form = FORMS[name];
    if (!form) return whole;
    return (pretty && nearDay(moment)) || new Intl.DateTimeFormat(undefined, form).format(moment);
  });
  return h("time", { datetime: moment.toISOString() }, text);
}

function nearDay(moment) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(moment).setHours(0, 0, 0, 0)) / 86_400_000);
  return { 0: "today", 1: "yesterday", "-1": "tomorrow" }[days];
}

function ago(moment) {
  const minutes = Math.round((moment - Date.now()) / 60_000);
  const form = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  return Math.abs(minutes) < 60 ? form.format(minutes, "minute") : form.format(Math.round(minutes / 60), "hour");
}
