/** The storefront: its pages by the address after `#`, and what a click does. */

import { advice } from "./advice.js";
import { ApiError, itemDetails, recommend } from "./api.js";
import { addToCart, openCart, showCount } from "./basket.js";
import { dots, hueVar, letter, picture, price } from "./card.js";
import { $, debounce, h, icon, ICONS } from "./dom.js";
import { makeForYou } from "./foryou.js";
import { languageButton, t, translatePage } from "./i18n.js";
import { post, posting } from "./posting.js";
import { makeRow } from "./row.js";
import { startSenses } from "./senses.js";
import { startStrip } from "./strip.js";
import { themeButton } from "./theme.js";
import { setTitle } from "./title.js";
import { announce } from "./toast.js";
import { cart, changes, identity, remember, viewed } from "./visitor.js";
import { openWhy } from "./why.js";

const SHELF_K = 12;
const SEARCH_K = 24;
const SEARCH_PAUSE_MS = 140;

const page = $("#page");
/** What the visitor searched with last, other than words: the photo, and what was found for what was said. */
const brought = { photo: null, heard: null };
/** The list that led to the next product page: item id -> request id. */
const ledBy = new Map();

const actions = (row) => ({
  open: (id) => ledBy.set(id, row.answer.request_id),
  add: (id) => addToCart(id, row.answer.request_id),
  why: (id) => openWhy(row, id, (itemId) => dismiss(row, itemId)),
  dismiss: (id) => dismiss(row, id),
});

async function dismiss(row, itemId) {
  const receipt = await post({ type: "dismiss", item_id: itemId, request_id: row.answer.request_id });
  if (receipt === null) return;
  announce(t("dismissed"));
  if (row.load) row.load();
}

/** A row that asks once, unless it is `given` what was found; `load()` asks again. */
function askedRow(id, title, why, request, layout = "shelf", given = null) {
  const row = makeRow({ id, title, why, layout, actions, marked: true });
  row.load = async () => {
    row.request = { ...request(), ...identity() };
    try {
      const { data, ms } = given ?? (await recommend({ ...row.request, explain: true }));
      given = null;
      await row.show(data, ms);
    } catch (error) {
      row.fail(error, row.load);
    }
  };
  row.load();
  return row;
}

const trending = () => askedRow("trending", t("row.trending"), t("row.trending.why"), () => ({ recipe: "trending", k: SHELF_K }));

function withCart() {
  const ids = [...cart().keys()];
  return askedRow("with-cart", t("row.cart"), t("row.cart.why"), () => ({ recipe: "bought-together", item_ids: ids, k: SHELF_K }));
}

async function because(slot) {
  const [last] = viewed();
  const item = last ? (await itemDetails([last])).get(last) : null;
  if (!item) return;
  const title = t("row.because", { title: setTitle(item.title) });
  slot.append(askedRow("because", title, t("row.because.why"), () => ({ recipe: "similar", item_ids: [last], k: SHELF_K })).element);
}

/** What the visitor bought and may need again by now; nothing where there is none. */
async function again(slot) {
  const request = { recipe: "buy-again", k: SHELF_K, ...identity() };
  const { data, ms } = await recommend({ ...request, explain: true });
  if (data.items.length === 0) return slot.replaceChildren();
  const row = makeRow({ id: "again", title: t("row.again"), why: t("row.again.why"), layout: "shelf", actions });
  Object.assign(row, { request, load: () => again(slot) });
  slot.replaceChildren(row.element);
  return row.show(data, ms);
}

const forYou = makeForYou(actions);

function home() {
  const slots = { own: h("div"), because: h("div"), cart: h("div"), again: h("div") };
  const intro = h("header", { class: "intro" }, h("h1", { tabIndex: -1 }, t("home.title")), h("p", {}, t("home.about")));
  page.replaceChildren(intro, slots.own, slots.because, slots.cart, slots.again, trending().element);
  forYou.mount(slots.own, "home");
  because(slots.because).catch((error) => slots.because.append(h("p", { class: "note" }, advice(error))));
  again(slots.again).catch((error) => slots.again.append(h("p", { class: "note" }, advice(error))));
  const fillCart = () => slots.cart.replaceChildren(...(cart().size > 0 ? [withCart().element] : []));
  fillCart();
  return { title: t("shop.name"), onCart: fillCart };
}

