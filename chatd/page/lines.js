// The lines of a conversation, in the order of the log, each entry once.

import { content } from './content.js';
import { placeOf } from './conversations.js';
import { element } from './elements.js';
import { isAtEnd } from './log.js';
import { nameNode } from './names.js';

const LINES_MAX = 500;

export function messageLine(message) {
  const line = element('li', message.own ? 'message own' : 'message');
  const meta = element('p', 'meta');
  const when = new Date(message.time ?? Date.now());
  const time = element('time', '', when.toLocaleTimeString('zh-CN', { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString('zh-CN');
  meta.append(message.own ? element('span', 'from', '我') : nameNode(message.from, 'from'), time);
  const body = element('div', 'body');
  body.dir = 'auto';
  body.append(content(message));
  line.append(meta, body);
  return line;
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
  place(conversation, messageLine({ ...entry, type, own }), entry);
  return !own && type !== 'recalled';
}

function recall(conversation, key) {
  conversation.recalled.add(key);
  conversation.lines.get(key)?.querySelector('.body')?.replaceChildren(content({ type: 'recalled' }));
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
  trim(conversation);
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
  Object.assign(conversation, { history: 'none', hasNewest: false, older: undefined, epoch: '', offset: 0, loads });
}
