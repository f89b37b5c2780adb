// Slack's own formatting of text (`mrkdwn`), drawn by its rules: not Markdown.
// docs.slack.dev, messaging/formatting-message-text

import { broadcast, channelMention, date, emojiNode, link, styled, userMention } from "./inline.js";
import { h } from "./dom.js";

const STYLES = { "*": "bold", _: "italic", "~": "strike" };
const INLINE =
  /<(?<code>[^<>\n]+)>|`(?<literal>[^`\n]+)`|(?<![\w*_~])(?<sign>[*_~])(?!\k<sign>)(?=\S)(?<inner>[^\n]*?\S)\k<sign>(?![\w*_~])|:(?<emoji>[a-z0-9_+'-]+):(?::skin-tone-(?<tone>[2-6]):)?/g;

/** Nodes for a whole text: code fences, quotes, lines. */
export function mrkdwn(text) {
  return text.split("```").flatMap((part, index) => {
    if (index % 2) return h("pre", null, unescaped(part.replace(/^\n|\n$/g, "")));
    return part.trim() === "" ? [] : lines(part.replace(/^\n|\n$/g, ""));
  });
}

function lines(text) {
  const nodes = [];
  for (const line of text.split("\n")) {
    const quote = /^(?:&gt;|>) ?(.*)$/.exec(line);
    const last = nodes.at(-1);
    const kind = quote ? "blockquote" : "div";
    const content = inline(quote ? quote[1] : line);
    if (last?.localName === kind) last.append(h("br"), ...content);
    else nodes.push(h(kind, kind === "div" ? { class: "lines" } : null, content));
  }
  return nodes;
}

/** Nodes for a piece of one line. */
export function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(unescaped(text.slice(end, match.index)));
    nodes.push(...token(match.groups, match[0]));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(unescaped(text.slice(end)));
  return nodes;
}

function token({ code, literal, sign, inner, emoji, tone }) {
  if (code !== undefined) return [angled(code)];
  if (literal !== undefined) return [h("code", null, unescaped(literal))];
  if (emoji !== undefined) return [emojiNode(emoji, tone)];
  return [styled(h("span", null, inline(inner)), { [STYLES[sign]]: true })];
}

/** What stands between angle brackets: a mention, a date, a link. */
function angled(code) {
  const [target, label] = split(code);
  if (target.startsWith("@")) return userMention(target.slice(1));
  if (target.startsWith("#")) return label ? h("span", { class: "mention" }, `#${label}`) : channelMention(target.slice(1));
  if (target.startsWith("!date^")) {
    const [, seconds, format] = target.split("^");
    return date(seconds, unescaped(format));
  }
  if (target.startsWith("!subteam^")) return h("span", { class: "mention" }, label ?? "@group");
  if (target.startsWith("!")) return broadcast(label ?? target.slice(1));
  return link(unescaped(target), label && unescaped(label));
}

function split(code) {
  const bar = code.indexOf("|");
  return bar < 0 ? [code, null] : [code.slice(0, bar), code.slice(bar + 1)];
}

export function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
