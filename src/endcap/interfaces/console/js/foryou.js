/** The row that lives: it follows the event stream, whatever page it stands on. */

import { listen } from "./api.js";
import { makeRow } from "./row.js";
import { t } from "./i18n.js";
import { clock } from "./posting.js";
import { identity, identityQuery, viewed } from "./visitor.js";

export const FOR_YOU_K = 12;
const SHOWN_FIRST_MS = 450;

/** Fires `list` with `{answer, sinceEvent: {type, ms} | null}` and `state` with `{open, error}`. */
export const live = new EventTarget();

const tell = (name, detail) => live.dispatchEvent(new CustomEvent(name, { detail }));
const idsOf = (answer) => answer.items.map((entry) => entry.item_id).join("\n");

/** Creates the row. `mount(place, layout)` puts it somewhere; `follow()` starts listening as the present visitor. */
export function makeForYou(actions) {
  const row = makeRow({ id: "for-you", title: t("row.foryou"), why: t("row.foryou.new"), layout: "grid", actions, marked: true });
  let latest = null;
  let atHome = null; // what the home page showed last: coming back, the change since then is played
  let stop = () => {};

  function measure(answer) {
    if (!clock.waiting || !latest || idsOf(answer) === idsOf(latest)) return null;
    const { type, started } = clock.waiting;
    clock.waiting = null;
    return { type, ms: performance.now() - started };
  }

  async function received(answer) {
    const sinceEvent = measure(answer);
    latest = answer;
    if (row.element.dataset.place === "home") atHome = answer;
    row.request = { recipe: "for-you", ...identity(), k: FOR_YOU_K };
    row.rename(t("row.foryou"), viewed().length > 0 ? t("row.foryou.known") : t("row.foryou.new"));
    tell("list", { answer, sinceEvent });
    await row.show(answer, null);
  }

  row.follow = () => {
    stop();
    latest = null;
    atHome = null;
    delete row.element.dataset.ready;
    const path = `/v1/stream?${identityQuery()}&recipe=for-you&k=${FOR_YOU_K}`;
    const state = (open, error) => {
      tell("state", { open, error });
      if (!open && latest === null) row.fail(error, row.follow);
    };
    stop = listen(path, (answer) => received(answer).catch((error) => row.fail(error, row.follow)), state);
  };

  row.mount = (slot, place) => {
    const before = place === "home" ? atHome : null;
    slot.append(row.element);
    row.element.dataset.place = place;
    row.layout(place === "home" ? "grid" : "rail");
    if (place === "home") atHome = latest;
    if (before === null || idsOf(before) === idsOf(latest)) return;
    delete row.element.dataset.ready;
    row.show(before, null).then(() => setTimeout(() => latest !== before && row.show(latest, null), SHOWN_FIRST_MS));
  };
  return row;
}
