// Slack's names of emoji and the characters for them.

import { changed } from "./store.js";

let names = {};
let isLoaded = false;

export async function loadEmoji() {
  try {
    const response = await fetch("/demo/api/emoji");
    if (!response.ok) return;
    names = await response.json();
  } catch {
    return; // names are shown with their colons, as Slack shows unknown ones
  }
  isLoaded = true;
  changed();
}

/** For marks of lists: what was drawn before the names were there has to be drawn again. */
export const emojiState = () => isLoaded;

/** The character, or `:name:` for a name that nobody knows. */
export function emoji(name, tone) {
  const character = Object.hasOwn(names, name) ? names[name] : null;
  if (character === null) return `:${name}:`;
  return tone ? character + String.fromCodePoint(0x1f3f9 + Number(tone)) : character;
}
