// How things are called and how times are written.

export const NETWORKS = {
  facebook: "Facebook",
  instagram: "Instagram",
  zalo: "Zalo",
  twitter: "X (Twitter)",
  linkedin: "LinkedIn",
  telegram: "Telegram",
  whatsapp: "WhatsApp",
};
export const networkName = (provider) => NETWORKS[provider] ?? provider;

/** What the bridge's marks mean, by Slack's names of the emoji. */
export const MARKS = {
  lock: "Internal note: the customer never sees this line",
  hourglass_flowing_sand: "Waiting: not sent yet",
  white_check_mark: "Sent: Jollor took it",
  warning: "May have been sent: a person decides",
  x: "Not sent: the thread says why",
};

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const timeWithSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const long = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export const ofTs = (ts) => new Date(Number(ts) * 1000);
export const clock = (moment) => time.format(moment);
export const clockWithSeconds = (moment) => timeWithSeconds.format(moment);
export const fullTime = (moment) => long.format(moment);

/** The time today, the day before that. */
export function when(moment) {
  return isSameDay(moment, new Date()) ? time.format(moment) : day.format(moment);
}

export function isSameDay(one, other) {
  return one.toDateString() === other.toDateString();
}

export function initials(name) {
  const words = name
    .replace(/ · .*/, "")
    .trim()
    .split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "");
  return letters.join("").toUpperCase() || "?";
}

/** One of eight colours, always the same for the same name. */
export function tint(name) {
  let sum = 0;
  for (const character of name.replace(/ · .*/, "")) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return `tint-${sum % 8}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
