// What happened while the page was away: unread counts from chatd, and telling it what was read.

import { isOnline, request } from './connection.js';
import { advance, conversationFor, currentTarget } from './conversations.js';
import { clear, notice } from './lines.js';

const PAGES_MAX = 5;
const READ_DELAY_MS = 500;

let readTimer;

// Takes the answer to a log-in: what is pushed after it, and what has to be read from the history.
export function caughtUp({ recovered = [], also = [] }) {
  for (const { target, epoch, offset, complete } of recovered) {
    if (complete !== false) continue;
    const conversation = conversationFor(target);
    clear(conversation);
    notice(conversation, '离开期间有些消息没有推送，已从历史中载入；更早的可能已不在', { epoch, offset });
    advance(conversation, { epoch, offset });
  }
  for (const { target, epoch, lastOffset } of also) {
    const conversation = conversationFor(target);
    // Its position was not named, so what is shown of it may lack something in between.
    if (conversation.epoch !== epoch || conversation.offset < lastOffset) clear(conversation);
  }
}

// Marks what a log-in told of, where the counts are not to be had.
export function mark({ also = [] }) {
  for (const { target } of also) if (target !== currentTarget()) conversationFor(target).unread ||= 1;
}

// The user's conversations with what is unread, the latest first; of very many only the first pages.
export async function load() {
  let cursor;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await request('conversation/list', { limit: 200, ...(cursor && { cursor }) });
    for (const { target, lastTime, readOffset, unread, unreadMore } of answer.conversations) {
      const conversation = conversationFor(target);
      Object.assign(conversation, { readOffset, unread, unreadMore: unreadMore ?? false });
      conversation.lastTime = Math.max(conversation.lastTime, lastTime);
    }
    cursor = answer.cursor;
    if (cursor === undefined) return;
  }
}

// The open conversation is read as soon as somebody can see it; told a moment later, once for many messages.
export function readSoon() {
  if (!document.hidden) readTimer ??= setTimeout(read, READ_DELAY_MS);
}

async function read() {
  readTimer = undefined;
  const { target, history, offset, readOffset } = conversationFor(currentTarget());
  if (document.hidden || !isOnline() || history !== 'loaded' || offset <= readOffset) return;
  try {
    await request('conversation/read', { target, offset });
    conversationFor(target).readOffset = Math.max(conversationFor(target).readOffset, offset);
  } catch {
    // The next message, or the next visit, tells it again.
  }
}
