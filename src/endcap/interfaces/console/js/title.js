/** How a product without a photo is set: a readable title, its head noun, a quiet hue, the colours it names. */

const UPPER = new Set(["led", "uk", "usa", "tv", "cd", "dvd", "diy", "usb", "xl", "xxl", "lp", "ac", "a4", "a5", "a6", "ii"]);
const PROPER = new Set(
  ("christmas easter halloween jubilee valentine paris london england english british french france italian " +
    "scandinavian scandinavia moroccan indian chinese japanese swiss victorian edwardian brocante regency charlotte " +
    "suki alice russian dolly scottie teddy santa noel jack rex spaceboy rosie eiffel cornish parisian venetian " +
    "bakelite french monday sunday january february april june july august september october november december").split(" "),
);
const MIXED = new Map([["t-light", "T-light"], ["t-lights", "T-lights"], ["i", "I"], ["t-shirt", "T-shirt"]]);

function isShouting(text) {
  const letters = text.replace(/[^\p{L}]/gu, "");
  const upper = letters.replace(/[^\p{Lu}]/gu, "");
  return letters.length > 3 && upper.length / letters.length > 0.7;
}

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

function setWord(word) {
  const bare = word.replace(/[^\p{L}\p{N}-]/gu, "");
  if (MIXED.has(bare)) return word.replace(bare, MIXED.get(bare));
  if (UPPER.has(bare)) return word.toUpperCase();
  const stem = bare.replace(/s$/, "");
  return PROPER.has(bare) || PROPER.has(stem) ? word.replace(/\p{L}/u, (letter) => letter.toUpperCase()) : word;
}

/** "WHITE HANGING  HEART T-LIGHT HOLDER." becomes "White hanging heart T-light holder"; a title that does not shout stays. */
export function setTitle(raw) {
  const text = raw
    .replace(/\s+/g, " ")
    .replace(/\s*,\s*/g, ", ")
    .replace(/\s*\+\s*/g, " + ")
    .replace(/^[\s,.*+]+|[\s,.*+]+$/g, "");
  if (!isShouting(text)) return text;
  return capital(text.toLowerCase().split(" ").map(setWord).join(" "));
}

/* Families of things that stand together in a shop, each around one hue, so that neighbours look related. */
const FAMILIES = [
  [32, "bag shopper purse wallet backpack suitcase luggage satchel tote pouch"],
  [62, "light lights lantern candle candles lamp holder t-light t-lights candlestick chandelier bulb incense"],
  [95, "tin tins jar jars box boxes basket crate storage drawer drawers cabinet trunk case caddy canister chest rack"],
  [148, "planter plant pot garden gardeners trowel watering can seeds bird birds feeder birdhouse flower flowers parasol wreath"],
  [182, "bottle towel soap bath sponge hottie glove gloves apron mitt umbrella poncho warmer slippers"],
  [215, "cup cups mug mugs teacup saucer teapot tea coffee plate plates bowl bowls jug glass glasses cakestand cake egg spoon spoons cutlery tray straws jelly baking mould moulds beaker tumbler napkin napkins kitchen popcorn"],
  [255, "sign clock clocks frame mirror plaque chalkboard board hook hooks hanger hangers knob doormat mat block magnet magnets thermometer doorstop blackboard letter word"],
  [292, "card cards wrap paper notebook book pen pens pencil pencils eraser sticker stickers tape stamp stamps journal diary calendar postcard chalk crayons"],
  [325, "bracelet necklace earrings ring keyring charm brooch hair hairclip bangle bead beads jewellery"],
  [352, "bunting decoration decorations garland ornament ribbon ribbons chain balloon balloons party tree bauble baubles stocking gift heart hearts"],
  [12, "toy game games puzzle doll dolls dominoes jigsaw skipping rope snap set kit soldier cars animals"],
];
const FAMILY_HUE = new Map(FAMILIES.flatMap(([hue, words]) => words.split(" ").map((word) => [word, hue])));
const SPREAD = 13;

const COLOURS = {
  red: "#c8433a", pink: "#e39ab0", blue: "#5b83c4", green: "#5f9a6b", yellow: "#e2c04c", orange: "#dd8a45", purple: "#8a6bb3",
  lilac: "#b9a3d6", brown: "#8a6a52", black: "#2b2b2e", white: "#fdfdfb", ivory: "#f3ead7", cream: "#f0e3c4", silver: "#bfc4ca",
  gold: "#cda349", grey: "#8f949b", gray: "#8f949b", turquoise: "#4fb0ae", mint: "#a9d6bf", copper: "#b7714a",
};
const TRAILERS = new Set(
  ("design small large medium mini big vintage retro style assorted asst colour colours color pack piece pieces pc large's " +
    "retrospot polkadot paisley woodland stripe stripes spot spots spotty floral and or of the a").split(" "),
);

function hash(text) {
  let value = 2166136261;
  for (const sign of text) value = Math.imul(value ^ sign.codePointAt(0), 16777619) >>> 0;
  return value;
}

function words(title) {
  return title.toLowerCase().split(/[^\p{L}\p{N}'-]+/u).filter((word) => word !== "" && !/^\d/.test(word));
}

/** The word that says what the thing is: the last known thing before "with", "in", "for"; else its last plain word. */
export function headNoun(title) {
  const core = title.toLowerCase().split(/\s(?:with|w|in|for|on)\s|,|\s-\s|\(/)[0];
  const all = words(core).length > 0 ? words(core) : words(title);
  const plain = all.filter((word) => !TRAILERS.has(word) && !(word in COLOURS));
  const things = plain.filter((word) => FAMILY_HUE.has(word) && word !== "set" && word !== "kit");
  return things.at(-1) ?? plain.at(-1) ?? all.at(-1) ?? title.slice(-2);
}

/** A hue in degrees: titles with the same head noun share it within a few degrees, kinds of one family are near. */
export function hueOf(title) {
  const noun = headNoun(title);
  const base = FAMILY_HUE.get(noun) ?? hash(noun.replace(/e?s$/, "")) % 360;
  const shift = (hash(noun) % (2 * SPREAD + 1)) - SPREAD;
  return (base + shift * 0.6 + (hash(title) % 7) - 3 + 360) % 360;
}

/** The colours that the title names, as CSS colours, at most three. */
export function coloursOf(title) {
  const found = [...new Set(words(title).filter((word) => word in COLOURS))];
  return found.slice(0, 3).map((word) => COLOURS[word]);
}
