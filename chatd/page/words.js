// The language of the page, and what chatd's codes mean in it.

import { isolated } from './names.js';
import english from './words-en.js';
import chinese from './words-zh.js';

const STORED = 'chat.language';

export const t = chosen().startsWith('zh') ? chinese : english;

function chosen() {
  return kept() ?? navigator.language ?? 'zh';
}

function kept() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // Where nothing may be stored, the browser's language is the page's.
  }
}

// The other language, from now on.
export function switchLanguage() {
  try {
    localStorage.setItem(STORED, t === chinese ? 'en' : 'zh');
  } catch {
    return;
  }
  location.reload();
}

// Puts the words into what the document has by itself: data-t the text, data-t-… an attribute.
export function translate(root = document) {
  document.documentElement.lang = t.locale;
  document.title = t.page;
  for (const node of root.querySelectorAll('[data-t]')) node.textContent = t[node.dataset.t];
  for (const attribute of ['title', 'placeholder', 'aria-label']) {
    for (const node of root.querySelectorAll(`[data-t-${attribute}]`)) {
      node.setAttribute(attribute, t[node.getAttribute(`data-t-${attribute}`)]);
    }
  }
}

// The refusal's meaning: the limit that was met, or the code; one nobody foresaw is told as the server tells it.
export const reason = (code, words = '', limit) => (
  limited(limit) ?? t.reasons[code] ?? t.unforeseen(isolated(words), code));

// Which limit it was and what it allows; nothing where it has no words here.
function limited({ name, bound, perMs } = {}) {
  if (!Object.hasOwn(t.limits, name)) return undefined;
  const inWords = name.startsWith('file_bytes') ? sizeOf : number.format;
  const count = Number.isFinite(bound) ? inWords(bound) : '';
  return t.limits[name](perMs && count ? t.often[perMs]?.(count) : count);
}

export const sizeOf = (bytes) => {
  const power = Math.min(t.sizeUnits.length - 1, Math.floor(Math.log2(bytes || 1) / 10));
  return `${(bytes / 1024 ** power).toLocaleString(t.locale, { maximumFractionDigits: 1 })} ${t.sizeUnits[power]}`;
};

// What it means, and the server's own words for it.
export const closing = (meaning, words) => t.closing([meaning, words && isolated(words)].filter(Boolean));

export const exactly = (code, words, limit) => (
  limited(limit) ?? (code in t.reasons ? closing(t.reasons[code], words) : reason(code, words)));

const number = new Intl.NumberFormat(t.locale);
const money = new Intl.NumberFormat(t.locale, { style: 'currency', currency: 'CNY' });
const clock = new Intl.DateTimeFormat(t.locale, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(t.locale, { month: 'long', day: 'numeric', weekday: 'short' });
const dayOfYear = new Intl.DateTimeFormat(t.locale, { year: 'numeric', month: 'long', day: 'numeric' });
const brief = new Intl.DateTimeFormat(t.locale, { month: 'numeric', day: 'numeric' });

// Cents as an amount.
export const amount = (cents) => money.format(cents / 100);
export const timeOf = (date) => clock.format(date);
export const fullTime = (date) => date.toLocaleString(t.locale);

const DAY_MS = 24 * 60 * 60 * 1000;
const isDayOf = (date, other) => date.toDateString() === other.toDateString();

// The day as a heading.
export function dayOf(date) {
  return (date.getFullYear() === new Date().getFullYear() ? day : dayOfYear).format(date);
}

// As short as a row of a list has room for.
export function whenOf(date, now = new Date()) {
  if (isDayOf(date, now)) return clock.format(date);
  if (isDayOf(date, new Date(now.getTime() - DAY_MS))) return t.yesterday;
  return date.getFullYear() === now.getFullYear() ? brief.format(date) : String(date.getFullYear());
}
