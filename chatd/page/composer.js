// Writing: the draft of each conversation, and own messages until chatd has them.

import { isOnline, request } from './connection.js';
import { conversationFor, currentTarget, placeOf } from './conversations.js';
import { $, bytes, element, newId } from './elements.js';
import { messageLine, place } from './lines.js';
import { showHistory, toEnd } from './log.js';
import { TOO_LONG, reason } from './words.js';

const MESSAGE_BYTES_MAX = 16 * 1024;

const pending = new Map(); // msgId → own message that chatd has not answered yet, or has refused
let me;

export function start(name) {
  me = name;
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  $('text').addEventListener('keydown', (event) => {
    // While an input method is composing, Enter belongs to it; Safari tells of the one that ends it afterwards, as 229.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  $('text').addEventListener('input', () => { conversationFor(currentTarget()).draft = $('text').value; });
}

// What was begun in a conversation stays there.
export function show(conversation) {
  $('text').value = conversation.draft;
  $('composer-error').textContent = '';
}

function submit() {
  const text = $('text').value;
  if (text.trim() === '') return;
  const tooLong = bytes(text) > MESSAGE_BYTES_MAX;
  $('composer-error').textContent = tooLong ? TOO_LONG : '';
  if (tooLong) return;

  const conversation = conversationFor(currentTarget());
  const message = { msgId: newId(), conversation, text };
  message.line = messageLine({ type: 'text', from: me, msg: text, time: Date.now(), own: true });
  conversation.list.append(message.line);
  conversation.draft = '';
  $('text').value = '';
  showHistory(conversation);
  toEnd();
  transmit(message);
}

// A repeated try carries the same msgId, so chatd delivers it once whatever became of the first.
async function transmit(message) {
  const { msgId, conversation, text } = message;
  pending.set(msgId, message);
  settle(message);
  message.line.classList.add('pending');
  if (!isOnline()) return fail(message, reason(0));
  try {
    const receipt = await request('msg', { target: conversation.target, type: 'text', msg: text, msgId }, msgId);
    if (pending.has(msgId)) confirm(message, receipt ?? {});
  } catch ({ words }) {
    if (pending.has(msgId)) fail(message, words);
  }
}

// Whether an entry of the log is an own message under way, which then has arrived.
export function arrived({ msgId, from, ...entry }) {
  if (from !== me || !pending.has(msgId)) return false;
  confirm(pending.get(msgId), entry);
  return true;
}

function confirm(message, entry) {
  const { conversation, line } = message;
  pending.delete(message.msgId);
  settle(message);
  // After a repeated try the history may have shown it already.
  const shown = conversation.lines.get(placeOf(entry));
  if (shown && shown !== line) return line.remove();
  place(conversation, line, entry);
}

function settle(message) {
  message.line.classList.remove('pending');
  message.line.querySelector('.failure')?.remove();
}

function fail(message, words) {
  settle(message);
  const retry = element('button', 'quiet', '重试');
  Object.assign(retry, { type: 'button', title: 'Retry' });
  retry.addEventListener('click', () => transmit(message));
  const failure = element('p', 'failure', `未送达：${words}`);
  failure.append(retry);
  message.line.append(failure);
}
