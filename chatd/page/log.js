// The window on the open conversation: what is at its top, and staying at the end for who reads there.
//
// It is laid out from its end (`column-reverse`), and scrollTop is 0 there and less above. So whatever grows, shrinks or
// comes late, the end stays in view for who is there, and only a reader leaves it.

import { conversationFor, currentTarget } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, isolatedName, titleOf } from './names.js';

const NEAR_PX = 40;

const whole = element('div', 'whole');
const head = element('div', 'history');
const empty = element('p', 'empty');
let lastTop = 0;
let shown = ''; // what the head says
let loadMore; // (conversation) → asks for the history that is missing

export function start(load) {
  loadMore = load;
  const log = $('log');
  log.append(whole);
  log.addEventListener('scroll', () => {
    const conversation = conversationFor(currentTarget());
    const { scrollTop, scrollHeight, clientHeight } = log;
    const isAtTop = scrollHeight - clientHeight + scrollTop < NEAR_PX;
    if (isAtTop && scrollTop < lastTop && conversation.history === 'loaded') loadMore(conversation);
    moved();
  });
}

function moved() {
  lastTop = $('log').scrollTop;
  $('log').classList.toggle('at-end', lastTop > -NEAR_PX);
}

export function show(conversation) {
  whole.replaceChildren(head, conversation.list, empty);
  toEnd();
  showHistory(conversation);
}

export function toEnd() {
  $('log').scrollTop = 0;
  moved();
}

export const isAtEnd = (conversation) => conversation.target !== currentTarget() || $('log').scrollTop > -NEAR_PX;

// Does something to the lines without moving the one that is read above the end.
export function keepPlace(conversation, change) {
  if (isAtEnd(conversation)) return change();
  const { top } = $('log').getBoundingClientRect();
  const line = [...conversation.list.children].find((one) => one.getBoundingClientRect().bottom > top);
  const before = line?.getBoundingClientRect().top;
  const result = change();
  const by = line?.isConnected ? line.getBoundingClientRect().top - before : 0;
  if (by !== 0) $('log').scrollTop += by;
  return result;
}

// Says how far the history is known: a wait, a failure with another try, more to load, or nothing there.
export function showHistory(conversation) {
  if (conversation.target !== currentTarget()) return;
  const { history, older, list, target, failure } = conversation;
  empty.textContent = target === WORLD ? '还没有消息，打个招呼吧' : `开始和 ${isolatedName(titleOf(target))} 聊天吧`;
  empty.hidden = history !== 'loaded' || older !== undefined || list.childElementCount > 0;
  const state = JSON.stringify([target, history, older === undefined, failure]);
  if (state === shown) return;
  shown = state;
  head.replaceChildren();
  if (history === 'none') head.append(element('p', '', '连接后载入消息…'));
  if (history === 'loading') head.append(element('p', '', '正在载入消息…'));
  if (history === 'failed') head.append(element('p', 'error', `消息载入失败：${failure}`), button('重试', conversation));
  if (history === 'loaded' && older !== undefined) head.append(button('更早的消息', conversation));
}

function button(text, conversation) {
  const node = element('button', 'quiet', text);
  node.type = 'button';
  node.addEventListener('click', () => loadMore(conversation));
  return node;
}
