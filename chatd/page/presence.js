// Who is online: the list as chatd gives it, and in a world too large for it the people the user talks with.

import { isOnline, request } from './connection.js';
import { currentTarget, find, sorted } from './conversations.js';
import { $ } from './elements.js';
import { personOf } from './names.js';
import { t } from './words.js';

const REFRESH_MIN_MS = 800;
const REFRESH_MAX_MS = 3_000;
const LISTED_MAX = 500;
// Nobody tells who enters or leaves a large world. There, whom the user talks with is asked for by name: so many in a
// round of so long, the open one first, then who was not asked for the longest.
const ASKED_MAX = 20;
const ROUND_MS = 30_000;

let listed = new Set();
let listedRound = -1;
let isWhole = true; // whether the list names everybody
let next; // where the list goes on
let isLoading = false;
const told = new Map(); // name → whether online, as was told after the list, and the round in which they were asked for
let round = 0;
let left = ASKED_MAX; // how many may be asked for in this round
let me, changed;
let refreshTimer;

export const names = () => [...listed];

export function start(name, show) {
  me = name;
  changed = show;
  $('refresh').addEventListener('click', () => {
    nextRound();
    refresh();
  });
  setInterval(() => {
    nextRound();
    ask();
  }, ROUND_MS);
}

function nextRound() {
  round += 1;
  left = ASKED_MAX;
}

export function refreshSoon() {
  // At most one request in this time, however many people come and go; all pages hear of them at once, so spread.
  refreshTimer ??= setTimeout(refresh, REFRESH_MIN_MS + Math.random() * (REFRESH_MAX_MS - REFRESH_MIN_MS));
}

export async function refresh() {
  clearTimeout(refreshTimer);
  refreshTimer = undefined;
  const known = listed.size;
  try {
    const found = new Set();
    do await read(found, found.size ? next : undefined);
    while (next !== undefined && found.size < known);
    listed = found;
    listedRound = round;
    isWhole = next === undefined;
    for (const name of isWhole ? [...told.keys()] : listed) told.delete(name);
  } catch {
    $('count').textContent = t.onlineUnknown;
  }
  changed();
  ask();
}

async function read(names, cursor) {
  const answer = await request('user/list', { limit: LISTED_MAX, ...(cursor && { cursor }) });
  answer.userList.forEach((name) => names.add(name));
  next = answer.cursor;
  $('count').textContent = t.onlineCount(answer.userCount);
}

// Somebody has looked at all of the list: what follows.
export async function more() {
  if (isWhole || isLoading || !isOnline()) return;
  isLoading = true;
  try {
    await read(listed, next);
    isWhole = next === undefined;
    changed();
  } catch {
    // The next look asks again.
  }
  isLoading = false;
}

// Asks for those whom the list is too short to name, or named in an earlier round.
export async function ask() {
  if (isWhole || !isOnline()) return;
  const chosen = personOf(currentTarget());
  const people = sorted().map(({ target }) => personOf(target))
    .filter((name) => name !== undefined && name !== me && roundOf(name) < round)
    .sort((a, b) => (b === chosen) - (a === chosen) || roundOf(a) - roundOf(b))
    .slice(0, left);
  left -= people.length;
  await Promise.all(people.map(askFor));
  if (people.length) changed();
}

const roundOf = (name) => told.get(name)?.round ?? (listed.has(name) ? listedRound : -1);

async function askFor(name) {
  const known = told.get(name) ?? {};
  told.set(name, known);
  known.round = round;
  try {
    known.isOnline = (await request('user/online', { userId: name })).online;
  } catch ({ code }) {
    known.round = -1;
    // The connection ended, so the log-in after it asks again, in this round.
    if (code === 0) left += 1;
  }
}

// Who writes is here. An old message may come late; then the next answer puts it right.
export function heard(name) {
  if (isWhole || !find(`user:${name}`)) return;
  told.set(name, Object.assign(told.get(name) ?? { round: -1 }, { isOnline: true }));
}

// Only who is known to be away is called so.
export function isAway(name) {
  const known = told.get(name)?.isOnline;
  return known === undefined ? isWhole && !listed.has(name) : !known;
}
