// Block Kit, drawn as Slack draws it: the types that the bridge uses; any other is named.

import { act } from "./api.js";
import { h } from "./dom.js";
import { markdown } from "./markdown.js";
import { menu } from "./menu.js";
import { mrkdwn } from "./mrkdwn.js";
import { richText } from "./richtext.js";
import { channelOf, person, server, ui } from "./store.js";
import { unknown } from "./unknown.js";

/** Where a message is, so that its buttons know what to send: `{ channel, ts, chosen }`. */
export function drawBlocks(blocks, place) {
  return blocks.map((block) => h("div", { class: `block ${block.type}` }, draw(block, place)));
}

function draw(block, place) {
  switch (block.type) {
    case "section":
      return section(block, place);
    case "context":
      return block.elements.map((each) => (each.type === "image" ? picture(each) : h("span", null, textObject(each))));
    case "actions":
    case "context_actions":
      return block.elements.map((each) => element(each, block, place));
    case "header":
      return h("p", { class: "heading" }, textObject(block.text));
    case "divider":
      return h("hr");
    case "rich_text":
      return richText(block);
    case "markdown":
      return markdown(block.text);
    case "image":
      return h("figure", null, block.title && h("figcaption", null, textObject(block.title)), picture(block));
    default:
      return unknown("block", block.type);
  }
}

function section(block, place) {
  return [
    h(
      "div",
      { class: "section-text" },
      block.text && textObject(block.text),
      block.fields && h("div", { class: "fields" }, block.fields.map((field) => h("div", null, textObject(field)))),
    ),
    block.accessory && element(block.accessory, block, place),
  ];
}

function textObject(text) {
  return text.type === "mrkdwn" ? mrkdwn(text.text) : [text.text];
}

/** Pictures from elsewhere are not loaded: this page asks nobody but its own server. */
function picture(image) {
  return h("span", { class: "picture", role: "img", "aria-label": image.alt_text }, "🖼 ", image.alt_text);
}

// --- buttons and menus

function element(it, block, place) {
  switch (it.type) {
    case "button":
      return button(it, block, place);
    case "image":
      return picture(it);
    case "static_select":
    case "overflow":
      return choice(it, block, place, options(it));
    case "conversations_select":
    case "channels_select":
      return choice(it, block, place, channelOptions());
    case "users_select":
      return choice(it, block, place, personOptions());
    default:
      return unknown("element", it.type);
  }
}

function button(it, block, place) {
  const props = {
    class: `slack-button ${it.style ?? ""}`,
    "aria-label": it.accessibility_label,
    dataset: { focus: `${place.ts}:${block.block_id}:${it.action_id}`, action: it.action_id },
  };
  const press = () => send(it, block, place);
  if (it.url) {
    const away = { href: it.url, target: "_blank", rel: "noopener noreferrer" };
    return h("a", { ...props, ...away, onclick: press }, textObject(it.text));
  }
  return h("button", { ...props, type: "button", onclick: press }, textObject(it.text));
}

function choice(it, block, place, choices) {
  const focus = `${place.ts}:${block.block_id}:${it.action_id}`;
  const label = chosenLabel(it, block, place, choices) ?? it.placeholder?.text ?? "More";
  return menu(label, choices, (value) => send(it, block, place, value), { focus, action: it.action_id });
}

function chosenLabel(it, block, place, choices) {
  const value = place.chosen?.[block.block_id]?.[it.action_id];
  const id = value?.selected_conversation ?? value?.selected_channel ?? value?.selected_user;
  const chosen = id ?? value?.selected_option?.value ?? it.initial_option?.value;
  return choices.find((each) => each.value === chosen)?.label;
}

function options(it) {
  const all = [...(it.options ?? []), ...(it.option_groups ?? []).flatMap((group) => group.options)];
  return all.map((option) => ({ value: option.value, label: option.text.text }));
}

function channelOptions() {
  const mine = (server.channels ?? []).filter((channel) => !channel.is_archived && channel.members.includes(ui.persona));
  return mine.map((channel) => ({ value: channel.id, label: `#${channelOf(channel.id).name}` }));
}

function personOptions() {
  return server.setting.personas.map((id) => ({ value: id, label: person(id).name }));
}

async function send(it, block, place, value) {
  await act("slack/press", {
    user: ui.persona,
    channel: place.channel,
    ts: place.ts,
    action_id: it.action_id,
    block_id: block.block_id,
    ...(value === undefined ? {} : { value }),
  });
}
