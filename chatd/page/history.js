// What was said before: the newest page when a conversation is opened, older ones on the way up.

import { chat, request } from './connection.js';
import { heard, isBegunAnew } from './conversations.js';
import { clear } from './lines.js';
import { keepPlace, shedBelow, showHistory } from './log.js';

const PAGE = 60;
// Pages in a row that may show nothing, because all in them was taken back or is known.
const BLANK_PAGES_MAX = 5;

// Whether not even the newest page was read.
export const isMissing = ({ history, hasNewest }) => history === 'none' || (history === 'failed' && !hasNewest);

// Loads the newest page, or the one before the oldest known. `receive` shows one entry.
export async function load(conversation, receive) {
  if (conversation.history === 'loading') return;
  const isFirst = isMissing(conversation);
  if (!isFirst && conversation.older === undefined) return;
  const started = (conversation.loads += 1);
  conversation.history = 'loading';
  conversation.hasNewest = !isFirst;
  showHistory(conversation);
  try {
    let shown = 0;
    for (let page = 0; page < BLANK_PAGES_MAX && shown === 0; page += 1) {
      const before = conversation.hasNewest ? { before: conversation.older } : {};
      const { target } = conversation;
      const answer = await request('message/history', { target, limit: PAGE, ...before }, { patienceMs: 10_000 });
      if (started !== conversation.loads) return;
      if (isBegunAnew(conversation.shown, answer.epoch)) {
        clear(conversation);
        return load(conversation, receive);
      }
      const lines = conversation.lines.size;
      keepPlace(conversation, () => {
        answer.messages.forEach((entry) => receive(conversation, entry));
        shedBelow(conversation);
      });
      if (!conversation.hasNewest && answer.messages.length) {
        chat.advance(target, answer.messages.at(-1));
        heard(conversation, answer.messages.at(-1));
        conversation.shown = answer.epoch;
      }
      shown = conversation.lines.size - lines;
      conversation.hasNewest = true;
      conversation.older = answer.next;
      if (answer.next === undefined) break;
    }
    conversation.history = 'loaded';
  } catch ({ code, words, message }) {
    if (started !== conversation.loads) return;
    // A lost connection is told elsewhere, and the log-in after it loads again.
    conversation.history = code === 0 && !conversation.hasNewest ? 'none' : 'failed';
    conversation.failure = words ?? message;
  }
  keepPlace(conversation, () => showHistory(conversation));
}
