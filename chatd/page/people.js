// The list beside the log: the world, the user's conversations, and who else is online.
//
// Its rows are of one height, so that only those in view, and some on both sides, are in the document. By keys it is one
// stop: the arrows lead through it.

import { avatar } from './avatars.js';
import { brief } from './content.js';
import { all, currentTarget, find, sorted } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, groupOf, isolatedName, nameNode, personOf } from './names.js';
import { isAway, more, names } from './presence.js';
import { nameError, titleNode, titleOf } from './titles.js';
import { t, whenOf } from './words.js';

// A pointer that moved so lately may be about to press, and a finger that left may yet click; a press may be longer.
const AIM_MS = 3_000;
const PRESS_MS = 10_000;
// What changes in so short a time is shown together.
const SHOW_MS = 50;
// Rows above and below those in view, and how high one is while none is drawn.
const SPARE = 20;
const ROW_PX = 52;

let me, open;
let aimTimer, showTimer;
let order = []; // all targets
let sought = '';
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
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
  list.addEventListener('scroll', showNow, { passive: true });
  list.addEventListener('keydown', (event) => {
    const at = order.indexOf(event.target.dataset.target);
    const by = STEPS[event.key];
    if (at < 0 || by === undefined) return;
    event.preventDefault();
    focusRow(at, by);
  });
  $('search').addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' || order.length === 0) return;
    event.preventDefault();
    focusRow(-1, 1);
  });
  new ResizeObserver(show).observe(list);
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
  showNow();
}

export function show() {
  showTimer ??= setTimeout(showNow, SHOW_MS);
}

function showNow() {
  clearTimeout(showTimer);
  showTimer = undefined;
  const inOrder = sought ? found() : everything();
  // Under a pointer that aims no row moves: the press would meet another one, or the release none.
  order = [...new Set(aimTimer === undefined ? inOrder : [...order, ...inOrder])];
  showRows();
  const unread = all().reduce((sum, conversation) => sum + conversation.unread, 0);
  $('menu-dot').hidden = unread === 0;
  showTitle(titleOf(currentTarget()), unread);
}

const rowPx = () => $('people').firstElementChild?.offsetHeight || ROW_PX;

function showRows() {
  const [list, focused, px] = [$('people'), document.activeElement, rowPx()];
  const first = Math.max(0, Math.min(order.length, Math.floor(list.scrollTop / px)) - SPARE);
  const end = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / px) + SPARE);
  const targets = new Set(order.slice(first, end));
  const hasFocus = list.contains(focused);
  for (const [target, item] of rows) {
    if (targets.has(target)) continue;
    rows.delete(target);
    item.remove();
  }
  const stop = [hasFocus && focused.dataset.target, currentTarget(), order[first]].find((target) => targets.has(target));
  [...targets].forEach((target, at) => {
    if (!rows.has(target)) rows.set(target, row(target));
    const item = rows.get(target);
    fill(item, stateOf(target));
    item.ariaPosInSet = first + at + 1;
    item.ariaSetSize = order.length;
    item.firstChild.tabIndex = target === stop ? 0 : -1;
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  list.style.setProperty('--above', `${first * px}px`);
  list.style.setProperty('--below', `${(order.length - end) * px}px`);
  // A row that moves loses it; of one that has gone the list has it.
  if (hasFocus && focused !== document.activeElement) (focused.isConnected ? focused : list).focus({ preventScroll: true });
  if (end === order.length && first > 0 && !sought) more();
}

// Leads the keys to another row; one's own does nothing.
function focusRow(at, by) {
  const last = order.length - 1;
  let to = Math.max(0, Math.min(last, at + by));
  if (personOf(order[to]) === me) to += to === last || (by < 0 && to > 0) ? -1 : 1;
  if (order[to] === undefined) return;
  const [list, px] = [$('people'), rowPx()];
  list.scrollTop = Math.max(Math.min(list.scrollTop, to * px), (to + 1) * px - list.clientHeight);
  showRows();
  rows.get(order[to]).firstChild.focus();
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
