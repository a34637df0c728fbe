// The list beside the log: the world, the user's conversations, and who else is online.

import { avatar } from './avatars.js';
import { brief } from './content.js';
import { all, currentTarget, find, sorted } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, groupOf, isolatedName, nameNode, personOf } from './names.js';
import { isAway, names } from './presence.js';
import { nameError, titleNode, titleOf } from './titles.js';
import { t, whenOf } from './words.js';

// A pointer that moved so lately may be about to press, and a finger that left may yet click; a press may be longer.
const AIM_MS = 3_000;
const PRESS_MS = 10_000;

let me, open;
let aimTimer;
let sought = '';
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
  $('search').addEventListener('input', () => {
    sought = $('search').value.trim();
    aimElsewhere();
  });
  $('self').replaceChildren(avatar(me), nameNode(me));
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
  const inOrder = sought ? found() : everything();
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
  showTitle(titleOf(currentTarget()), unread);
}

export function showTitle(title, unread = all().reduce((sum, conversation) => sum + conversation.unread, 0)) {
  document.title = `${unread ? `(${unread}) ` : ''}${isolatedName(title)} · ${t.page}`;
}

function everything() {
  const others = names().map((name) => `user:${name}`).filter((target) => !find(target));
  return [WORLD, ...sorted().map(({ target }) => target), ...others];
}

// What the words that are sought stand in; last a person of just that name, who may be away.
function found() {
  const word = sought.toLocaleLowerCase();
  const isMeant = (target) => titleOf(target).toLocaleLowerCase().includes(word) || groupOf(target) === sought;
  const person = nameError(sought) || sought === me ? [] : [`user:${sought}`];
  return [...everything().filter(isMeant), ...person];
}

const shown = () => [...$('people').children].map(({ firstChild }) => firstChild.dataset.target);

function stateOf(target) {
  const person = personOf(target);
  const isSelf = person === me;
  const { unread = 0, unreadMore = false, last } = find(target) ?? {};
  const isGone = person !== undefined && !isSelf && isAway(person);
  const isGroup = groupOf(target) !== undefined || target === WORLD;
  const teller = last && isGroup && last.from !== me ? `${isolatedName(last.from)}: ` : '';
  const said = last ? `${teller}${brief(last)}`.slice(0, 120) : '';
  const when = last ? whenOf(new Date(last.time)) : '';
  const title = titleOf(target);
  return { title, isSelf, isGone, isOpen: target === currentTarget(), unread, unreadMore, said, when };
}

function row(target) {
  const button = element('button');
  button.type = 'button';
  button.addEventListener('click', () => open(target));
  button.dataset.target = target;
  const item = element('li');
  item.append(button);
  return item;
}

function fill(item, state) {
  const key = JSON.stringify(state);
  if (item.dataset.state === key) return;
  item.dataset.state = key;
  const { title, isSelf, isGone, isOpen, unread, unreadMore, said, when } = state;
  const button = item.firstChild;
  const { target } = button.dataset;
  button.disabled = isSelf;
  button.setAttribute('aria-current', String(isOpen));
  button.classList.toggle('away', isGone);
  const top = element('span', 'top');
  top.append(titleNode(target));
  if (isSelf) top.append(element('span', 'away-note', t.isMe));
  if (isGone) top.append(element('span', 'away-note', t.away));
  if (when) top.append(element('span', 'when', when));
  const lines = element('span', 'lines');
  lines.append(top);
  if (said) lines.append(element('span', 'said', said));
  button.replaceChildren(avatar(title, personOf(target) === undefined ? 'square' : ''), lines);
  if (unread) {
    const dot = element('span', 'dot', unread > 99 || unreadMore ? '99+' : String(unread));
    dot.title = t.unread(dot.textContent);
    button.append(dot);
  }
}
