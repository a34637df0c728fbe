// The window on the open conversation: what is at its top, and staying at the end for who reads there.

import { conversationFor, currentTarget } from './conversations.js';
import { $, element } from './elements.js';
import { WORLD, isolated, titleOf } from './names.js';

const NEAR_PX = 40;

const head = element('div', 'history');
const empty = element('p', 'empty');
let lastTop = 0;
let shown = ''; // what the head says
let loadMore; // (conversation) → asks for the history that is missing

export function start(load) {
  loadMore = load;
  const log = $('log');
  log.addEventListener('scroll', () => {
    const conversation = conversationFor(currentTarget());
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    // What grows below a reader takes him from the end without his doing; only he leaves it.
    if (atEnd || log.scrollTop < lastTop) conversation.atEnd = atEnd;
    if (log.scrollTop < lastTop && log.scrollTop < NEAR_PX && conversation.history === 'loaded') loadMore(conversation);
    lastTop = log.scrollTop;
  });
  const observer = new ResizeObserver(() => keepInView(conversationFor(currentTarget())));
  observer.observe(log);
  show.observe = (list) => { observer.disconnect(); observer.observe(log); observer.observe(list); };
}

export function show(conversation) {
  $('log').replaceChildren(head, conversation.list, empty);
  show.observe(conversation.list);
  lastTop = 0;
  showHistory(conversation);
  keepInView(conversation);
}

// Follow new lines only while the reader is at the end; do not pull him away from what he reads.
export function keepInView(conversation) {
  if (conversation.target === currentTarget() && conversation.atEnd) $('log').scrollTop = $('log').scrollHeight;
}

// Does something above what is read, without moving that.
export function keepPlace(conversation, change) {
  const log = $('log');
  const fromEnd = log.scrollHeight - log.scrollTop;
  change();
  if (conversation.target === currentTarget() && !conversation.atEnd) log.scrollTop = log.scrollHeight - fromEnd;
}

// Says how far the history is known: a wait, a failure with another try, more to load, or nothing there.
export function showHistory(conversation) {
  if (conversation.target !== currentTarget()) return;
  const { history, older, list, target, failure } = conversation;
  empty.textContent = target === WORLD ? '还没有消息，打个招呼吧' : `开始和 ${isolated(titleOf(target))} 聊天吧`;
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
