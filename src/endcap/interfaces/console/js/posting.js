/** Events from this page, and the clock that runs from sending one until the changed list is here. */

import { sendEvent } from "./api.js";
import { debounce } from "./dom.js";
import { identity } from "./visitor.js";

/** Fires `sent` with `{type}`, `answered` with the receipt, `unchanged` with `{type}`, `failed` with the error. */
export const posting = new EventTarget();

const tell = (name, detail) => posting.dispatchEvent(new CustomEvent(name, { detail }));

/** The last event that no changed list has answered yet: `{type, started}`. */
export const clock = { waiting: null };

/** After this long no changed list will come: the event is in every list, and this one stayed as it was. */
const UNCHANGED_MS = 1500;

function unchanged(sent) {
  clock.waiting = null;
  tell("unchanged", sent);
}

const told = new Set();
const impressions = [];

/** One request for all rows that appear together; it changes no list, so nothing waits for it. */
const sendImpressions = debounce(200, () => sendEvent({ events: impressions.splice(0) }).catch((error) => tell("failed", error)));

/** Says once that the list of `answer` is on the page, with these items. */
export function tellRendered(answer, ids) {
  if (told.has(answer.request_id)) return;
  told.add(answer.request_id);
  impressions.push({ type: "impression", request_id: answer.request_id, items: ids.map((item_id) => ({ item_id })), ...identity() });
  sendImpressions();
}

/** Sends one event of this visitor; gives the receipt, or null where it failed (which `failed` has told). */
export async function post(event) {
  clock.waiting = { type: event.type, started: performance.now() };
  tell("sent", { type: event.type });
  try {
    const { data } = await sendEvent({ ...event, ...identity() });
    tell("answered", data);
    const sent = clock.waiting;
    if (sent?.type === event.type) setTimeout(() => clock.waiting === sent && unchanged(sent), UNCHANGED_MS);
    return data;
  } catch (error) {
    tell("failed", error);
    return null;
  }
}
