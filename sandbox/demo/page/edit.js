// Changing a line that was sent: a box in its place.

import { act } from "./api.js";
import { h } from "./dom.js";
import { unescaped } from "./mrkdwn.js";
import { ui } from "./store.js";

export function editBox(list, channel, message) {
  const line = list.querySelector(`[data-ts="${CSS.escape(message.ts)}"] .content`);
  if (!line) return;
  const box = h("textarea", { rows: 2, "aria-label": "Edit message" });
  box.value = unescaped(message.text);
  const stop = () => {
    form.replaceWith(line);
    list.querySelector(`[data-focus="more:${CSS.escape(message.ts)}"]`)?.focus();
  };
  const form = h(
    "form",
    { class: "edit" },
    box,
    h("button", { type: "submit", class: "primary small" }, "Save"),
    h("button", { type: "button", class: "quiet", onclick: stop }, "Cancel"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (box.value.trim() === "") return;
    if (await act("slack/edit", { user: ui.persona, channel, ts: message.ts, text: box.value })) stop();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && !event.shiftKey && event.target === box) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  line.replaceWith(form);
  box.focus();
}
