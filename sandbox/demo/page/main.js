// Puts the page together: each pane draws itself anew whenever something changed.

import { announceReceipts, renderCustomers, startCustomers } from "./customers.js";
import { byId } from "./dom.js";
import { loadEmoji } from "./emoji.js";
import { startKeys } from "./keys.js";
import { connect } from "./live.js";
import { announceNews, renderSlack, startSlack } from "./slack.js";
import { choose, ui, watch } from "./store.js";
import { startTheme } from "./theme.js";
import { renderTour, startTour } from "./tour.js";
import { renderTroubles } from "./troubles.js";
import { renderWire, startWire } from "./wire.js";

function renderPane() {
  byId("panes").dataset.pane = ui.pane;
  for (const tab of byId("tabs").children) {
    if (tab.dataset.pane === ui.pane) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}

startTheme();
startCustomers();
startSlack();
startWire();
startTour();
startKeys();
byId("tabs").addEventListener("click", (event) => {
  const { pane } = event.target.dataset;
  if (pane) choose({ pane });
});
for (const render of [renderPane, renderCustomers, renderSlack, renderTroubles, renderWire, renderTour]) watch(render);
loadEmoji();
connect((before, sections) => {
  announceReceipts(before, sections);
  announceNews(before, sections);
});
