// What happened while the page was away: unread counts from chatd, and telling it what was read.

import { chat, isOnline, request } from './connection.js';
import { conversationFor, currentTarget, heard } from './conversations.js';
import { clear, notice } from './lines.js';
import { t } from './words.js';

const PAGES_MAX = 5;
const READ_DELAY_MS = 500;

let readTimer;

// What was not told has to be read from the history.
export function missed({ conversation: target, epoch, offset, after }) {
  const conversation = conversationFor(target);
  clear(conversation);
  // Of what nothing was known there is no hole to tell of.
  if (after) notice(conversation, t.gap, { epoch, offset });
}

// Marks what a log-in told of, where the counts are not to be had.
export function mark({ also }) {
  for (const { target } of also) if (target !== currentTarget()) conversationFor(target).unread ||= 1;
}

// The user's conversations with what is unread, the latest first; of very many only the first pages.
export async function load() {
  let cursor;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await request('conversation/list', { limit: 200, ...(cursor && { cursor }) });
    for (const { target, epoch, lastTime, readOffset, unread, unreadMore, last } of answer.conversations) {
      const conversation = conversationFor(target);
      Object.assign(conversation, { readOffset, unread, unreadMore: unreadMore ?? false });
      if (last) heard(conversation, { ...last, epoch });
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
    await chat.read(target, offset);
    conversationFor(target).readOffset = Math.max(conversationFor(target).readOffset, offset);
  } catch {
    // The next message, or the next visit, tells it again.
  }
}
