// The list beside the log: the world, the user's conversations, and who else is online.

import { all, currentTarget, find, sorted } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, isolatedName, nameNode, personOf, titleNode, titleOf } from './names.js';
import { isAway, names } from './presence.js';

// A pointer that moved so lately may be about to press, and a finger that left may yet click; a press may be longer.
const AIM_MS = 3_000;
const PRESS_MS = 10_000;

let me, open;
let aimTimer;
// target → its row. A button taken out and put back, or made anew, between its being pressed and let go, was not clicked.
const rows = new Map();

export function start(name, openConversation) {
  me = name;
  open = openConversation;
  const list = $('people');
  for (const kind of ['pointermove', 'pointerdown', 'pointerup', 'pointercancel', 'wheel']) {
    list.addEventListener(kind, aim, { passive: true });
  }
  list.addEventListener('pointerleave', ({ pointerType, buttons }) => {
    if (pointerType === 'mouse' && !buttons) aimElsewhere();
  });
}

function aim({ buttons }) {
  clearTimeout(aimTimer);
  aimTimer = setTimeout(aimElsewhere, buttons ? PRESS_MS : AIM_MS);
}

function aimElsewhere() {
  clearTimeout(aimTimer);
  aimTimer = undefined;
  show();
}

export function show() {
  const focused = document.activeElement;
  const others = names().map((name) => `user:${name}`).filter((target) => !find(target));
  const inOrder = [WORLD, ...sorted().map(({ target }) => target), ...others];
  // Under a pointer that aims no row moves: the press would meet another one, or the release none.
  const targets = new Set(aimTimer === undefined ? inOrder : [...shown(), ...inOrder]);
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

const shown = () => [...$('people').children].map(({ firstChild }) => firstChild.dataset.target);

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
