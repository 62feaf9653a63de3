/** "Why?": the sentence, the parts of the score as bars that add up to it, and the way to say no. */

import { advice } from "./advice.js";
import { itemDetails, recommend } from "./api.js";
import { hueVar, letter, picture, setSentence } from "./card.js";
import { h } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { hasWord, number, t } from "./i18n.js";
import { setTitle } from "./title.js";

const DIGITS = 3;

/** A rule of the shop under its own name, letter for letter; null for anything else. */
export const shopRule = (name, word = "rule.shop") => (name.startsWith("rule:") ? t(word, { name: name.slice("rule:".length) }) : null);

/** The name of a part as people say it; an unknown one as the server wrote it. */
export const partName = (name) => shopRule(name, "part.shop") ?? (hasWord(`part.${name}`) ? t(`part.${name}`) : name.replaceAll("_", " "));

function bar(name, value, from, scale) {
  const [left, width] = [Math.min(from, from + value), Math.abs(value)];
  const track = h("span", { class: "bar" }, h("i", { class: value < 0 ? "minus" : "", vars: { "--from": String(left / scale), "--width": String(width / scale) } }));
  return h("li", { class: "part" }, h("span", { class: "part-name" }, partName(name)), h("span", { class: "part-value" }, number(value, DIGITS)), track);
}

/** Each bar starts where the one before ended, so that they visibly add up to the score, which is the last bar. */
export function bars(entry) {
  const parts = Object.entries(entry.parts).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const ends = [];
  parts.reduce((sum, [, value]) => (ends.push(sum + value), sum + value), 0);
  const scale = Math.max(...ends, entry.score, Number.EPSILON);
  const rows = parts.map(([name, value], place) => bar(name, value, place === 0 ? 0 : ends[place - 1], scale));
  const total = bar(t("why.score"), entry.score, 0, scale);
  total.classList.add("total");
  return h("ol", { class: "parts" }, rows, total);
}

/** The items of the visitor's own history that speak for it, the strongest first, each with the parts that it speaks through. */
async function evidence(entry) {
  const strongest = Object.entries(entry.evidence ?? {}).sort(([a], [b]) => (entry.parts[b] ?? 0) - (entry.parts[a] ?? 0));
  const through = Map.groupBy(strongest, ([, itemId]) => itemId);
  const items = await itemDetails([...through.keys()]);
  const cards = [...through].filter(([itemId]) => items.has(itemId)).map(([itemId, parts]) => {
    const names = parts.map(([part]) => partName(part)).join(", ");
    const tile = h("span", { class: "tile", vars: { "--hue": hueVar(items.get(itemId)) } }, letter(items.get(itemId)));
    const text = h("span", {}, h("b", {}, setTitle(items.get(itemId).title)), h("span", { class: "fine" }, names));
    return h("li", { class: "evidence-card" }, tile, text);
  });
  return cards.length > 0 ? [h("h3", {}, t("why.evidence")), h("ul", { class: "evidence" }, cards)] : [];
}

async function explained(row, itemId) {
  const entry = row.answer.items.find((one) => one.item_id === itemId);
  if (entry?.parts && Object.keys(entry.parts).length > 0) return entry;
  const { data } = await recommend({ ...row.request, explain: true });
  return data.items.find((one) => one.item_id === itemId) ?? entry;
}

/** Its way into this list, for the engineer on call. */
const way = (request_id, item_id) => h("a", { class: "link", href: `/#/why?${new URLSearchParams({ request_id, item_id })}` }, t("why.way"));

async function body(row, entry) {
  const sentence = entry.reason ? setSentence(entry.reason) : t("why.none");
  const parts = entry.parts && Object.keys(entry.parts).length > 0 ? [h("h3", {}, t("why.parts")), bars(entry)] : [];
  const place = row.answer.items.findIndex((one) => one.item_id === entry.item_id) + 1;
  const facts = t("why.facts", { place, model: row.answer.model ?? t("why.nomodel"), offset: number(row.answer.offset) });
  return [h("p", { class: "why-sentence" }, sentence), ...parts, ...(await evidence(entry)), h("p", { class: "fine" }, facts, " ", way(row.answer.request_id, entry.item_id))];
}

/** Opens the drawer for one item of `row`; `dismiss(id)` says that the visitor does not want it. */
export async function openWhy(row, itemId, dismiss) {
  try {
    const [items, entry] = await Promise.all([itemDetails([itemId]), explained(row, itemId)]);
    const content = await body(row, entry);
    const no = h("button", { class: "button", type: "button", onclick: () => (dialog.close(), dismiss(itemId)) }, t("dismiss"));
    const dialog = openDrawer("why", t("why.title"), picture(items.get(itemId)), ...content, no);
  } catch (error) {
    openDrawer("why", t("why.title"), h("p", { class: "note" }, advice(error)));
  }
}
