// The window on the open conversation: what is at its top, and staying at the end for who reads there.
//
// It is laid out from its end (`column-reverse`), and scrollTop is 0 there and less above. So whatever grows, shrinks or
// comes late, the end stays in view for who is there, and only a reader leaves it.

import { conversationFor, currentTarget } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, isolatedName } from './names.js';
import * as rows from './rows.js';
import { titleOf } from './titles.js';
import { t } from './words.js';

const NEAR_PX = 40;

const whole = element('div', 'whole');
const head = element('div', 'history');
const empty = element('p', 'empty');
let lastTop = 0;
let owed = { top: 0, by: 0 }; // where the last move ended, and what it fell short of
let shown = ''; // what the head says
let loadMore; // (conversation) → asks for the history that is missing

export function start(load) {
  loadMore = load;
  const log = $('log');
  log.append(whole);
  $('to-end').addEventListener('click', toEnd);
  log.addEventListener('scroll', () => {
    const conversation = conversationFor(currentTarget());
    const { scrollTop, scrollHeight, clientHeight } = log;
    const above = scrollHeight - clientHeight + scrollTop;
    const isOnWayUp = scrollTop < lastTop;
    if (isOnWayUp && conversation.first > 0 && above < clientHeight) goUp(conversation);
    else if (isOnWayUp && above < NEAR_PX && conversation.history === 'loaded') loadMore(conversation);
    else if (!rows.hasEnd(conversation) && -scrollTop < clientHeight) goDown(conversation);
    moved();
  });
  // The end of what was said, and not of what is in the document.
  log.addEventListener('keydown', (event) => {
    if (event.key !== 'End' || event.target !== log) return;
    event.preventDefault();
    toEnd();
  });
}

// Lines far out of view make room for those that come.
function goUp(conversation) {
  keepPlace(conversation, () => {
    rows.up(conversation);
    shedBelow(conversation);
  });
  showHistory(conversation);
}

export function shedBelow(conversation) {
  const { children } = conversation.list;
  const last = children[children.length - rows.STEP];
  if (last && last.getBoundingClientRect().top > 2 * window.innerHeight) rows.shedBottom(conversation);
}

function goDown(conversation) {
  keepPlace(conversation, () => {
    rows.down(conversation);
    rows.shedTop(conversation, rows.STEP);
  });
  showHistory(conversation);
}

function moved() {
  lastTop = $('log').scrollTop;
  $('log').classList.toggle('at-end', isAtEnd(conversationFor(currentTarget())));
  showWayDown();
}

// The way back to the end, for who has left it.
function showWayDown() {
  const conversation = conversationFor(currentTarget());
  if (isAtEnd(conversation)) conversation.below = 0;
  const isNear = rows.hasEnd(conversation) && lastTop > -$('log').clientHeight / 2;
  $('to-end').hidden = conversation.below === 0 && isNear;
  $('to-end').textContent = t.toNewest(conversation.below);
}

export function show(conversation) {
  whole.replaceChildren(head, conversation.list, empty);
  toEnd();
  showHistory(conversation);
}

export function toEnd() {
  const conversation = conversationFor(currentTarget());
  rows.toEnd(conversation);
  $('log').scrollTop = 0;
  showHistory(conversation);
  moved();
}

export const isAtEnd = (conversation) =>
  conversation.target !== currentTarget() || (rows.hasEnd(conversation) && $('log').scrollTop > -NEAR_PX);

// Does something to the lines without moving the one that is read above the end.
export function keepPlace(conversation, change) {
  if (isAtEnd(conversation)) return change();
  const log = $('log');
  const line = firstInView(conversation);
  const before = line?.getBoundingClientRect().top;
  // Asked before the change, at which the browser may move as well.
  const rest = log.scrollTop === owed.top ? owed.by : 0;
  const result = change();
  if (line?.isConnected) moveBy(line.getBoundingClientRect().top - before + rest);
  return result;
}

// A log moves by whole pixels of the screen, and lines are as high as they are: the next move makes up for the rest.
function moveBy(by) {
  const log = $('log');
  const wanted = log.scrollTop + by;
  log.scrollTop = wanted;
  const rest = wanted - log.scrollTop;
  owed = { top: log.scrollTop, by: Math.abs(rest) < 1 ? rest : 0 };
}

// Lines stand below each other, so a few looks find one among hundreds.
function firstInView({ list }) {
  const { top } = $('log').getBoundingClientRect();
  let [first, end] = [0, list.childElementCount];
  while (first < end) {
    const middle = (first + end) >> 1;
    if (list.children[middle].getBoundingClientRect().bottom > top) end = middle;
    else first = middle + 1;
  }
  return list.children[first];
}

// Says how far the history is known: a wait, a failure with another try, more to load, or nothing there.
export function showHistory(conversation) {
  if (conversation.target !== currentTarget()) return;
  showWayDown();
  const { history, older, first, list, target, failure } = conversation;
  empty.textContent = target === WORLD ? t.emptyWorld : t.emptyTalk(isolatedName(titleOf(target)));
  empty.hidden = history !== 'loaded' || older !== undefined || list.childElementCount > 0;
  const state = JSON.stringify([target, history, older === undefined, first > 0, failure]);
  if (state === shown) return;
  shown = state;
  head.replaceChildren();
  if (history === 'none') head.append(element('p', '', t.loadsLater));
  if (history === 'loading') head.append(element('p', '', t.loading));
  if (history === 'failed') head.append(element('p', 'error', t.loadFailed(failure)), more(t.retry, conversation));
  if (history === 'loaded' && (first > 0 || older !== undefined)) head.append(more(t.older, conversation));
}

function more(text, conversation) {
  const node = element('button', 'quiet', text);
  node.type = 'button';
  node.addEventListener('click', () => (conversation.first > 0 ? goUp(conversation) : loadMore(conversation)));
  return node;
}
