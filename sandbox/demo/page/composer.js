// A box to write in: Enter sends, Shift+Enter begins a new line, and a few words are offered.

import { h } from "./dom.js";

/**
 * `send(text)` answers whether it was done; `offers(text)` gives `{ label, text }` to pick from. The element
 * stays the same for good, so what was typed survives whatever happens around it.
 */
export function composer({ label, send, offers = () => [], extra = null }) {
  const hint = h("p", { class: "unseen" }, "Enter sends, Shift and Enter begin a new line.");
  hint.id = `composer-hint-${(number += 1)}`;
  const box = h("textarea", { rows: 1, "aria-label": label, "aria-describedby": hint.id });
  const button = h("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send (Enter)" }, "➤");
  const offered = h("div", { class: "offers" });
  const form = h("form", { class: "composer" }, offered, h("div", { class: "composer-box" }, box, button), extra, hint);

  const changed = () => {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 180)}px`;
    button.disabled = box.value.trim() === "";
    offered.replaceChildren(...offers(box.value).map(offer));
  };
  const offer = (it) =>
    h("button", { type: "button", class: "chip", onclick: () => write(it.text) }, it.label);
  const write = (text) => {
    box.value = text;
    changed();
    box.focus();
    box.setSelectionRange(text.length, text.length);
  };

  box.addEventListener("input", changed);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = box.value;
    if (text.trim() === "") return;
    box.value = "";
    changed();
    if (!(await send(text)) && box.value === "") write(text);
  });
  changed();
  return {
    element: form,
    write,
    focus: () => box.focus(),
    name: (words, placeholder) => {
      box.setAttribute("aria-label", words);
      box.placeholder = placeholder;
    },
    text: () => box.value,
  };
}

let number = 0;
