/** A file for the reader's own disk. */

import { h } from "./dom.js";

/** Saves `data` as JSON under `name`; what a file name may not have becomes a line. */
export function download(name, data) {
  const address = URL.createObjectURL(new Blob([`${JSON.stringify(data, null, 2)}\n`], { type: "application/json" }));
  h("a", { href: address, download: name.replace(/[^\p{L}\p{N}._-]+/gu, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(address));
}
