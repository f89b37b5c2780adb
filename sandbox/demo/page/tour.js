// First steps: four of them, each done when it really happened.

import { conversations, openCustomer, openNew } from "./customers.js";
import { byId, h, one } from "./dom.js";
import { openChannel, openThread, writeInChannel, writeInThread } from "./slack.js";
import { choose, keep, kept, messagesOf, projectOf, server, ui } from "./store.js";

const NAME = "Robin";
const QUESTION = "Hi! Are you open on Sunday?";
const ANSWER = "Yes, from eight to two. See you on Sunday!";
const DISMISSED = "tour-dismissed";

export function startTour() {
  byId("tour-again").addEventListener("click", () => {
    keep(DISMISSED, null);
    choose({});
  });
}

/** What has happened so far. */
function progress() {
  const robin = conversations().findLast((each) => each.kind === "message" && each.customer.startsWith(NAME));
  const channel = robin && projectOf(robin.project)?.channel;
  const root = channel && messagesOf(channel).find((message) => message.text.startsWith(NAME) && !message.username);
  const lines = root ? messagesOf(channel).filter((message) => message.thread_ts === root.ts && !message.bot_id) : [];
  return {
    robin,
    channel,
    root,
    wasOpened: Boolean(root) && (ui.opened.has(`${channel}:${root.ts}`) || lines.length > 0),
    hasAnswered: lines.length > 0,
    hasArrived: Boolean(robin?.messages.some((message) => !message.is_customer && message.via === "api")),
  };
}

const STEPS = ["Write as Robin", "See the thread", "Answer", "See it arrive"];

function step({ robin, wasOpened, hasAnswered, hasArrived }) {
  if (hasArrived) return 4;
  if (hasAnswered) return 3;
  if (wasOpened) return 2;
  return robin ? 1 : 0;
}

export function renderTour() {
  if (!server.customers || !server.setting) return;
  const isHidden = kept(DISMISSED) !== null;
  byId("tour").hidden = isHidden;
  byId("tour-again").hidden = !isHidden;
  if (isHidden) return;
  const done = progress();
  const now = step(done);
  one(byId("tour"), JSON.stringify([now, done.root?.ts, done.robin?.key]), () => tour(now, done));
  document.body.dataset.step = now;
}

function tour(now, done) {
  const steps = STEPS.map((words, index) =>
    h(
      "li",
      { class: index < now ? "done" : index === now ? "now" : "", "aria-current": index === now ? "step" : null },
      h("span", { class: "number", "aria-hidden": "true" }, index < now ? "✓" : index + 1),
      words,
      index < now && h("span", { class: "unseen" }, " (done)"),
    ),
  );
  const close = h("button", { type: "button", class: "quiet", onclick: dismiss, "aria-label": "Close first steps" }, "✕");
  return h("div", { class: "tour-inside" }, h("ol", null, steps), h("div", { class: "tour-words", "aria-live": "polite" }, advice(now, done)), close);
}

function advice(now, { robin, channel, root }) {
  switch (now) {
    case 0:
      return [
        h("p", null, "Robin follows a bakery on Facebook and has a question. Write it the way Robin would."),
        button("Fill it in for me", () => openNew({ name: NAME, text: QUESTION })),
      ];
    case 1:
      return root
        ? [
            h("p", null, "Robin’s message is in Slack: one thread for each conversation. Open it."),
            button("Open the thread", () => openThread(channel, root.ts)),
          ]
        : [h("p", null, "On its way: Jollor tells the bridge, the bridge reads the message and posts it in Slack.")];
    case 2:
      return [
        h("p", null, "Whatever you write in this thread goes to Robin. A line that starts with // stays inside."),
        button("Write an answer for me", () => {
          openThread(channel, root.ts);
          writeInThread(ANSWER);
        }),
      ];
    case 3:
      return [
        h("p", null, "Two seconds to take it back, then it goes out. Watch for ✅ on your line."),
        button("Look at Robin’s phone", () => openCustomer(robin.key)),
      ];
    default:
      return [
        h("p", null, "It arrived. What else would you like to see?"),
        button("Robin’s phone", () => openCustomer(robin.key)),
        button("/jollor projects", () => {
          openChannel(channel);
          writeInChannel("/jollor projects");
        }),
        button("Break something", () => {
          choose({ pane: "wire" });
          byId("troubles").open = true;
          byId("switches").querySelector("button")?.focus();
        }),
      ];
  }
}

function button(words, onclick) {
  return h("button", { type: "button", class: "small", dataset: { focus: `tour:${words}` }, onclick }, words);
}

function dismiss() {
  keep(DISMISSED, "yes");
  delete document.body.dataset.step;
  choose({});
  byId("tour-again").focus();
}