function facts(item) {
  const pairs = [
    [t("fact.brand"), item.brand],
    [t("fact.category"), item.categories?.join(", ")],
    [t("fact.code"), item.item_id],
    [t("fact.stock"), item.in_stock === false ? t("fact.stock.no") : t("fact.stock.yes")],
  ];
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** The tile is the page's own ground where there is no photo, so that the title stands once. */
function productFrame(item, ...text) {
  if (item.image) return h("article", { class: "product" }, picture(item), h("div", { class: "product-text" }, text));
  return h("article", { class: "product hero tile", vars: { "--hue": hueVar(item) } }, letter(item), h("div", { class: "product-text" }, dots(item), text));
}

function productHead(item, requestId) {
  const buy = h("button", { class: "button primary", type: "button", id: "add", onclick: () => addToCart(item.item_id, requestId) }, t("product.add"));
  const no = h("button", { class: "button", type: "button", onclick: () => post({ type: "dismiss", item_id: item.item_id }).then((receipt) => receipt && announce(t("dismissed"))) }, t("dismiss"));
  return productFrame(
    item,
    h("h1", { tabIndex: -1 }, setTitle(item.title)),
    h("p", { class: "product-price" }, price(item)),
    item.description ? h("p", { class: "description" }, item.description) : null,
    h("div", { class: "buttons" }, buy, no),
    facts(item),
  );
}

async function product(itemId) {
  const requestId = ledBy.get(itemId) ?? null;
  ledBy.delete(itemId);
  const item = (await itemDetails([itemId])).get(itemId);
  if (!item) throw new ApiError(404, "not_found", itemId);
  remember(itemId);
  post({ type: "view", item_id: itemId, ...(requestId ? { request_id: requestId } : {}) });
  const rail = h("aside", { class: "side" });
  const similar = askedRow("similar", t("row.similar"), t("row.similar.why"), () => ({ recipe: "similar", item_ids: [itemId], k: SHELF_K }));
  const together = askedRow("together", t("row.together"), t("row.together.why"), () => ({ recipe: "bought-together", item_ids: [itemId], k: SHELF_K }));
  const back = h("a", { class: "back", href: "#/" }, icon(ICONS.arrow, 16), t("product.back"));
  const main = h("div", { class: "main" }, productHead(item, requestId), similar.element, together.element);
  page.replaceChildren(back, h("div", { class: "with-rail" }, main, rail));
  forYou.mount(rail, "rail");
  return { title: setTitle(item.title) };
}

function search(query) {
  const given = brought.heard?.data.query === query ? brought.heard : null;
  brought.heard = null;
  const row = askedRow("search", t("search.title", { query }), t("search.why"), () => ({ recipe: "search", query, k: SEARCH_K }), "grid wide", given);
  page.replaceChildren(row.element);
  if ($("#query").value !== query) $("#query").value = query;
  return { title: t("search.title", { query }), keepFocus: true };
}

function byPhoto() {
  const { photo } = brought;
  if (photo === null) return home(); // the page was loaded again: a photo is kept nowhere
  const row = askedRow("search", t("photo.title"), t("photo.why"), () => ({ recipe: "search", image: photo, k: SEARCH_K }), "grid wide");
  $(".row-head", row.element).prepend(h("img", { class: "sought", src: photo, alt: t("photo.alt") }));
  page.replaceChildren(row.element);
  return { title: t("photo.title") };
}

async function heard(audio) {
  brought.heard = await recommend({ recipe: "search", audio, k: SEARCH_K, explain: true, ...identity() });
  const { query } = brought.heard.data;
  post({ type: "search", query });
  open(`#/search/${encodeURIComponent(query)}`);
}

function failed(error) {
  const sentence = error.status === 404 ? t("product.gone") : advice(error);
  page.replaceChildren(h("h1", { tabIndex: -1 }, t("error.title")), h("p", { class: "note" }, sentence, " ", h("a", { href: "#/" }, t("product.back"))));
  return { title: t("error.title") };
}

const current = { address: null, onCart: () => {} };

function draw(kind, name) {
  if (kind === "item" && name) return product(name);
  if (kind === "search" && name) return search(name);
  if (kind === "photo") return byPhoto();
  return home();
}

async function go() {
  const address = location.hash;
  const first = current.address === null;
  current.address = address;
  const [kind = "", ...rest] = address.replace(/^#\/?/, "").split("/");
  const name = decodeURIComponent(rest.join("/"));
  const drawn = await Promise.resolve(draw(kind, name)).catch((error) => {
    if (!(error instanceof ApiError)) throw error;
    return failed(error);
  });
  if (current.address !== address) return;
  current.onCart = drawn.onCart ?? (() => {});
  document.title = `${drawn.title} · Endcap`;
  if (drawn.keepFocus) return;
  $("#query").value = "";
  if (first) return;
  scrollTo(0, 0);
  $("h1", page)?.focus({ preventScroll: true });
}

/** Goes to `address`, and draws it again where that is shown already. */
function open(address) {
  if (location.hash === address) go();
  else location.hash = address;
}

function startSearch() {
  const field = $("#query");
  const show = () => {
    const query = field.value.trim();
    const address = query ? `#/search/${encodeURIComponent(query)}` : "#/";
    if (location.hash.startsWith("#/search/")) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    if (query) go();
  };
  field.addEventListener("input", debounce(SEARCH_PAUSE_MS, show));
  $("#search").addEventListener("submit", (event) => {
    event.preventDefault();
    const query = field.value.trim();
    if (!query) return;
    post({ type: "search", query });
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, dialog")) return;
    event.preventDefault();
    field.focus();
  });
}

function start() {
  translatePage();
  languageButton($("#language"));
  themeButton($("#theme"));
  $("#cart").addEventListener("click", openCart);
  $(".skip").addEventListener("click", (event) => (event.preventDefault(), page.focus()));
  changes.addEventListener("cart", () => (showCount(), current.onCart()));
  changes.addEventListener("who", () => location.reload());
  posting.addEventListener("failed", ({ detail }) => announce(advice(detail)));
  showCount();
  startSearch();
  startSenses((photo) => ((brought.photo = photo), open("#/photo")), heard).catch((error) => announce(advice(error)));
  startStrip();
  forYou.follow();
  addEventListener("hashchange", go);
  go();
}

start();
