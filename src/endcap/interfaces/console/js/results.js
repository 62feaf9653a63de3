/** Results: what the lists bring, by recipe, model or row of a page, and day by day. */

import { advice } from "./advice.js";
import { ApiError, get } from "./api.js";
import { h } from "./dom.js";
import { hasWord, locale, money, number, t } from "./i18n.js";

const RANGES = [1, 7, 28, 90];
const GROUPS = ["recipe", "model", "page_row"];
const RENEWED_MS = 5000;
const DAY_MS = 86_400_000;

const share = new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const dated = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const dayName = (iso) => dated.format(Date.parse(iso));

const inCurrency = (value, currency) => (currency === "" ? t("results.nocurrency", { amount: money(value) }) : money(value, currency, "symbol"));
/** Currencies do not add up: each stands on a line of its own. */
const net = (row) => (row.revenue.length === 0 ? "–" : row.revenue.map((one) => h("span", { class: "amount" }, inCurrency(one.net, one.currency))));
const returned = (row) => row.revenue.filter((one) => one.returned > 0).map((one) => inCurrency(one.returned, one.currency)).join(" + ");
const interval = (rate) => t("results.interval", { low: share.format(rate.low), high: share.format(rate.high) });

function rateCell(rate, ofRendered = null) {
  if (rate === null) return h("td", { class: "right" }, "–");
  const rendered = ofRendered === null ? null : h("p", { class: "fine" }, t("results.ofrendered", { share: share.format(ofRendered.value) }));
  return h("td", { class: "right" }, share.format(rate.value), h("p", { class: "fine" }, interval(rate)), rendered);
}

const cell = (text, remark = "") => h("td", { class: "right" }, text, remark ? h("p", { class: "fine" }, remark) : null);

function rowName(name, by) {
  if (by !== "page_row") return h("code", {}, name);
  return name === "0" ? t("results.nopage") : t("results.row", { n: name });
}

function examples(row) {
  return row.examples.map((one, at) => {
    const asked = new URLSearchParams({ request_id: one.request_id, item_id: one.item_id });
    return [h("a", { href: `#/why?${asked}`, "aria-label": t("results.why", { item: one.item_id }) }, t("results.example", { n: at + 1 })), " "];
  });
}

function tableRow(row, by) {
  const clicked = row.rendered > 0 ? t("results.rendered", { n: number(row.rendered) }) : "";
  const followed = row.followed > 0 ? t("results.followed", { n: number(row.followed) }) : "";
  const back = row.returns > 0 ? t("results.returned", { amount: returned(row) || number(row.returns) }) : "";
  return h(
    "tr",
    {},
    h("td", {}, h("strong", {}, row.name === "" ? t("results.all") : rowName(row.name, by)), h("p", { class: "fine" }, examples(row))),
    cell(number(row.lists), clicked),
    rateCell(row.click_through, row.rendered < row.lists ? row.click_through_rendered : null),
    cell(number(row.clicks + row.views)),
    cell(number(row.carts)),
    cell(number(row.purchases), followed),
    rateCell(row.conversion),
    cell(net(row), back),
  );
}

function table(report) {
  const heads = ["lists", "rate", "clicks", "carts", "purchases", "conversion", "revenue"];
  const head = h("tr", {}, h("th", { scope: "col" }, t(`results.by.${report.by}`)), heads.map((name) => h("th", { scope: "col", class: "right" }, t(`results.${name}`))));
  const rows = report.rows.toSorted((a, b) => b.lists - a.lists).map((row) => tableRow(row, report.by));
  const box = { class: "table-box", tabindex: "0", role: "region", "aria-label": t("results.title") };
  return h("div", box, h("table", {}, h("thead", {}, head), h("tbody", {}, rows, tableRow(report.total, report.by))));
}

function figures({ total }) {
  const pairs = [
    ["lists", number(total.lists), t("results.items", { n: number(total.items) })],
    ["rate", total.click_through ? share.format(total.click_through.value) : "–", total.click_through ? interval(total.click_through) : t("results.none")],
    ["purchases", number(total.purchases), total.conversion ? t("results.from", { n: number(total.bought) }) : ""],
    ["revenue", net(total), returned(total) ? t("results.returned", { amount: returned(total) }) : t("results.net")],
  ];
  const boxes = pairs.map(([name, value, note]) => h("div", { class: "figure" }, h("p", { class: "figure-name" }, t(`results.${name}`)), h("p", { class: "figure-value" }, value), h("p", { class: "figure-note" }, note)));
  return h("section", { class: "figures" }, boxes);
}

/** Every day of the report, also those on which nothing happened. */
function everyDay(report) {
  const found = new Map(report.rows.map((row) => [row.name, row]));
  const days = [];
  for (let at = Date.parse(report.first); at <= Date.parse(report.last); at += DAY_MS) {
    const name = new Date(at).toISOString().slice(0, 10);
    days.push([name, found.get(name) ?? null]);
  }
  return days;
}

