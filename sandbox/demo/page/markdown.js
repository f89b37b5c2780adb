// The `markdown` block: the small part of Markdown that Slack draws.

import { h } from "./dom.js";
import { link, styled } from "./inline.js";

const INLINE =
  /`(?<code>[^`\n]+)`|\*\*(?<bold>[^\n]+?)\*\*|(?<![\w*])[*_](?<italic>[^\n*_]+?)[*_](?![\w*])|~~(?<strike>[^\n]+?)~~|\[(?<label>[^\]\n]+)\]\((?<url>[^\s)]+)\)/g;

export function markdown(text) {
  const nodes = [];
  const parts = text.split(/^```.*$/m);
  for (const [index, part] of parts.entries()) {
    if (index % 2) nodes.push(h("pre", null, part.replace(/^\n|\n$/g, "")));
    else for (const line of part.split("\n")) addLine(nodes, line);
  }
  return nodes;
}

function addLine(nodes, line) {
  if (line.trim() === "") return;
  const heading = /^#{1,6} +(.*)$/.exec(line);
  const item = /^ *(?:[-*+]|(\d+)\.) +(.*)$/.exec(line);
  const quote = /^> ?(.*)$/.exec(line);
  if (heading) nodes.push(h("p", { class: "heading" }, inline(heading[1])));
  else if (item) into(nodes, item[1] ? "ol" : "ul").append(h("li", null, inline(item[2])));
  else if (quote) into(nodes, "blockquote").append(h("div", null, inline(quote[1])));
  else nodes.push(h("p", null, inline(line)));
}

function into(nodes, tag) {
  if (nodes.at(-1)?.localName !== tag) nodes.push(h(tag, null));
  return nodes.at(-1);
}

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(end, match.index));
    const { code, bold, italic, strike, label, url } = match.groups;
    if (code) nodes.push(h("code", null, code));
    else if (bold) nodes.push(styled(h("span", null, inline(bold)), { bold: true }));
    else if (italic) nodes.push(styled(h("span", null, inline(italic)), { italic: true }));
    else if (strike) nodes.push(styled(h("span", null, inline(strike)), { strike: true }));
    else nodes.push(link(url, label));
    end = match.index + match[0].length;
  }
  nodes.push(text.slice(end));
  return nodes;
}
