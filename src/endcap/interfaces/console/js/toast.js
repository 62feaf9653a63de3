/** A sentence on the screen for a moment, which a screen reader says too. */

import { $ } from "./dom.js";

const SHOWN_MS = 2600;
let timer = 0;

/** For a sentence that asks to do something. */
export const LONGER_MS = 7000;

export function announce(sentence, shownMs = SHOWN_MS) {
  const toast = $("#toast");
  toast.replaceChildren(sentence);
  toast.dataset.shown = "true";
  clearTimeout(timer);
  timer = setTimeout(() => delete toast.dataset.shown, shownMs);
}
