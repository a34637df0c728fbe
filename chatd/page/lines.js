// The lines of a conversation, in the order of the log, each entry once.

import { avatar } from './avatars.js';
import { request } from './connection.js';
import { content, isEvent } from './content.js';
import { placeOf } from './conversations.js';
import { attempt } from './dialogs.js';
import { button, element } from './elements.js';
import { isAtEnd } from './log.js';
import { nameNode } from './names.js';
import * as persons from './persons.js';
import { dayOf, fullTime, t, timeOf } from './words.js';

const LINES_MAX = 500;
// For so long an own message can be taken back.
const RECALL_MS = 2 * 60 * 1000;
const RECALLABLE = ['text', 'img', 'audio', 'video'];

export function messageLine(conversation, message) {
  const line = element('li', message.own ? 'message own' : 'message');
  const meta = element('p', 'meta');
  const when = new Date(message.time ?? Date.now());
  const time = element('time', '', timeOf(when));
  time.dateTime = when.toISOString();
  time.title = fullTime(when);
  line.dataset.day = dayOf(when);
  meta.append(message.own ? element('span', 'from', t.me) : who(message.from), time);
  const body = element('div', 'body');
  body.dir = 'auto';
  body.append(content(message));
  line.append(meta, body);
  line.classList.toggle('event', isEvent(message.type));
  if (message.own) offerRecall(conversation, line, message);
  return line;
}

function who(name) {
  const node = button('who', '', () => { persons.show(name); });
  node.append(avatar(name), nameNode(name, 'from'));
  return node;
}

function offerRecall({ target }, line, { type = 'text', time }) {
  const left = time + RECALL_MS - Date.now();
  if (!RECALLABLE.includes(type) || left <= 0) return;
  const problem = element('span', 'error');
  problem.role = 'alert';
  const act = () => request('message/recall', { target, offset: Number(line.dataset.offset) });
  const recall = button('recall', t.recall, () => attempt(problem, act));
  setTimeout(() => recall.remove(), left);
  line.querySelector('.meta').prepend(problem, recall);
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
  place(conversation, messageLine(conversation, { ...entry, type, own }), entry);
  return !own && type !== 'recalled';
}

function recall(conversation, key) {
  conversation.recalled.add(key);
  const line = conversation.lines.get(key);
  line?.querySelector('.body')?.replaceChildren(content({ type: 'recalled' }));
  line?.querySelector('.recall')?.remove();
}

// One at most: what it tells of goes before it.
export function notice(conversation, text, { epoch, offset }) {
  conversation.list.querySelector('.notice')?.remove();
  place(conversation, element('li', 'notice', text), { epoch, offset });
}

// Everybody sees one order, that of the offsets; own messages without one yet wait at the end.
export function place(conversation, line, { epoch, offset }) {
  if (offset) {
    Object.assign(line.dataset, { epoch, offset });
    if (line.classList.contains('message')) conversation.lines.set(placeOf({ epoch, offset }), line);
    if (conversation.recalled.has(placeOf({ epoch, offset }))) recall(conversation, placeOf({ epoch, offset }));
  }
  const isLater = (other) =>
    isUnderWay(other) || (other.dataset.epoch === String(epoch) && Number(other.dataset.offset) > offset);
  let before = conversation.list.lastElementChild;
  while (before && (before === line || isLater(before))) before = before.previousElementSibling;
  if (!line.parentNode || line.previousElementSibling !== before) {
    if (before) before.after(line);
    else conversation.list.prepend(line);
  }
  showDay(line);
  if (line.nextElementSibling) showDay(line.nextElementSibling);
  trim(conversation);
}

// The first line of a day says which it is.
function showDay(line) {
  const { day } = line.dataset;
  let before = line.previousElementSibling;
  while (before && before.dataset.day === undefined) before = before.previousElementSibling;
  line.classList.toggle('new-day', day !== undefined && before?.dataset.day !== day);
}

// An own message that chatd has not told the place of. A notice may have none either: of a log that was lost.
const isUnderWay = ({ classList, dataset }) => classList.contains('own') && dataset.offset === undefined;

// Who reads the end needs no thousand lines above it; who reads above loads them again.
function trim(conversation) {
  // A page on its way ends above the first line; with that taken away, what lies between would never be asked for.
  if (conversation.history === 'loading') return;
  while (conversation.list.childElementCount > LINES_MAX && isAtEnd(conversation)) {
    const first = conversation.list.firstElementChild;
    if (isUnderWay(first)) return;
    conversation.lines.delete(placeOf(first.dataset));
    first.remove();
    if (conversation.list.firstElementChild) showDay(conversation.list.firstElementChild);
    const { offset } = first.dataset;
    if (offset !== undefined && conversation.hasNewest) conversation.older = Number(offset) + 1;
  }
}

// Forgets what was shown, for a history that has a hole or is another one; own messages under way stay, and a notice that
// no message has followed yet.
export function clear(conversation) {
  const gone = conversation.lines.size ? [...conversation.list.children] : [];
  for (const line of gone) if (!isUnderWay(line)) line.remove();
  conversation.lines.clear();
  const loads = conversation.loads + 1;
  Object.assign(conversation, { history: 'none', hasNewest: false, older: undefined, shown: '', readOffset: 0, loads });
}
