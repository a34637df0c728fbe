// The conversations of this user: what was seen of each, what is unread, and which one is open.

import { historyOf } from './client.js';
import { chat } from './connection.js';
import { WORLD } from './names.js';
import { ofConversation } from './rows.js';

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
      ...ofConversation(),
      lines: new Map(), // epoch and offset → row
      recalled: new Set(), // the same, of what was taken back before it was seen
      // The last entry pushed, or read from history without a hole.
      get epoch() { return chat.position(target)?.epoch ?? ''; },
      get offset() { return chat.position(target)?.offset ?? 0; },
      readers: new Map(), // name → up to where they have read
      readHistory: '', // which history that is in
      shown: '', // the epoch of what is shown
      readOffset: 0,
      lastTime: 0,
      last: undefined, // the newest entry that says something
      unread: 0,
      unreadMore: false,
      draft: '',
      history: 'none', // none, loading, failed, loaded
      hasNewest: false, // whether the newest page was read
      older: undefined, // where the page before it begins
      loads: 0, // which load is the last; the answers to others are void
      below: 0, // entries that came while somebody read above them
    };
    conversations.set(target, conversation);
  }
  return conversation;
}

// Nobody is in it any more.
export function drop(target) {
  conversations.delete(target);
  chat.forget(target);
}

export const placeOf = ({ epoch, offset }) => `${offset}@${epoch}`;

// A conversation that was begun anew has another history.
export const isBegunAnew = (epoch, known) => Boolean(epoch && known) && historyOf(epoch) !== historyOf(known);

// Notes the newest entry of a conversation.
export function heard(conversation, { type, from, msg, greeting, member, time, offset, epoch, recalls }) {
  // What was taken back is not shown in the list either.
  if (type === 'recall' && conversation.last?.offset === recalls) {
    conversation.last = { ...conversation.last, type: 'recalled', msg: undefined };
  }
  if (time === undefined || time < conversation.lastTime || type === 'recall') return;
  conversation.lastTime = time;
  conversation.last = { type, from, msg, greeting, member, time, offset, epoch };
}

// The world, then whoever spoke last.
export function sorted() {
  return all().sort((a, b) => (b.target === WORLD) - (a.target === WORLD) || b.lastTime - a.lastTime);
}
