/** Why: the way of one item into one list of the past, stage by stage, rebuilt from the log. */

import { advice } from "./advice.js";
import { get } from "./api.js";
import { setSentence } from "./card.js";
import { h } from "./dom.js";
import { hasWord, locale, number, t } from "./i18n.js";
import { setTitle } from "./title.js";
import { bars, partName, shopRule } from "./why.js";

const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });

/** The name of a rule as people say it; an unknown one as the server wrote it. */
const ruleName = (name) => shopRule(name) ?? (hasWord(`rule.${name}`) ? t(`rule.${name}`) : name.replaceAll("_", " "));

function verdict({ trace, variant_of, ahead }) {
  const facts = { place: trace.place, rules: trace.hidden_by.map(ruleName).join(", "), variant: variant_of, ahead, behind: number(trace.behind ?? 0, 4) };
  return t(`trace.${trace.verdict}`, facts);
}

/** One stage of the funnel: passed, or where the way ended. */
function stage(name, passed, sentence) {
  const mark = h("span", { class: `stage-mark ${passed ? "" : "lost"}`, "aria-hidden": "true" }, passed ? "✓" : "×");
  return h("li", { class: "stage" }, mark, h("div", {}, h("strong", {}, t(`stage.${name}`)), h("p", { class: "fine" }, sentence)));
}

function stages({ trace, items }) {
  const models = trace.proposed.map((one) => t("stage.model", { model: partName(one.model), rank: number(one.rank), of: number(one.of) }));
  const proposed = stage("proposed", models.length > 0, models.length > 0 ? models.join(" · ") : t("stage.nobody"));
  const free = trace.hidden_by.length === 0;
  const allowed = stage("allowed", free, free ? t("stage.free") : trace.hidden_by.map(ruleName).join(", "));
  const shown = trace.place !== null;
  const facts = { rank: number(trace.rank ?? 0), visible: number(trace.rank_visible ?? 0), places: number(items.length), place: number(trace.place ?? 0) };
  const ranked = trace.rank === null ? t("stage.unranked") : t(trace.rank_visible === null ? "stage.rank" : "stage.ranks", facts);
  const last = shown ? t("stage.place", facts) : t("stage.noplace", facts);
  return h("ol", { class: "stages" }, proposed, allowed, stage("ranked", trace.rank !== null && free, ranked), stage("shown", shown, last));
}

/** Whose list it was, with the way to all that is known of them. */
function who({ user_id, visitor_id }) {
  const [id, kind] = user_id === null ? [visitor_id, "visitor"] : [user_id, "user"];
  const link = h("a", { class: "link", href: `#/users?${new URLSearchParams({ id, kind })}` }, id);
  return id === null ? [] : [h("p", { class: "fine" }, t("trace.who"), " ", link)];
}

function story(found) {
  const { trace } = found;
  const title = found.title === null ? found.item_id : setTitle(found.title);
  const parts = Object.fromEntries([...trace.proposed.map((one) => [one.model, one.part]), ...trace.boosts.map((one) => [one.name, one.part])]);
  const facts = { when: when.format(found.now), model: found.model, offset: number(found.offset), recipe: found.request.recipe };
  const same = found.same === null ? [] : [h("p", { class: found.same ? "fine" : "note" }, t(found.same ? "trace.same" : "trace.differs"))];
  return [
    h("h2", {}, title, " ", h("code", {}, found.item_id)),
    h("p", { class: "why-sentence" }, verdict(found)),
    ...(found.reason ? [h("p", {}, t("trace.reason"), " ", setSentence(found.reason))] : []),
    ...(trace.due === null ? [] : [h("p", {}, t("trace.due", { when: when.format(trace.due) }))]),
    stages(found),
    ...(trace.proposed.length > 0 && trace.verdict !== "filled" ? [h("h3", {}, t("why.parts")), bars({ parts, score: trace.score })] : []),
    h("p", { class: "fine" }, t("trace.facts", facts), found.experiment === null ? "" : ` ${t("trace.experiment", { name: found.experiment })}`),
    ...who(found.request),
    ...same,
    ...found.erasures.map((one) => h("p", { class: "note" }, t("trace.erased", { number: number(one.number), when: when.format(one.time) }))),
    h("p", { class: "fine" }, t("trace.list"), " ", found.items.map((id) => [h("code", {}, id), " "])),
  ];
}

function field(name, value) {
  const input = h("input", { id: `trace-${name}`, name, autocomplete: "off", spellcheck: "false", required: true, value });
  return h("p", { class: "field" }, h("label", { for: `trace-${name}` }, t(`trace.${name}`)), input);
}

/** The page; the address holds the question, so that it can be sent to somebody: `#/why?request_id=...&item_id=...`. */
export async function tracePage(page) {
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const [request, item] = ["request_id", "item_id"].map((name) => asked.get(name) ?? "");
  const answer = h("section", { class: "trace", "aria-live": "polite" });
  const send = (event) => {
    event.preventDefault();
    const values = new URLSearchParams([...new FormData(event.target)].map(([name, value]) => [name, value.trim()]));
    location.hash = `#/why?${values}`;
  };
  const go = h("button", { class: "button primary", type: "submit" }, t("trace.go"));
  const form = h("form", { class: "trace-form", onsubmit: send }, field("request_id", request), field("item_id", item), go);
  page.replaceChildren(h("header", { class: "page-head" }, h("div", {}, h("h1", { tabIndex: -1 }, t("trace.title")), h("p", {}, t("trace.about")))), form, answer);
  if (request === "" || item === "") return;
  answer.replaceChildren(h("p", { class: "fine", role: "status" }, t("trace.wait")));
  try {
    answer.replaceChildren(...story(await get(`/v1/why?${asked}`)));
  } catch (error) {
    answer.replaceChildren(h("p", { class: "note" }, advice(error)));
  }
}
