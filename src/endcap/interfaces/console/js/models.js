/** Models: which version serves, how good each one is, forward and back. */

import { call, get } from "./api.js";
import { advice, said } from "./advice.js";
import { h } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { ago, locale, number, t, worded } from "./i18n.js";
import { announce } from "./toast.js";

const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/** Asks before it does it: the change is seen by every visitor. */
function confirmActivation(model, older, reload) {
  const act = async () => {
    try {
      const { data } = await call("POST", `/v1/models/${encodeURIComponent(model.version)}/activate`);
      announce(t("models.done", { version: data.version, offset: number(data.offset) }));
    } catch (error) {
      announce(advice(error));
    }
    dialog.close();
    await reload();
  };
  const sentence = t(older ? "models.confirm.rollback" : "models.confirm.activate", { version: model.version });
  const yes = h("button", { class: "button primary", type: "button", onclick: act }, t(older ? "models.rollback" : "models.activate"));
  const no = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, t("models.cancel"));
  const dialog = openDrawer("confirm", t("models.confirm.title"), h("p", { class: "why-sentence" }, sentence), h("div", { class: "buttons" }, yes, no));
}

function interval([low, high]) {
  return [" ", h("span", { class: "fine" }, t("models.interval", { low: number(low, 3), high: number(high, 3) }))];
}

/** One metric: a name, a bar and a value with its interval for each of what was measured, the best first. */
function metricBars(metric, pairs, intervals) {
  const best = Math.max(...pairs.map(([, value]) => value), Number.EPSILON);
  const sorted = pairs.toSorted(([, a], [, b]) => b - a);
  const lines = sorted.map(([name, value]) => {
    const bar = h("span", { class: "share", "aria-hidden": "true" }, h("i", { vars: { "--width": String(Math.max(value, 0) / best) } }));
    return [h("dt", {}, name.slice(0, -metric.length).trim() || metric), h("dd", {}, bar, h("span", {}, number(value, 4), intervals[name] ? interval(intervals[name]) : null))];
  });
  return h("dl", { class: "metrics" }, lines);
}

/** Names are `what was measured` + a space + `metric@k`. */
function metrics(model) {
  const pairs = Object.entries(model.metrics);
  if (pairs.length === 0) return t("figure.none");
  const groups = Map.groupBy(pairs, ([name]) => name.split(" ").at(-1));
  return [...groups].map(([metric, all]) => [h("strong", {}, metric), metricBars(metric, all, model.intervals)]);
}

function action(model, active, reload) {
  if (model.problem) return h("p", { class: "figure-note bad" }, said(worded("models.problem", ""), model.problem));
  if (model.active) return h("span", { class: "tag" }, t("models.serving"));
  const older = active !== undefined && model.created < active.created;
  const press = () => confirmActivation(model, older, reload);
  return h("button", { class: "button", type: "button", onclick: press }, t(older ? "models.rollback" : "models.activate"));
}

function row(model, active, reload) {
  return h(
    "tr",
    {},
    h("td", {}, h("code", {}, model.version)),
    h("td", {}, when.format(model.created), h("br"), h("span", { class: "fine" }, ago(model.created))),
    h("td", { class: "right" }, number(model.offset)),
    h("td", {}, metrics(model)),
    h("td", { class: "right" }, action(model, active, reload)),
  );
}

function table(models, reload) {
  const heads = ["version", "created", "offset", "figures", "state"].map((name) => h("th", { scope: "col", class: name === "offset" || name === "state" ? "right" : "" }, t(`models.${name}`)));
  const active = models.find((model) => model.active);
  return h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": t("models.title") }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, models.map((model) => row(model, active, reload)))));
}

const some = (figures) => Object.keys(figures).length > 0;

/** What the figures above are, and of which versions something is missing. */
function explained(models) {
  const measured = models.filter((model) => some(model.metrics));
  const sure = measured.filter((model) => some(model.intervals));
  const keys = [
    ...(measured.length > 0 ? ["models.metrics"] : []),
    ...(sure.length > 0 ? ["models.intervals"] : []),
    ...(sure.length < measured.length ? ["models.unsure"] : []),
  ];
  return h("p", { class: "fine facts-line" }, keys.map((key) => h("span", {}, t(key))));
}

export async function modelsPage(page) {
  const content = h("div");
  const warning = h("p", { class: "note", role: "status", hidden: true });
  page.replaceChildren(h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("models.title")), h("p", {}, t("models.about")))), warning, content);
  const load = async () => {
    const { models, problem } = await get("/v1/models");
    const outlived = models.find((model) => model.active && model.erasures > 0);
    const erased = outlived ? t("models.erased", { count: number(outlived.erasures) }) : "";
    warning.replaceChildren(problem === null ? erased : said(worded("models.wanted", ""), problem));
    warning.hidden = warning.textContent === "";
    if (models.length === 0) content.replaceChildren(h("p", { class: "note" }, t("models.empty")));
    else content.replaceChildren(table(models, load), explained(models));
  };
  await load();
}