/** One column a day; `value` gives its height, `text` says it with its unit. */
function columns(report, title, value, text) {
  const days = everyDay(report);
  const top = Math.max(...days.map(([, row]) => (row ? value(row) : 0)));
  const best = days.find(([, row]) => row && value(row) === top)?.[1];
  const bars = days.map(([name, row]) => {
    const height = top > 0 && row ? Math.max(value(row), 0) / top : 0;
    return h("span", { class: "day", title: `${dayName(name)}: ${row ? text(row) : t("results.nothing")}` }, h("i", { vars: { "--height": String(height) } }));
  });
  const range = `${dayName(report.first)} – ${dayName(report.last)}`;
  const most = top > 0 ? t("results.most", { value: text(best) }) : t("results.nothing");
  const caption = h("figcaption", {}, h("strong", {}, title), range, " · ", most);
  return h("figure", { class: "chart" }, caption, h("div", { class: "days", role: "img", "aria-label": `${title}, ${range}. ${most}` }, bars));
}

/** What was earned in one currency; `name` tells it from others. */
function revenue(report, currency, name) {
  const sold = (row) => row.revenue.find((one) => one.currency === currency)?.net ?? 0;
  return columns(report, [t("results.revenue"), name].filter(Boolean).join(", "), sold, (row) => inCurrency(sold(row), currency));
}

function charts(report) {
  const currencies = report.total.revenue.length > 0 ? report.total.revenue.map((one) => one.currency) : [""];
  const name = (currency) => (currencies.length > 1 ? currency || t("results.nocurrency.name") : "");
  const parts = [
    columns(report, t("results.lists"), (row) => row.lists, (row) => t("results.unit", { n: number(row.lists) })),
    columns(report, t("results.rate"), (row) => row.click_through?.value ?? 0, (row) => (row.click_through ? `${share.format(row.click_through.value)} (${interval(row.click_through)})` : "–")),
    ...currencies.map((currency) => revenue(report, currency, name(currency))),
  ];
  return h("section", { class: "charts" }, parts);
}

function leftOut(report) {
  const reasons = Object.entries(report.left_out).sort(([, a], [, b]) => b - a);
  if (reasons.length === 0) return h("p", { class: "fine" }, t("results.allcounted"));
  const name = (reason) => (hasWord(`results.out.${reason}`) ? t(`results.out.${reason}`) : reason.replaceAll("_", " "));
  return h("div", {}, h("h2", {}, t("results.out")), h("ul", { class: "examples" }, reasons.map(([reason, lines]) => h("li", {}, h("b", {}, number(lines)), " ", name(reason)))));
}

function chips(names, chosen, label, word, address) {
  const links = names.map((name) => h("a", { class: "chip", href: address(name), "aria-current": name === chosen ? "true" : null }, word(name)));
  return h("nav", { class: "chips", "aria-label": label }, links);
}

/** The page; the address holds what is asked for: `#/results?days=28&by=recipe`. It renews itself until `signal`. */
export async function resultsPage(page, signal) {
  const given = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const days = RANGES.includes(Number(given.get("days"))) ? Number(given.get("days")) : 28;
  const by = GROUPS.includes(given.get("by")) ? given.get("by") : "recipe";
  const content = h("div", { class: "results" });
  const note = h("p", { class: "note", role: "status", hidden: true });
  const ranges = chips(RANGES, days, t("chart.range"), (n) => t("results.days", { n }), (n) => `#/results?days=${n}&by=${by}`);
  const groups = chips(GROUPS, by, t("results.group"), (name) => t(`results.by.${name}`), (name) => `#/results?days=${days}&by=${name}`);
  const head = h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("results.title")), h("p", {}, t("results.about"))), h("div", { class: "results-choice" }, ranges, groups));
  page.replaceChildren(head, note, content);
  let shown = "";
  const load = async () => {
    const from = Date.now() - (days - 1) * DAY_MS;
    const path = `/v1/reports/attribution?from=${from}&by=`;
    const report = await get(path + by); // one after the other: a page that renews itself does not push in
    const daily = await get(`${path}day`);
    note.hidden = true;
    const now = JSON.stringify([report, daily]);
    if (now === shown || content.contains(document.activeElement)) return; // nobody loses the link they stand on
    shown = now;
    const explained = h("p", { class: "fine facts-line" }, t("results.explained", { days: number(report.window_days) }));
    const body = report.rows.length === 0 ? [h("p", { class: "note" }, t("results.empty"))] : [figures(report), charts(daily), table(report), explained];
    content.replaceChildren(...body, leftOut(report));
  };
  await load();
  const renew = async () => {
    try {
      await load();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      note.replaceChildren(advice(error));
      note.hidden = false;
    }
  };
  const timer = setInterval(renew, RENEWED_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}
