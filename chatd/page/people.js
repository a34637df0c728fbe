// The list beside the log: the world, the user's conversations, and who else is online.

import { request } from './connection.js';
import { all, currentTarget, find, sorted } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, isolatedName, nameNode, personOf, titleNode, titleOf } from './names.js';

const REFRESH_MIN_MS = 800;
const REFRESH_MAX_MS = 3_000;
const PEOPLE_MAX = 500;
// In a world of more, whom the user talks with is asked for one by one: so many, the latest, and each so often.
const ASKED_MAX = 20;
const ASKED_MS = 30_000;

let online = [];
let isWhole = true; // whether `online` names everybody
const asked = new Map(); // name → whether online, and when that was asked
let me, open;
let refreshTimer;
// target → its row. A button taken out and put back, or made anew, between its being pressed and let go, was not clicked.
const rows = new Map();

export function start(name, openConversation) {
  me = name;
  open = openConversation;
  $('refresh').addEventListener('click', () => {
    asked.clear();
    refresh();
  });
}

export function refreshSoon() {
  // At most one request in this time, however many people come and go; all pages hear of them at once, so spread.
  refreshTimer ??= setTimeout(refresh, REFRESH_MIN_MS + Math.random() * (REFRESH_MAX_MS - REFRESH_MIN_MS));
}

export async function refresh() {
  clearTimeout(refreshTimer);
  refreshTimer = undefined;
  try {
    const { userList, userCount, cursor } = await request('user/list', { limit: PEOPLE_MAX });
    online = userList ?? [];
    isWhole = cursor === undefined;
    $('count').textContent = `在线 ${userCount} 人`;
  } catch {
    $('count').textContent = '在线列表不可用';
  }
  show();
  ask();
}

// Asks for those that the list is too short to name.
export async function ask() {
  if (isWhole) return;
  const people = sorted().map(({ target }) => personOf(target))
    .filter((name) => name !== undefined && name !== me && !online.includes(name))
    .slice(0, ASKED_MAX)
    .filter((name) => !(Date.now() - asked.get(name)?.time < ASKED_MS));
  for (const name of people) asked.set(name, { isOnline: asked.get(name)?.isOnline, time: Date.now() });
  await Promise.allSettled(people.map(async (name) => {
    asked.get(name).isOnline = (await request('user/online', { userId: name })).online;
  }));
  if (people.length) show();
}

// Only who is known to be away is called so.
function isAway(name) {
  if (online.includes(name)) return false;
  return isWhole || asked.get(name)?.isOnline === false;
}

export function show() {
  const focused = document.activeElement;
  const others = online.map((name) => `user:${name}`).filter((target) => !find(target));
  const targets = new Set([WORLD, ...sorted().map(({ target }) => target), ...others]);
  for (const [target, item] of rows) {
    if (targets.has(target)) continue;
    rows.delete(target);
    item.remove();
  }
  [...targets].forEach((target, at) => {
    if (!rows.has(target)) rows.set(target, row(target));
    const item = rows.get(target);
    fill(item, stateOf(target));
    const there = $('people').children[at];
    if (there !== item) $('people').insertBefore(item, there ?? null);
  });
  // A row that moves loses it.
  if (focused?.isConnected && focused !== document.activeElement) focused.focus();
  const unread = all().reduce((sum, conversation) => sum + conversation.unread, 0);
  $('menu-dot').hidden = unread === 0;
  document.title = `${unread ? `(${unread}) ` : ''}${isolatedName(titleOf(currentTarget()))} · 聊天室`;
}

function stateOf(target) {
  const person = personOf(target);
  const isSelf = person === me;
  const { unread = 0, unreadMore = false } = find(target) ?? {};
  const isGone = person !== undefined && !isSelf && isAway(person);
  return { isSelf, isGone, isOpen: target === currentTarget(), unread, unreadMore };
}

function row(target) {
  const button = element('button');
  button.type = 'button';
  button.addEventListener('click', () => open(target));
  button.dataset.target = target;
  button.append(titleNode(target));
  const item = element('li');
  item.append(button);
  return item;
}

function fill(item, state) {
  const key = JSON.stringify(state);
  if (item.dataset.state === key) return;
  item.dataset.state = key;
  const { isSelf, isGone, isOpen, unread, unreadMore } = state;
  const button = item.firstChild;
  while (button.childElementCount > 1) button.lastChild.remove();
  button.disabled = isSelf;
  button.setAttribute('aria-current', String(isOpen));
  button.classList.toggle('away', isGone);
  if (isSelf) button.append(element('span', 'away-note', '（我）'));
  if (isGone) button.append(element('span', 'away-note', '离线'));
  if (unread) {
    const dot = element('span', 'dot', unread > 99 || unreadMore ? '99+' : String(unread));
    dot.title = `${dot.textContent} 条未读`;
    button.append(dot);
  }
}

export function showSelf() {
  $('self').replaceChildren(nameNode(me));
}
