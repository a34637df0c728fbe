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
  $('text').addEventListener('input', () => {
    conversationFor(currentTarget()).draft = $('text').value;
    $('composer-error').textContent = '';
  });
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
  conversation.draft = '';
  $('text').value = '';
  const content = { type: 'text', msg: text };
  begin(conversation, content, { content });
}

// Shows an own message and sends it: its content, or what `load` brings, which has `node` to be shown until then.
export function begin(conversation, shown, { content, load, leave }) {
  const message = { msgId: newId(), conversation, content, load, leave, time: Date.now() };
  message.row = messageRow(conversation, { ...shown, from: me, time: message.time, own: true });
  if (conversation.target === currentTarget()) toEnd();
  place(conversation, message.row);
  // Of a conversation that is not looked at it is drawn all the same: what is on the way is shown in its line alone.
  message.row.line ??= message.row.make();
  showHistory(conversation);
  if (conversation.target === currentTarget()) toEnd();
  transmit(message);
}

// A repeated try carries the same msgId, so chatd delivers it once whatever became of the first.
async function transmit(message) {
  const { msgId, conversation, row, time } = message;
  settle(message);
  row.line.classList.add('pending');
  try {
    message.content ??= await message.load(row.line);
    if (!message.content) return given(message);
    pending.add(message);
    if (!isOnline()) queued(message);
    const receipt = await chat.send(conversation.target, message.content, { msgId });
    pending.delete(message);
    settle(message);
    confirm(message, receipt);
    heard(conversation, { ...message.content, from: me, time, ...receipt });
  } catch (error) {
    pending.delete(message);
    // What was refused was not stored: it is loaded anew, for that which was there may have gone.
    if (message.load && error.code) message.content = undefined;
    fail(message, error.words ?? explained(error).words);
  }
  return undefined;
}

function given({ conversation, row, leave }) {
  leave();
  remove(conversation, row);
  showHistory(conversation);
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

function confirm({ conversation, row, content, load, leave }, entry) {
  // After a repeated try the history may have shown it already.
  const shown = conversation.lines.get(placeOf(entry));
  if (!conversation.shown) conversation.shown = entry.epoch;
  keepPlace(conversation, () => {
    if (load || (shown && shown !== row)) remove(conversation, row);
    if (shown && shown !== row) return;
    place(conversation, load ? messageRow(conversation, { ...content, from: me, time: entry.time, own: true }) : row, entry);
  });
  leave?.();
}

function settle({ row: { line } }) {
  line.classList.remove('pending');
  line.querySelector('.failure')?.remove();
  line.querySelector('.queued')?.remove();
}

function fail(message, words) {
  settle(message);
  const retry = button('quiet', t.retry, () => { transmit(message); });
  const no = message.load ? [button('quiet', t.cancel, () => given(message))] : [];
  const failure = element('p', 'failure', t.failed(words));
  failure.role = 'alert';
  failure.append(retry, ...no);
  message.row.line.append(failure);
}
