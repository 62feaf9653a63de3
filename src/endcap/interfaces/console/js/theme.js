/** Light or dark: the system's choice until the button was used. */

const CHOICE = "endcap.theme";
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

const chosen = localStorage.getItem(CHOICE);
if (chosen) root.dataset.theme = chosen;

/** Fires `change` when the colours changed, for what is drawn on a canvas. */
export const theme = new EventTarget();
dark.addEventListener("change", () => theme.dispatchEvent(new Event("change")));

export function themeButton(button) {
  button.addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem(CHOICE, root.dataset.theme);
    theme.dispatchEvent(new Event("change"));
  });
}
