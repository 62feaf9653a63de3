/** The cart: adding, taking out and buying, each of them an event. */

import { itemDetails } from "./api.js";
import { picture, priceOf } from "./card.js";
import { $, h, icon, ICONS } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { money, number, t } from "./i18n.js";
import { post } from "./posting.js";
import { setTitle } from "./title.js";
import { announce } from "./toast.js";
import { cart, emptyCart, setQuantity } from "./visitor.js";

const line = (item, quantity) => ({ item_id: item.item_id, quantity, ...(priceOf(item) === null ? {} : { price: priceOf(item) }) });
const currency = (item) => (item.currency ? { currency: item.currency } : {});

export async function addToCart(itemId, requestId) {
  const item = (await itemDetails([itemId])).get(itemId);
  await post({ type: "cart", items: [line(item, 1)], ...currency(item), ...(requestId ? { request_id: requestId } : {}) });
  setQuantity(itemId, (cart().get(itemId) ?? 0) + 1);
  announce(t("cart.added", { title: setTitle(item.title) }));
}

async function takeOne(item) {
  await post({ type: "uncart", items: [line(item, 1)], ...currency(item) });
  setQuantity(item.item_id, cart().get(item.item_id) - 1);
}

async function buy(items) {
  const lines = [...cart()].filter(([id]) => items.has(id)).map(([id, quantity]) => line(items.get(id), quantity));
  const value = lines.reduce((sum, one) => sum + (one.price ?? 0) * one.quantity, 0);
  const [first] = items.values();
  await post({ type: "purchase", items: lines, value: Math.round(value * 100) / 100, ...currency(first) });
  emptyCart();
  announce(t("cart.bought"));
}

export function showCount() {
  const count = [...cart().values()].reduce((sum, quantity) => sum + quantity, 0);
  $("#cart-count").textContent = number(count);
  $("#cart-count").hidden = count === 0;
  $("#cart").setAttribute("aria-label", t("cart.open", { count: number(count) }));
}

function lineView(item, quantity, refill) {
  const title = setTitle(item.title);
  const step = (path, key, task) => h("button", { class: "round quiet", type: "button", "aria-label": t(key, { title }), onclick: async () => (await task(), refill()) }, icon(path, 14));
  const less = step(ICONS.minus, "cart.less", () => takeOne(item));
  const more = step(ICONS.plus, "card.add", () => addToCart(item.item_id, null));
  const counter = h("span", { class: "counter" }, less, h("span", { class: "quantity" }, number(quantity)), more);
  const sum = h("span", { class: "line-sum" }, money((priceOf(item) ?? 0) * quantity, item.currency));
  return h("li", { class: "line" }, picture(item), h("div", { class: "line-foot" }, counter, sum));
}

function content(items, refill) {
  const lines = [...cart()].filter(([id]) => items.has(id));
  if (lines.length === 0) return [h("p", { class: "note" }, t("cart.empty"))];
  const total = lines.reduce((sum, [id, quantity]) => sum + (priceOf(items.get(id)) ?? 0) * quantity, 0);
  const [first] = items.values();
  const pay = h("button", { class: "button primary", type: "button", onclick: async () => (await buy(items), refill()) }, t("cart.buy"));
  return [
    h("ol", { class: "lines" }, lines.map(([id, quantity]) => lineView(items.get(id), quantity, refill))),
    h("p", { class: "total-line" }, h("span", {}, t("cart.total")), h("strong", {}, money(total, first.currency))),
    pay,
    h("p", { class: "fine" }, t("cart.fine")),
  ];
}

export function openCart() {
  const inside = h("div", { class: "cart-content" });
  const refill = async () => {
    const place = [...inside.querySelectorAll("button")].indexOf(document.activeElement);
    inside.replaceChildren(...content(await itemDetails([...cart().keys()]), refill));
    if (place >= 0) inside.querySelectorAll("button")[place]?.focus();
  };
  openDrawer("cart", t("cart"), inside);
  return refill();
}
