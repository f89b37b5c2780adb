// The left pane: customers' phones. What they write, and what they really received.

import { act } from "./api.js";
import { composer } from "./composer.js";
import { atEnd, byId, h, list } from "./dom.js";
import { avatar } from "./message.js";
import { newForm } from "./new.js";
import { choose, projectOf, server, ui } from "./store.js";
import { announce } from "./toasts.js";
import { clock, clockWithSeconds, networkName, when } from "./words.js";

const BY = {
  api: "from Slack",
  dashboard: "from Jollor’s dashboard",
  automatic: "from Jollor’s automatic agent",
};

const parts = {};

export function startCustomers() {
  const write = composer({ label: "Write as the customer", send });
  const via = h(
    "select",
    { "aria-label": "Write as", onchange: () => renderCustomers() },
    h("option", { value: "network" }, "as the customer"),
    h("option", { value: "dashboard" }, "as a colleague in Jollor’s dashboard"),
    h("option", { value: "automatic" }, "as Jollor’s automatic agent"),
  );
  const head = h("div", { class: "phone-head" });
  const bubbles = h("ol", { class: "bubbles", "aria-label": "Messages of this conversation", tabindex: "0" });
  const viaRow = h("label", { class: "via" }, "Write ", via);
  const chat = h("div", { class: "chat" }, head, bubbles, viaRow, write.element);
  const form = newForm((key) => {
    parts.isWaitingForFocus = true; // the form goes; its place is taken when the stream brings the message
    choose({ customer: key });
  });
  byId("phone").append(chat, form.element);
  byId("new-message").addEventListener("click", () => openNew());
  Object.assign(parts, { write, via, viaRow, head, bubbles, chat, form });
}

/** Show the form for a new message, filled in with what is given. */
export function openNew(filled) {
  choose({ customer: "new", pane: "customers" });
  renderCustomers();
  parts.form.open(filled);
}

/** Show a conversation and put the cursor into its box. */
export function openCustomer(key) {
  choose({ customer: key, pane: "customers" });
}

export const conversations = () => server.customers ?? [];
export const conversationOf = (key) => conversations().find((each) => each.key === key);

export function renderCustomers() {
  const sorted = conversations().toSorted((one, other) => (other.last_at ?? "").localeCompare(one.last_at ?? ""));
  if (ui.customer === null && sorted.length) ui.customer = sorted[0].key;
  list(byId("people"), sorted, (each) => each.key, (each) => mark(each), entry);
  const isNew = ui.customer === "new";
  parts.form.element.hidden = !isNew;
  parts.chat.hidden = isNew || !conversationOf(ui.customer);
  byId("new-message").setAttribute("aria-expanded", String(isNew));
  if (isNew) parts.form.render();
  else renderChat(conversationOf(ui.customer));
  if (parts.isWaitingForFocus && !parts.chat.hidden) {
    parts.isWaitingForFocus = false;
    const active = document.activeElement;
    if (active === document.body || parts.form.element.contains(active)) parts.write.focus();
  }
}

function mark(each) {
  const last = each.messages.at(-1);
  return JSON.stringify([each.key === ui.customer, each.last_at, last?.id, last?.text]);
}

function entry(each) {
  const last = each.messages.at(-1);
  const isOpen = each.key === ui.customer;
  return h(
    "li",
    null,
    h(
      "button",
      {
        type: "button",
        class: "person",
        "aria-current": isOpen ? "true" : null,
        dataset: { focus: each.key, customer: each.customer },
        onclick: () => openCustomer(each.key),
      },
      h("span", { class: "portrait" }, avatar({ name: each.customer }), h("i", { class: `network ${each.provider}` })),
      h(
        "span",
        { class: "person-text" },
        h("span", { class: "first" }, h("strong", null, each.customer), h("time", { class: "hint" }, last ? when(new Date(last.at)) : "")),
        h("span", { class: "where" }, where(each)),
        h("span", { class: "snippet" }, last ? `${last.is_customer ? "" : "↩ "}${last.text}` : ""),
      ),
    ),
  );
}

function where(each) {
  const kind = each.kind === "post" ? "comment · " : "";
  return `${kind}${networkName(each.provider)} · ${projectOf(each.project)?.name ?? ""}`;
}

function renderChat(each) {
  if (!each) return;
  list(parts.head, [each], () => "head", () => each.key, headOf);
  if (parts.shown !== each.key) parts.bubbles.replaceChildren();
  const update = () =>
    list(parts.bubbles, each.messages, (message) => message.id, JSON.stringify, (message) => bubble(message, each));
  if (parts.shown === each.key) atEnd(parts.bubbles, update);
  else update();
  if (parts.shown !== each.key) parts.bubbles.scrollTop = parts.bubbles.scrollHeight;
  parts.shown = each.key;
  parts.viaRow.hidden = each.kind === "post";
  if (each.kind === "post") parts.via.value = "network";
  const asCustomer = parts.via.value === "network";
  parts.write.name(
    asCustomer ? `Write as ${each.customer}` : "Write on the project’s behalf",
    each.kind === "post" ? `Comment as ${each.customer}` : asCustomer ? `Write as ${each.customer}` : "Answer from elsewhere",
  );
}

function headOf(each) {
  return h(
    "div",
    { class: "phone-title" },
    h("span", { class: "portrait" }, avatar({ name: each.customer }), h("i", { class: `network ${each.provider}` })),
    h("div", null, h("h3", null, `${each.customer}’s phone`), h("p", { class: "hint" }, where(each))),
  );
}

function bubble(message, each) {
  const at = new Date(message.at);
  const words = message.is_customer ? clock(at) : `received ${clockWithSeconds(at)} · ${BY[message.via] ?? ""}`;
  return h(
    "li",
    { class: message.is_customer ? "bubble mine" : "bubble theirs", dataset: { via: message.via } },
    h("span", { class: "unseen" }, message.is_customer ? `${each.customer}:` : `${projectOf(each.project)?.name}:`),
    h("p", null, message.text),
    h("time", { class: "hint", datetime: message.at }, words),
  );
}

/** Tell screen readers what customers received since `before`. */
export function announceReceipts(before, sections) {
  if (!before.customers || !sections.customers) return;
  const known = new Set(before.customers.flatMap((each) => each.messages.map((message) => message.id)));
  for (const each of sections.customers) {
    const news = each.messages.filter((message) => !message.is_customer && !known.has(message.id));
    for (const message of news) announce(`${each.customer} received: ${message.text}`);
  }
}

async function send(text) {
  const each = conversationOf(ui.customer);
  if (!each) return false;
  const base = { project: each.project, provider: each.provider, name: each.customer, text };
  if (each.kind === "post") return act("customers/comment", { ...base, parent: each.id });
  return act("customers/message", { ...base, conversation: each.id, via: parts.via.value });
}
