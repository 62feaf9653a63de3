/** Users: who is this shopper, what is held of them, and its erasure with a receipt. */

import { get, itemDetails, patient } from "./api.js";
import { share } from "./data.js";
import { h } from "./dom.js";
import { download } from "./download.js";
import { eraseButton, refusalNote } from "./erasure.js";
import { hasWord, locale, number, t } from "./i18n.js";
import { interestsOfTheShop } from "./interests.js";
import { setTitle } from "./title.js";

const MOST_SHOWN = 30;
const day = new Intl.DateTimeFormat(locale, { dateStyle: "full" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

const typeName = (type) => (hasWord(`event.${type}`) ? t(`event.${type}`) : type);

/** The item's title, linked to its page in the shop; an id that is not in the catalogue stays an id. */
function itemLink(id, items) {
  const item = items.get(id);
  if (item === undefined) return h("code", { title: t("users.unlisted") }, id);
  return h("a", { class: "link", href: `/shop#/item/${encodeURIComponent(id)}` }, setTitle(item.title));
}

function entry(event, items) {
  const pieces = event.quantity === 1 ? null : h("span", { class: "fine" }, ` × ${number(event.quantity, Number.isInteger(event.quantity) ? 0 : 2)}`);
  const time = h("time", { datetime: new Date(event.time).toISOString() }, clock.format(event.time));
  return h("li", { class: "moment", data: { type: event.type } }, time, h("span", { class: "moment-type" }, typeName(event.type)), h("span", {}, itemLink(event.item_id, items), pieces));
}

/** The newest events by day, and a sentence on what is not shown. */
function timeline(user, items) {
  const days = Map.groupBy(user.events, (event) => day.format(event.time));
  const parts = [...days].map(([name, events]) => [h("h3", {}, name), h("ol", { class: "moments" }, events.map((event) => entry(event, items)))]);
  const facts = { shown: number(user.events.length), all: number(user.remembered) };
  const rest = user.events.length === 0 ? t("users.timeline.empty") : t(user.remembered > user.events.length ? "users.timeline.part" : "users.timeline.all", facts);
  return h("section", { class: "timeline", "aria-labelledby": "users-timeline" }, h("h2", { id: "users-timeline" }, t("users.timeline")), h("p", { class: "fine" }, rest), parts);
}

/** Names with their values as bars, the largest first. */
function weights(pairs, text) {
  const most = Math.max(...pairs.map(([, value]) => value), Number.EPSILON);
  return h("dl", { class: "metrics" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, share(value, most), h("span", {}, text(value)))]));
}

function counts(user) {
  const pairs = Object.entries(user.counts).sort(([, a], [, b]) => b - a).map(([type, count]) => [typeName(type), count]);
  return block("counts", pairs.length > 0 ? weights(pairs, (count) => number(count)) : null);
}

function interests(user) {
  const kinds = Object.entries(user.interests).filter(([, found]) => found.length > 0);
  const bars = kinds.map(([kind, found]) => [h("h3", {}, t(`users.interest.${kind}`)), weights(found.map((one) => [one.name, one.weight]), (weight) => number(weight, 2))]);
  return block("interests", bars.length > 0 ? [h("p", { class: "fine" }, t("users.interests.about")), bars] : null);
}

function itemList(name, ids, items) {
  const more = ids.length > MOST_SHOWN ? h("p", { class: "fine" }, t("users.more", { shown: number(MOST_SHOWN), all: number(ids.length) })) : null;
  return block(name, ids.length > 0 ? [h("ul", { class: "examples" }, ids.slice(0, MOST_SHOWN).map((id) => h("li", {}, itemLink(id, items)))), more] : null);
}

/** A part of the side, with a sentence where there is nothing. */
function block(name, content) {
  return h("section", { class: "user-block", "aria-labelledby": `users-${name}` }, h("h2", { id: `users-${name}` }, t(`users.${name}`)), content ?? h("p", { class: "fine" }, t(`users.${name}.none`)));
}

const address = (id, kind) => `#/users?${new URLSearchParams({ id, ...(kind ? { kind } : {}) })}`;

/** Who that is, in sentences. */
function heading(user) {
  const joined = user.kind === "visitor" && user.user_id !== null;
  const to = joined ? h("a", { class: "link", href: address(user.user_id, "user") }, user.user_id) : null;
  return [
    h("h2", {}, t(`users.kind.${user.kind}`), " ", h("code", {}, user.id)),
    user.last_time > 0 ? h("p", { class: "fine" }, t("users.last", { when: when.format(user.last_time) })) : null,
    joined ? h("p", { class: "note" }, t("users.joined"), " ", to) : null,
    user.without_consent ? h("p", { class: "note" }, t("users.private")) : null,
  ];
}

