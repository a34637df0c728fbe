// The conversations of this user: what was seen of each, what is unread, and which one is open.

import { WORLD } from './names.js';

const RECOVER_MAX = 200;

const conversations = new Map(); // target → conversation
let current = WORLD;

export const all = () => [...conversations.values()];
export const find = (target) => conversations.get(target);
export const currentTarget = () => current;
export const setCurrent = (target) => { current = target; };

export function conversationFor(target) {
  let conversation = conversations.get(target);
  if (!conversation) {
    conversation = {
      target,
      list: document.createElement('ol'),
      lines: new Map(), // epoch and offset → line
      recalled: new Set(), // the same, of what was taken back before it was seen
      epoch: '', offset: 0, // the last entry pushed, or read from history without a hole
      readOffset: 0,
      lastTime: 0,
      unread: 0,
      unreadMore: false,
      draft: '',
      history: 'none', // none, loading, failed, loaded
      hasNewest: false, // whether the newest page was read
      older: undefined, // where the page before it begins
      loads: 0, // which load is the last; the answers to others are void
    };
    conversations.set(target, conversation);
  }
  return conversation;
}

export const placeOf = ({ epoch, offset }) => `${offset}@${epoch}`;

// The first part of an epoch names the history; a conversation that was begun anew has another one.
const historyOf = (epoch) => epoch.split('.', 1)[0];
export const isBegunAnew = (conversation, epoch) =>
  Boolean(conversation.epoch && epoch) && historyOf(epoch) !== historyOf(conversation.epoch);

// Moves the position to an entry that was pushed, or read from history up to the end.
export function advance(conversation, { epoch, offset, time }) {
  if (!offset) return;
  if (conversation.epoch !== epoch) Object.assign(conversation, { epoch, offset: 0, readOffset: 0 });
  conversation.offset = Math.max(conversation.offset, offset);
  conversation.lastTime = Math.max(conversation.lastTime, time ?? 0);
}

// What to ask for after a reconnect; of too many the latest, chatd tells of the others.
export function positions() {
  return all().filter(({ offset }) => offset > 0)
    .sort((a, b) => b.lastTime - a.lastTime)
    .slice(0, RECOVER_MAX)
    .map(({ target, epoch, offset }) => ({ target, epoch, offset }));
}

// The world, then whoever spoke last.
export function sorted() {
  return all().sort((a, b) => (b.target === WORLD) - (a.target === WORLD) || b.lastTime - a.lastTime);
}
