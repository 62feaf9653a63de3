"""Text contrast as WCAG 2.2 counts it (1.4.3, level AA), measured on a rendered page."""

from __future__ import annotations

from playwright.sync_api import Page

_SCRIPT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return a === 0 ? [0, 0, 0, 0] : [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((value, i) => value * top[3] + under[i] * (1 - top[3])).concat(1);
  const chain = (node) => (node ? [...chain(node.parentElement), node] : []);
  const ground = (nodes) => nodes.reduce((under, node) => over(rgba(getComputedStyle(node).backgroundColor), under),
    matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1]);
  const channel = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].filter((child) => child.nodeType === 3);
    const text = own.map((child) => child.data).join("").trim();
    const nodes = chain(node);
    const style = getComputedStyle(node);
    const opacity = nodes.reduce((product, one) => product * Number(getComputedStyle(one).opacity), 1);
    if (!text || node.closest("[aria-hidden=true], :disabled") || opacity === 0) continue;
    if (!node.checkVisibility() || node.getClientRects().length === 0) continue;
    const under = ground(nodes);
    const [r, g, b, a] = rgba(style.color);
    const [first, second] = [light(over([r, g, b, a * opacity], under)), light(under)];
    const ratio = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return found;
}"""


def too_faint(page: Page) -> list[str]:
    """The texts that stand out too little from what is under them: their contrast and their beginning."""
    found: list[str] = page.evaluate(_SCRIPT)
    return found
