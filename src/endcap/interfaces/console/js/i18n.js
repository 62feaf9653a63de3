/** The page in the reader's language: the browser's, or the one that was chosen here. */

import { WORDS } from "./words.js";

const CHOICE = "endcap.language";
const NAMES = { en: "English", zh: "中文" };

export const language = localStorage.getItem(CHOICE) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
export const locale = language === "zh" ? "zh-CN" : navigator.language.startsWith("en") ? navigator.language : "en-GB";

/** The text of `key`, with `{name}` replaced from `values`. An unknown key is shown as it is. */
export function t(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The text of `key` where this language has one: for what the server says in English; otherwise `otherwise`. */
export const worded = (key, otherwise) => WORDS[language][key] ?? otherwise;

export const hasWord = (key) => key in WORDS.en;

/** Fills the static parts of a page: `data-t` names the text, `data-t-label` the accessible name, `data-t-hint` the placeholder. */
export function translatePage() {
  document.documentElement.lang = locale;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-t-hint]")) node.setAttribute("placeholder", t(node.dataset.tHint));
}

/** Makes `button` switch to the other language. The page loads again: no text can be left behind. */
export function languageButton(button) {
  const other = language === "en" ? "zh" : "en";
  button.textContent = NAMES[other];
  button.lang = other;
  button.addEventListener("click", () => {
    localStorage.setItem(CHOICE, other);
    location.reload();
  });
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** Milliseconds with as many digits as say something. */
export const ms = (value) => `${number(value, value < 10 ? 1 : 0)} ms`;

/** `display` "symbol" tells the dollars and the yens apart, which the narrow one does not. */
export function money(value, currency, display = "narrowSymbol") {
  if (value === null || value === undefined) return "";
  if (!currency) return number(value, 2);
  try {
    return new Intl.NumberFormat(locale, { style: "currency", currency, currencyDisplay: display }).format(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return `${number(value, 2)} ${currency}`; // an old entry of the log may hold any text
  }
}

const SPANS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** How long ago `time` (milliseconds since 1970) was, in words. */
export function ago(time, now = Date.now()) {
  const seconds = Math.max((now - time) / 1000, 0);
  const [unit, size] = SPANS.find(([, span]) => seconds >= span) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(-Math.floor(seconds / size), unit);
}
