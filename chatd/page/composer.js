// Writing: the draft of each conversation, and own messages until chatd has them.

import { newId } from './client.js';
import { chat, explained, isOnline } from './connection.js';
import { conversationFor, currentTarget, heard, placeOf } from './conversations.js';
import { $, bytes, button, element } from './elements.js';
import { messageRow, place, remove } from './lines.js';
import { keepPlace, showHistory, toEnd } from './log.js';
import { t } from './words.js';

const MESSAGE_BYTES_MAX = 16 * 1024;

const pending = new Set(); // own messages that chatd has not answered yet
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
  const isTooLong = bytes(text) > MESSAGE_BYTES_MAX;
  $('composer-error').textContent = isTooLong ? t.tooLong : '';
  if (isTooLong) return;

  const conversation = conversationFor(currentTarget());
  const message = { msgId: newId(), conversation, text, time: Date.now() };
  message.row = messageRow(conversation, { type: 'text', from: me, msg: text, time: message.time, own: true });
  toEnd();
  place(conversation, message.row);
  conversation.draft = '';
  $('text').value = '';
  showHistory(conversation);
  toEnd();
  transmit(message);
}

// A repeated try carries the same msgId, so chatd delivers it once whatever became of the first.
async function transmit(message) {
  const { msgId, conversation, text, row, time } = message;
  pending.add(message);
  settle(message);
  row.line.classList.add('pending');
  if (!isOnline()) queued(message);
  try {
    const receipt = await chat.send(conversation.target, text, { msgId });
    pending.delete(message);
    settle(message);
    confirm(message, receipt);
    heard(conversation, { type: 'text', from: me, msg: text, time, ...receipt });
  } catch (error) {
    pending.delete(message);
    fail(message, explained(error).words);
  }
}

// Says of what is under way that it waits for the connection, or is on its way again.
export function connected(state) {
  for (const message of pending) {
    settle(message);
    message.row.line.classList.add('pending');
    if (state !== 'online') queued(message);
  }
}

function queued({ row: { line } }) {
  if (!line.querySelector('.queued')) line.append(element('p', 'queued', t.queued));
}

function confirm({ conversation, row }, entry) {
  // After a repeated try the history may have shown it already.
  const shown = conversation.lines.get(placeOf(entry));
  if (shown && shown !== row) return remove(conversation, row);
  if (!conversation.shown) conversation.shown = entry.epoch;
  return keepPlace(conversation, () => place(conversation, row, entry));
}

function settle({ row: { line } }) {
  line.classList.remove('pending');
  line.querySelector('.failure')?.remove();
  line.querySelector('.queued')?.remove();
}

function fail(message, words) {
  settle(message);
  const retry = button('quiet', t.retry, () => { transmit(message); });
  const failure = element('p', 'failure', t.failed(words));
  failure.append(retry);
  message.row.line.append(failure);
}
