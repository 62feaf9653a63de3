/** One item in a list: its photo or a typographic tile, its price, one short reason, and what can be done with it. */

import { h, icon, ICONS } from "./dom.js";
import { money, t } from "./i18n.js";
import { showPhoto } from "./photo.js";
import { coloursOf, headNoun, hueOf, setTitle } from "./title.js";

/** A run of shouting words inside a sentence, as reasons quote titles as the shop wrote them. */
const SHOUTED = /(?:[\p{Lu}\d][\p{Lu}\d'’/+.&-]*,?\s+){1,}[\p{Lu}\d][\p{Lu}\d'’/+.&-]*/gu;

const QUOTED = /“([^”]+)”/g;

/** The sentence with the titles that it quotes set like the cards set them. */
export function setSentence(text) {
  const calm = text.replace(SHOUTED, (run) => setTitle(run));
  return calm.replace(QUOTED, (whole, title) => {
    const first = title.charAt(0);
    const asServerQuiets = first !== first.toLowerCase() && title.slice(1) === title.slice(1).toLowerCase();
    return asServerQuiets ? `“${setTitle(title.toUpperCase())}”` : whole;
  });
}

export const hueVar = (item) => String(Math.round(hueOf(item.title)));

/** The first letter of what the thing is, large and quiet. */
export const letter = (item) => h("span", { class: "tile-letter", "aria-hidden": "true" }, headNoun(item.title).charAt(0));

/** The colours that the title names. */
export function dots(item) {
  const found = coloursOf(item.title).map((colour) => h("i", { class: "dot", vars: { "--dot": colour } }));
  return h("span", { class: "tile-dots", "aria-hidden": "true" }, found);
}

function tile(item) {
  return h("div", { class: "tile", vars: { "--hue": hueVar(item) } }, letter(item), dots(item), h("span", { class: "tile-title" }, setTitle(item.title)));
}

/** The photo with the title below; without one, or where it cannot be had, a typographic tile with the title in it. */
export function picture(item) {
  if (!item.image) return tile(item);
  const photo = h("img", { alt: "", loading: "lazy", decoding: "async" });
  const framed = h("div", { class: "photo" }, photo, h("span", { class: "photo-title" }, setTitle(item.title)));
  const giveUp = () => framed.replaceWith(tile(item));
  photo.addEventListener("error", giveUp);
  showPhoto(photo, item).catch(giveUp);
  return framed;
}

export function price(item) {
  if (item.sale_price === null || item.sale_price === undefined) {
    return h("span", { class: "price" }, money(item.price, item.currency));
  }
  return h(
    "span",
    { class: "price" },
    money(item.sale_price, item.currency),
    h("s", {}, money(item.price, item.currency)),
  );
}

/** What a piece costs now, or null where the shop names no price. */
export const priceOf = (item) => item.sale_price ?? item.price ?? null;

const cleaned = (reason) => (reason ? setSentence(reason) : "");

/** The card of `item`. `actions` has `add`, `why` and `dismiss`, each called with the item's id. */
export function makeCard(item, entry, actions) {
  const title = setTitle(item.title);
  const id = item.item_id;
  const link = h("a", { class: "card-link", href: `#/item/${encodeURIComponent(id)}`, onclick: () => actions.open(id) }, picture(item));
  const add = { class: "round add", type: "button", "aria-label": t("card.add", { title }), onclick: () => actions.add(id) };
  const away = { class: "away", type: "button", "aria-label": t("card.dismiss", { title }), onclick: () => actions.dismiss(id) };
  const why = { class: "link", type: "button", "aria-label": t("card.why", { title }), onclick: () => actions.why(id) };
  return h(
    "li",
    { class: "card", data: { id } },
    link,
    h("button", away, icon(ICONS.close, 14)),
    h("div", { class: "card-foot" }, price(item), h("button", add, icon(ICONS.plus, 16))),
    h("p", { class: "reason" }, h("span", { class: "reason-text" }, cleaned(entry.reason)), h("button", why, t("why"))),
  );
}

/** The reason can change while the card stays. */
export function updateCard(node, entry) {
  node.querySelector(".reason-text").textContent = cleaned(entry.reason);
}
