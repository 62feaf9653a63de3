/** Cards that glide to their new place: first, last, invert, play (Paul Lewis, "FLIP your animations", 2015). */

import { t } from "./i18n.js";

const GLIDE_MS = 520;
const MARK_MS = 4000;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function unmarkLater(node, mark) {
  setTimeout(() => {
    if (node.dataset.mark === mark) delete node.dataset.mark;
  }, MARK_MS);
}

function mark(node, name, text) {
  node.dataset.mark = name;
  node.dataset.markText = text;
  unmarkLater(node, name);
}

function glide(node, from) {
  const to = node.getBoundingClientRect();
  const [x, y] = [from.left - to.left, from.top - to.top];
  if (Math.abs(x) < 1 && Math.abs(y) < 1) return;
  const frames = [{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }];
  node.animate(frames, { duration: GLIDE_MS, easing: "cubic-bezier(.2, .8, .2, 1)" });
}

function appear(node) {
  const frames = [{ opacity: 0, transform: "scale(.94)" }, { opacity: 1, transform: "none" }];
  node.animate(frames, { duration: GLIDE_MS, easing: "ease-out" });
}

function keepFocus(list, focused, place) {
  if (!focused) return;
  if (focused.isConnected) focused.focus({ preventScroll: true });
  else list.children[Math.min(place, list.children.length - 1)]?.querySelector("a, button")?.focus({ preventScroll: true });
}

/**
 * Puts `list`'s children in the order of `ids`. A child that is there (by `data-id`) stays the same element, `make(id)`
 * makes the others. With `marked`, the moved and the new carry `data-mark` for a moment.
 */
export function arrange(list, ids, make, marked) {
  const old = new Map([...list.children].map((node, place) => [node.dataset.id, { node, place, at: node.getBoundingClientRect() }]));
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? [...list.children].findIndex((node) => node.contains(focused)) : -1;
  const nodes = ids.map((id) => old.get(id)?.node ?? make(id));
  list.replaceChildren(...nodes);
  keepFocus(list, focused, place);
  if (!marked || old.size === 0) return;
  nodes.forEach((node, position) => {
    const before = old.get(node.dataset.id);
    if (!before) mark(node, "new", t("mark.new"));
    else if (before.place !== position) mark(node, "moved", `${before.place > position ? "↑" : "↓"} ${Math.abs(before.place - position)}`);
    if (calm.matches) return;
    if (before) glide(node, before.at);
    else appear(node);
  });
}
