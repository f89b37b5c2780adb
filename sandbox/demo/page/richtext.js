// The `rich_text` block: what people type, and what the bridge shows of strangers' words.

import { h } from "./dom.js";
import { broadcast, channelMention, date, emojiNode, link, styled, userMention } from "./inline.js";
import { unknown } from "./unknown.js";

export function richText(block) {
  return h("div", { class: "rich-text" }, block.elements.map(part));
}

function part(element) {
  switch (element.type) {
    case "rich_text_section":
      return h("div", { class: "lines" }, element.elements.map(piece));
    case "rich_text_quote":
      return h("blockquote", null, element.elements.map(piece));
    case "rich_text_preformatted":
      return h("pre", null, element.elements.map(piece));
    case "rich_text_list":
      return h(
        element.style === "ordered" ? "ol" : "ul",
        { class: `indent-${Math.min(element.indent ?? 0, 5)}`, start: (element.offset ?? 0) + 1 },
        element.elements.map((item) => h("li", null, item.elements.map(piece))),
      );
    default:
      return unknown("rich text", element.type);
  }
}

function piece(element) {
  switch (element.type) {
    case "text":
      return styled(document.createTextNode(element.text), element.style);
    case "link":
      return styled(link(element.url, element.text), element.style);
    case "emoji":
      return emojiNode(element.name, element.skin_tone);
    case "user":
      return userMention(element.user_id);
    case "channel":
      return channelMention(element.channel_id);
    case "usergroup":
      return h("span", { class: "mention" }, "@group");
    case "broadcast":
      return broadcast(element.range);
    case "date":
      return date(element.timestamp, element.format);
    case "color":
      return h("code", null, element.value);
    default:
      return unknown("rich text", element.type);
  }
}
