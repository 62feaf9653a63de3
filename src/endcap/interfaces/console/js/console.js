/** The console: its pages by the address after `#`, and the key where the server asks for one. */

import { advice } from "./advice.js";
import { ApiError, setKey } from "./api.js";
import { dataPage } from "./data.js";
import { $, h } from "./dom.js";
import { languageButton, t, translatePage } from "./i18n.js";
import { modelsPage } from "./models.js";
import { overview } from "./overview.js";
import { resultsPage } from "./results.js";
import { rulesPage } from "./rules.js";
import { themeButton } from "./theme.js";
import { tracePage } from "./trace.js";
import { usersPage } from "./users.js";
import { startWatching, watch } from "./watch.js";

const PAGES = { "": overview, why: tracePage, results: resultsPage, rules: rulesPage, models: modelsPage, data: dataPage, users: usersPage };
const page = $("#page");
let leave = new AbortController();

function askForKey() {
  const field = h("input", { id: "key", type: "password", autocomplete: "off", required: true });
  const use = (event) => {
    event.preventDefault();
    setKey(field.value.trim());
    location.reload();
  };
  const line = h("div", { class: "switch-line" }, field, h("button", { class: "button primary", type: "submit" }, t("key.go")));
  page.replaceChildren(h("form", { class: "key-form switch", onsubmit: use }, h("h1", {}, t("key.title")), h("p", {}, t("key.about")), h("label", { for: "key" }, t("key.label")), line));
  field.focus();
}

function failed(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401 || error.status === 403) return askForKey();
  const again = h("button", { class: "link", type: "button", onclick: go }, t("retry"));
  return page.replaceChildren(h("h1", { tabIndex: -1 }, t("error.title")), h("p", { class: "note" }, advice(error), " ", again));
}

async function go() {
  const name = location.hash.replace(/^#\/?/, "").split("?")[0];
  const known = name in PAGES ? name : "";
  leave.abort();
  leave = new AbortController();
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === known) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a small screen the line of pages is longer than it
    } else link.removeAttribute("aria-current");
  }
  document.title = `${t(`nav.${known || "overview"}`)} · Endcap`;
  try {
    await PAGES[known](page, leave.signal);
  } catch (error) {
    failed(error);
  }
}

function start() {
  translatePage();
  languageButton($("#language"));
  themeButton($("#theme"));
  watch.addEventListener("failed", ({ detail }) => [401, 403].includes(detail.status) && !$("#key") && askForKey());
  addEventListener("hashchange", () => go().then(() => $("h1", page)?.focus({ preventScroll: true })));
  go();
  startWatching();
}

start();
