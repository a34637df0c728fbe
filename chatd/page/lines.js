// The lines of a conversation, in the order of the log, each entry once.

import { avatar } from './avatars.js';
import { historyOf } from './client.js';
import { request } from './connection.js';
import { content, isEvent } from './content.js';
import { placeOf } from './conversations.js';
import { attempt } from './dialogs.js';
import { $, button, element } from './elements.js';
import { isAtEnd } from './log.js';
import { nameNode, personOf } from './names.js';
import * as persons from './persons.js';
import * as rows from './rows.js';
import { dayOf, fullTime, t, timeOf } from './words.js';

// For so long an own message can be taken back.
const RECALL_MS = 2 * 60 * 1000;
const RECALLABLE = ['text', 'img', 'audio', 'video'];

// A message as a row, drawn when it is looked at.
export function messageRow(conversation, message) {
  const time = message.time ?? Date.now();
  const row = { message: { ...message, time }, isOwn: message.own, day: dayOf(new Date(time)) };
  row.make = () => messageLine(conversation, row);
  return row;
}

function messageLine(conversation, row) {
  const { message } = row;
  const line = element('li', message.own ? 'message own' : 'message');
  const meta = element('p', 'meta');
  const when = new Date(message.time);
  const time = element('time', '', timeOf(when));
  time.dateTime = when.toISOString();
  time.title = fullTime(when);
  line.dataset.day = row.day;
  meta.append(message.own ? element('span', 'from', t.me) : who(message.from), time);
  const body = element('div', 'body');
  body.dir = 'auto';
  body.append(content(message, conversation.target));
  line.append(meta, body);
  line.classList.toggle('event', isEvent(message.type));
  if (message.own) {
    offerRecall(conversation, row, meta);
    // Who came and went is nobody's message.
    if (!isEvent(message.type)) meta.append(element('span', 'read', readBy(conversation, row)));
  }
  return line;
}

function who(name) {
  const node = button('who', '', () => { persons.show(name); });
  node.append(avatar(name), nameNode(name, 'from'));
  return node;
}

// By how many of the others an own message was read, as far as that was told.
function readBy({ target, readers, readHistory }, { offset, epoch }) {
  if (offset === undefined || historyOf(epoch) !== readHistory) return '';
  const count = [...readers.values()].filter((read) => read >= offset).length;
  return count === 0 ? '' : t.read(personOf(target) === undefined ? count : undefined);
}

// Others have read on.
export function showRead(conversation) {
  for (const row of conversation.rows.slice(conversation.first, conversation.end)) {
    const mark = row.isOwn && row.line.querySelector('.read');
    const words = mark && readBy(conversation, row);
    if (mark && mark.textContent !== words) mark.textContent = words;
  }
}

function offerRecall({ target }, row, meta) {
  const { type = 'text', time } = row.message;
  const left = time + RECALL_MS - Date.now();
  if (!RECALLABLE.includes(type) || left <= 0) return;
  const problem = element('span', 'error');
  problem.role = 'alert';
  const act = async () => {
    await request('message/recall', { target, offset: row.offset });
    // The button is going, and the focus with it.
    $('log').focus({ preventScroll: true });
  };
  const recall = button('recall', t.recall, () => attempt(problem, act));
  setTimeout(() => recall.remove(), left);
  meta.prepend(problem, recall);
}

// Shows an entry of the log that was not seen before; says whether it was one that a reader should notice.
export function enter(conversation, entry, own) {
  const key = placeOf(entry);
  if (conversation.lines.has(key)) return false;
  if (entry.type === 'recall') {
    recall(conversation, placeOf({ epoch: entry.epoch, offset: entry.recalls }));
    return false;
  }
  const type = conversation.recalled.has(key) ? 'recalled' : entry.type;
  place(conversation, messageRow(conversation, { ...entry, type, own }), entry);
  return !own && type !== 'recalled';
}

function recall(conversation, key) {
  conversation.recalled.add(key);
  const row = conversation.lines.get(key);
  if (!row) return;
  row.message = { ...row.message, type: 'recalled', msg: undefined };
  row.line?.querySelector('.body').replaceChildren(content(row.message, conversation.target));
  row.line?.querySelector('.recall')?.remove();
}

// One at most: what it tells of goes before it.
export function notice(conversation, text, place) {
  const before = conversation.rows.find((row) => row.isNotice);
  if (before) rows.take(conversation, before);
  rows.put(conversation, { isNotice: true, ...place, make: () => element('li', 'notice', text) });
}

// Puts a message where it stands in the log, as far as that is known.
export function place(conversation, row, { epoch, offset } = {}) {
  if (offset) {
    Object.assign(row, { epoch, offset });
    const key = placeOf(row);
    conversation.lines.set(key, row);
    if (conversation.recalled.has(key)) recall(conversation, key);
  }
  rows.put(conversation, row);
  trim(conversation);
}

export const remove = rows.take;

// Who reads the end needs no thousand lines above it; who reads above gets them again.
function trim(conversation) {
  // A page on its way ends above the first row; with that taken away, what lies between would never be asked for.
  if (conversation.history === 'loading' || !isAtEnd(conversation)) return;
  rows.shedTop(conversation);
  for (const row of rows.shedOldest(conversation)) {
    if (row.isNotice) continue;
    conversation.lines.delete(placeOf(row));
    if (conversation.hasNewest) conversation.older = row.offset + 1;
  }
}

// Forgets what was shown, for a history that has a hole or is another one; own messages under way stay, and a notice that
// no message has followed yet.
export function clear(conversation) {
  const isBegun = conversation.lines.size > 0;
  rows.keep(conversation, ({ isOwn, isNotice, offset }) => (isOwn && offset === undefined) || (isNotice && !isBegun));
  conversation.lines.clear();
  const loads = conversation.loads + 1;
  Object.assign(conversation, { history: 'none', hasNewest: false, older: undefined, shown: '', readOffset: 0, loads });
}
