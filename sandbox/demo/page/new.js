// The form for a message or comment from somebody, new or known.

import { act } from "./api.js";
import { h } from "./dom.js";
import { server } from "./store.js";
import { NETWORKS, networkName } from "./words.js";

/** `done(key)` is called with the conversation or post that came of it. */
export function newForm(done) {
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off", name: "name", list: "known-names" });
  const names = h("datalist", { id: "known-names" });
  const network = h("select", { name: "network" });
  const project = h("select", { name: "project" });
  const text = h("textarea", { required: true, rows: 3, name: "text" });
  const kinds = ["message", "comment"].map((kind) =>
    h(
      "label",
      { class: "radio" },
      h("input", { type: "radio", name: "kind", value: kind, checked: kind === "message" }),
      kind === "message" ? "Private message" : "Public comment",
    ),
  );
  const form = h(
    "form",
    { class: "new", "aria-label": "New message" },
    h("h3", null, "Somebody writes"),
    h("label", null, "Name", name, names),
    h("div", { class: "two" }, h("label", null, "Network", network), h("label", null, "To", project)),
    h("fieldset", null, h("legend", null, "As a"), kinds),
    h("label", null, "Text", text),
    h("button", { type: "submit", class: "primary" }, "Send"),
  );

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = { project: project.value, provider: network.value, name: name.value.trim(), text: text.value };
    const isComment = new FormData(form).get("kind") === "comment";
    const answer = await act(isComment ? "customers/comment" : "customers/message", wanted);
    if (!answer) return;
    text.value = "";
    done(answer.key);
  });

  return {
    element: form,
    open({ name: who, text: words } = {}) {
      if (who) name.value = who;
      if (words) text.value = words;
      (name.value ? (text.value ? form.querySelector("[type=submit]") : text) : name).focus();
    },
    render() {
      fill(network, Object.keys(NETWORKS).map((id) => [id, networkName(id)]));
      fill(project, (server.setting?.projects ?? []).map((each) => [each.id, each.name]));
      const all = new Set((server.customers ?? []).map((each) => each.customer));
      if (names.children.length !== all.size) {
        names.replaceChildren(...[...all].map((each) => h("option", { value: each })));
      }
    },
  };
}

function fill(select, options) {
  if (select.options.length === options.length) return;
  select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
}