/** What the whole log holds, in words: an export says more than the state, which forgets what is old. */
function heldView(found) {
  const types = Object.entries(Object.groupBy(found.events, (event) => event.type)).map(([type, events]) => `${typeName(type)} ${number(events.length)}`);
  const times = found.events.map((event) => event.time);
  const span = times.length > 0 ? t("users.held.span", { first: when.format(times.reduce((a, b) => Math.min(a, b))), last: when.format(times.reduce((a, b) => Math.max(a, b))) }) : "";
  const visitors = found.visitor_ids.filter((id) => id !== found.visitor_id);
  return [
    h("h3", {}, t("users.held")),
    h("p", {}, t("users.held.events", { count: number(found.events.length) }), types.length > 0 ? ` (${types.join(", ")})` : "", " ", span),
    h("p", {}, t("users.held.lists", { count: number(found.served.length) })),
    h("p", {}, t("users.held.visitors", { count: number(visitors.length) }), " ", visitors.slice(0, MOST_SHOWN).map((id) => [h("code", {}, id), " "])),
    h("p", { class: "fine" }, t("users.held.models")),
  ];
}

/** Of the user, and where the log holds nothing of one, of the visitor; `kind`, where it is given, says which. */
async function exported(id, kind) {
  const path = `/v1/users/${encodeURIComponent(id)}/export?kind=`;
  const found = await get(path + (kind ?? "user"));
  return kind === null && found.events.length + found.served.length === 0 ? get(`${path}visitor`) : found;
}

function exportButton({ id, kind, answer }) {
  const run = async () => {
    button.disabled = true;
    answer.replaceChildren(h("p", { class: "fine", role: "status" }, t("users.export.wait")));
    try {
      const found = await exported(id, kind);
      download(`endcap-export-${id}.json`, found);
      answer.replaceChildren(...heldView(found));
    } catch (error) {
      answer.replaceChildren(refusalNote(error));
    }
    button.disabled = false;
  };
  const button = h("button", { class: "button", type: "button", onclick: run }, t("users.export"));
  return button;
}

/** What can be done, `kind` null: to whoever bears the id. An erasure is of whom the data is, so of the user where a visitor was identified as one. */
function doings(id, kind, signal, erased) {
  const answer = h("div", { class: "held", "aria-live": "polite" });
  const buttons = h("div", { class: "buttons" }, exportButton({ id, kind, answer }));
  buttons.append(eraseButton({ id, kind, signal, answer, erased: () => (erased(), buttons.remove()) }));
  return [buttons, answer];
}

async function known(user, signal) {
  const owner = user.user_id ?? user.id;
  const kind = user.user_id === null ? "visitor" : "user";
  const ids = [...user.events.map((event) => event.item_id), ...user.session.slice(0, MOST_SHOWN), ...user.dismissed.slice(0, MOST_SHOWN)];
  const items = ids.length > 0 ? await itemDetails(ids) : new Map();
  const side = h("div", { class: "user-side" }, counts(user), interests(user), itemList("visit", user.session, items), itemList("dismissed", user.dismissed, items));
  const body = h("div", { class: "user-columns" }, timeline(user, items), side);
  const head = h("header", { class: "user-head" }, heading(user));
  const erased = () => [body, ...head.querySelectorAll("p")].forEach((part) => part.remove());
  return [head, ...doings(owner, kind, signal, erased), body];
}

/** Nobody by that name in the state; the log may hold more, such as lists or what was done without consent. */
function unknown(id, kind, signal) {
  return [h("p", { class: "note" }, t("users.unknown", { id })), h("p", { class: "fine" }, t("users.unknown.log")), ...doings(id, kind, signal, () => {})];
}

/** What is to be shown of `id`. Throws what the console says itself: no key, no answer. */
async function shown(id, kind, signal) {
  try {
    return await patient(async () => known(await get(`/v1/users/${encodeURIComponent(id)}${kind ? `?kind=${kind}` : ""}`), signal));
  } catch (error) {
    if (error.status !== 404) throw error;
    return unknown(id, kind, signal);
  }
}

function search(id, kind) {
  const field = h("input", { id: "users-id", name: "id", autocomplete: "off", spellcheck: "false", required: true, maxlength: "256", value: id });
  const kinds = ["", "user", "visitor"].map((name) => h("option", { value: name, selected: name === (kind ?? "") }, t(`users.ask.${name || "any"}`)));
  const choice = h("select", { id: "users-kind", name: "kind" }, kinds);
  const send = (event) => {
    event.preventDefault();
    const to = address(field.value.trim(), choice.value);
    if (location.hash === to) dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = to;
  };
  const go = h("button", { class: "button primary", type: "submit" }, t("users.go"));
  const labelled = (control, word) => h("p", { class: "field" }, h("label", { for: control.id }, t(word)), control);
  return h("form", { class: "trace-form", onsubmit: send }, labelled(field, "users.id"), labelled(choice, "users.ask"), go);
}

/** The page; the address says who: `#/users?id=17850`, with `&kind=visitor` where one name may be two. */
export async function usersPage(page, signal) {
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const id = asked.get("id") ?? "";
  const kind = ["user", "visitor"].includes(asked.get("kind")) ? asked.get("kind") : null;
  const answer = h("div", { class: "user" });
  page.replaceChildren(h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("users.title")), h("p", {}, t("users.about")))), search(id, kind), answer);
  const content = id === "" ? [await interestsOfTheShop()] : await shown(id, kind, signal);
  if (!signal.aborted) answer.replaceChildren(...content);
}
