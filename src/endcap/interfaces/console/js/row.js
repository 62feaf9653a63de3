/** A row of cards that says why it is there and how long it took. */

import { advice } from "./advice.js";
import { itemDetails } from "./api.js";
import { makeCard, updateCard } from "./card.js";
import { h } from "./dom.js";
import { arrange } from "./flip.js";
import { ms, t } from "./i18n.js";
import { tellRendered } from "./posting.js";

const PLACEHOLDERS = 6;

/**
 * A row with `show(answer, tripMs)`, `say(sentence)` and `fail(error, retry)`. `layout`: grid, shelf (one line that
 * scrolls) or rail. `actions(row)` gives the card's actions; a row keeps its last `answer` for them.
 */
export function makeRow({ id, title, why, layout, actions, marked = false }) {
  const cards = h("ol", { class: `cards ${layout}`, "aria-busy": "true" });
  cards.append(...Array.from({ length: PLACEHOLDERS }, () => h("li", { class: "card ghost", data: { id: "" } })));
  const heading = h("h2", { id: `row-${id}` }, title);
  const reason = h("p", { class: "row-why" }, why);
  const time = h("p", { class: "row-time", title: t("row.time") });
  const note = h("p", { class: "note", hidden: true, role: "status" });
  const head = h("header", { class: "row-head" }, h("div", {}, heading, reason), time);
  const element = h("section", { class: "row", "aria-labelledby": `row-${id}`, data: { row: id } }, head, note, cards);
  const row = { element, cards, answer: null };

  row.rename = (newTitle, newWhy) => {
    heading.textContent = newTitle;
    reason.textContent = newWhy;
  };
  row.layout = (name) => {
    cards.className = `cards ${name}`;
  };
  row.say = (sentence, button = null) => {
    note.replaceChildren(sentence, ...(button ? [" ", button] : []));
    note.hidden = false;
    cards.replaceChildren();
    cards.setAttribute("aria-busy", "false");
  };
  row.fail = (error, retry) => {
    row.say(advice(error), h("button", { class: "link", type: "button", onclick: retry }, t("retry")));
  };
  row.show = async (answer, tripMs, details = null) => {
    row.answer = answer;
    const items = details ?? (await itemDetails(answer.items.map((entry) => entry.item_id)));
    if (row.answer !== answer) return; // a newer list came while the details were on their way
    const entries = new Map(answer.items.filter((entry) => items.has(entry.item_id)).map((entry) => [entry.item_id, entry]));
    const make = (itemId) => makeCard(items.get(itemId), entries.get(itemId), actions(row));
    note.hidden = true;
    arrange(cards, [...entries.keys()], make, marked && row.element.dataset.ready === "true");
    for (const node of cards.children) updateCard(node, entries.get(node.dataset.id));
    cards.setAttribute("aria-busy", "false");
    row.element.dataset.ready = "true";
    time.textContent = tripMs === null ? t("row.ms.stream", { server: ms(answer.took_ms) }) : t("row.ms", { server: ms(answer.took_ms), trip: ms(tripMs) });
    if (entries.size === 0) row.say(t(id === "search" ? "search.empty" : "row.empty"));
    else tellRendered(answer, [...entries.keys()]);
  };
  return row;
}
