/** What people of this shop are interested in: themes, with their size, demand and examples. */

import { get, itemDetails, patient } from "./api.js";
import { share } from "./data.js";
import { h } from "./dom.js";
import { number, t } from "./i18n.js";
import { setTitle } from "./title.js";

function example(id, items) {
  const item = items.get(id);
  return h("li", {}, item === undefined ? h("code", {}, id) : h("a", { class: "link", href: `/shop#/item/${encodeURIComponent(id)}` }, setTitle(item.title)));
}

function row(theme, most, items) {
  const percent = `${number(100 * theme.demand, 1)} %`;
  return h("tr", {}, h("th", { scope: "row" }, theme.keywords.join(", ")), h("td", { class: "right" }, percent, share(theme.demand, most)), h("td", { class: "right" }, number(theme.people)), h("td", { class: "right" }, number(theme.items)), h("td", {}, h("ul", { class: "examples" }, theme.examples.slice(0, 3).map((id) => example(id, items)))));
}

/** A section with the themes of the version that serves; says so where it has none. */
export async function interestsOfTheShop() {
  const { themes } = await patient(() => get("/v1/interests"));
  const title = [h("h2", { id: "shop-interests" }, t("interests.title")), h("p", { class: "fine" }, t("interests.about"))];
  if (themes.length === 0) return h("section", { "aria-labelledby": "shop-interests" }, title, h("p", { class: "note" }, t("interests.none")));
  const items = await itemDetails(themes.flatMap((theme) => theme.examples.slice(0, 3)));
  const most = Math.max(...themes.map((theme) => theme.demand), Number.EPSILON);
  const head = [["theme", ""], ["demand", "right"], ["people", "right"], ["items", "right"], ["examples", ""]].map(([name, place]) => h("th", { scope: "col", class: place }, t(`interests.${name}`)));
  const table = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, themes.map((theme) => row(theme, most, items))));
  return h("section", { "aria-labelledby": "shop-interests" }, title, h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": t("interests.title") }, table));
}
