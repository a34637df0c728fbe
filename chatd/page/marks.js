// Who writes in the open conversation, and how far others have read it: told to who looks.

import { historyOf } from './client.js';
import { chat, me } from './connection.js';
import { conversationFor, currentTarget } from './conversations.js';
import { $, element } from './elements.js';
import { standing } from './friendships.js';
import { showRead } from './lines.js';
import { isolatedName, personOf } from './names.js';
import { t } from './words.js';

// Who writes is told again and again; who is not any more has stopped.
const SHOWN_MS = 6_000;
// More names are no help.
const NAMED_MAX = 3;

const typists = new Map(); // name → timer

export function start() {
  $('text').addEventListener('input', () => { if ($('text').value.trim()) chat.typing(currentTarget()); });
  chat.on('typing', ({ conversation, users }) => {
    if (conversation === currentTarget()) users.forEach(writes);
  });
  chat.on('read', read);
}

// Another conversation is open, or the page was hidden or shown. Nothing is wanted of whoever is blocked.
export function look() {
  const person = personOf(currentTarget());
  const isWanted = !document.hidden && !(person !== undefined && standing(person).isBlocked);
  chat.watch(isWanted ? currentTarget() : undefined);
  [...typists.keys()].forEach(stopped);
}

function writes(name) {
  clearTimeout(typists.get(name));
  typists.set(name, setTimeout(() => stopped(name), SHOWN_MS));
  show();
}

export function stopped(name) {
  if (!typists.has(name)) return;
  clearTimeout(typists.get(name));
  typists.delete(name);
  show();
}

function show() {
  const names = [...typists.keys()].slice(0, NAMED_MAX).map(isolatedName);
  const shown = element('span', 'names', names.join(t.comma));
  $('typing').replaceChildren(...(names.length ? [shown, t.typing('', typists.size > NAMED_MAX)] : []));
}

function read({ conversation: target, epoch, readers }) {
  const conversation = conversationFor(target);
  const history = historyOf(epoch);
  if (conversation.readHistory !== history) Object.assign(conversation, { readHistory: history, readers: new Map() });
  for (const { userId, offset } of readers) {
    if (userId !== me) conversation.readers.set(userId, Math.max(offset, conversation.readers.get(userId) ?? 0));
  }
  showRead(conversation);
}
