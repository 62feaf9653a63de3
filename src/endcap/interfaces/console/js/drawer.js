/** A panel that slides in at the side. The dialog element traps the focus, closes with Escape and gives the focus back. */

import { h, icon, ICONS } from "./dom.js";
import { t } from "./i18n.js";

/** Opens a drawer with a heading and content; gives the dialog. It leaves the page when it closes. */
export function openDrawer(name, title, ...content) {
  const close = { class: "round quiet", type: "button", "aria-label": t("close"), onclick: () => dialog.close() };
  const head = h("header", { class: "drawer-head" }, h("h2", { id: `drawer-${name}` }, title), h("button", close, icon(ICONS.close)));
  const dialog = h("dialog", { class: `drawer drawer-${name}`, "aria-labelledby": `drawer-${name}` }, head, ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop is the dialog itself
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
