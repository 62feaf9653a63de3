/** Data: what each import read, mended, dropped and kept, with examples. */

import { said } from "./advice.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { hasWord, locale, number, t, worded } from "./i18n.js";

const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

const quoted = (examples) => h("ul", { class: "examples" }, examples.map((text) => h("li", {}, h("code", {}, text))));

/** `rows` as a bar, `of` being all of it. */
export function share(rows, of) {
  return h("span", { class: "share", "aria-hidden": "true" }, h("i", { vars: { "--width": String(of > 0 ? Math.min(rows / of, 1) : 0) } }));
}

function line(name, meaning, action, rows, of, examples) {
  return h(
    "tr",
    {},
    h("td", {}, h("strong", {}, name), meaning ? h("p", { class: "fine" }, meaning) : null),
    h("td", {}, hasWord(`action.${action}`) ? t(`action.${action}`) : action),
    h("td", { class: "right" }, number(rows), share(rows, of)),
    h("td", {}, examples.length > 0 ? quoted(examples) : "–"),
  );
}

function table(report) {
  const heads = [["rule", ""], ["action", ""], ["count", "right"], ["examples", ""]].map(([name, place]) => h("th", { scope: "col", class: place }, t(`data.${name}`)));
  const rules = report.rules.map((rule) => line(worded(`rule.${rule.name}`, rule.name.replaceAll("_", " ")), worded(`rule.${rule.name}.meaning`, rule.meaning), rule.action, rule.rows, report.rows, rule.examples));
  const refused = report.refused.map((one) => line(said(worded("data.reason", ""), one.reason), "", "refused", one.rows, report.rows, one.examples));
  const box = { class: "table-box", tabindex: "0", role: "region", "aria-label": t("data.title") };
  return h("div", box, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rules, refused)));
}

function figures(report) {
  const pairs = [["data.read", report.rows], ["data.stored", report.stored], ["data.duplicates", report.duplicates], ["data.refused", report.refused.reduce((sum, one) => sum + one.rows, 0)]];
  const boxes = pairs.map(([name, value]) => h("div", { class: "figure" }, h("p", { class: "figure-name" }, t(name)), h("p", { class: "figure-value" }, number(value))));
  return h("div", { class: "figures" }, boxes);
}

function notes(report) {
  return report.notes.map((sentence) => h("p", { class: "fine" }, said(worded("data.note", ""), sentence)));
}

function reportView({ name, report }) {
  const kind = hasWord(`data.kind.${report.kind}`) ? t(`data.kind.${report.kind}`) : report.kind;
  const title = report.dry_run ? `${kind} (${t("data.dry")})` : kind;
  const head = h("header", { class: "report-head" }, h("h2", { id: `report-${name}` }, title), h("span", {}, when.format(report.time)), h("span", {}, report.files.join(", ")));
  const body = report.rules.length + report.refused.length > 0 ? table(report) : h("p", { class: "note" }, t("data.clean"));
  return h("section", { class: "report", "aria-labelledby": `report-${name}` }, head, figures(report), ...notes(report), body);
}

/** Reports of imports; the folder may hold others, which are not about rows. */
const isImport = ({ report }) => Array.isArray(report?.rules) && Array.isArray(report?.refused) && typeof report.rows === "number";

export async function dataPage(page) {
  const { reports } = await get("/v1/reports");
  const imports = reports.filter(isImport);
  const head = h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("data.title")), h("p", {}, t("data.about"))));
  page.replaceChildren(head, ...(imports.length > 0 ? imports.map(reportView) : [h("p", { class: "note" }, t("data.empty"))]));
}
