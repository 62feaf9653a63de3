/** Photos: where an item's lies, and one that somebody searches with, made small enough to send. */

import { keyed } from "./api.js";
import { h } from "./dom.js";

const SIDE = 640;
const QUALITY = 0.85;
const ELSEWHERE = /^(https?:|data:|\/)/i;

/** Shows the photo of `item` in `image`. A path in the image folder comes from the API, with the key where one is needed. */
export async function showPhoto(image, item) {
  if (ELSEWHERE.test(item.image)) {
    image.src = item.image;
    return;
  }
  const path = `/v1/item-images/${encodeURIComponent(item.item_id)}`;
  image.src = await keyed(path);
}

/** The file's picture as a JPEG of at most 640 pixels a side, as a data: address. Throws where the browser cannot read it. */
export async function scaled(file) {
  const bitmap = await createImageBitmap(file);
  const shrink = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * shrink)));
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#ffffff"; // behind what is transparent, as the shop's encoder sees it
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", QUALITY);
}
