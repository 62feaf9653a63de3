/** Events from this page, and the clock that runs from sending one until the changed list is here. */

import { sendEvent } from "./api.js";
import { identity } from "./visitor.js";

/** Fires `sent` with `{type}`, `answered` with the receipt, `failed` with the error. */
export const posting = new EventTarget();

const tell = (name, detail) => posting.dispatchEvent(new CustomEvent(name, { detail }));

/** The last event that no changed list has answered yet: `{type, started}`. */
export const clock = { waiting: null };

/** Sends one event of this visitor; gives the receipt, or null where it failed (which `failed` has told). */
export async function post(event) {
  clock.waiting = { type: event.type, started: performance.now() };
  tell("sent", { type: event.type });
  try {
    const { data } = await sendEvent({ ...event, ...identity() });
    tell("answered", data);
    return data;
  } catch (error) {
    tell("failed", error);
    return null;
  }
}
