// With whom the user is friends, who asks to be one, and who is blocked, as chatd tells it.

import { request } from './connection.js';

let known = { friends: new Set(), requested: new Set(), blocked: new Set() };
let asking = new Map(); // name → greeting
let changed = () => {};

export const friends = () => [...known.friends];
export const requests = () => [...asking];

// Calls `show` whenever they were asked for.
export function onChange(show) {
  changed = show;
}

export const standing = (name) => ({
  isFriend: known.friends.has(name),
  isAsked: known.requested.has(name),
  asks: asking.has(name),
  isBlocked: known.blocked.has(name),
});

export async function load() {
  try {
    const [list, asked] = await Promise.all([request('friend/list', {}), request('friend/requests', {})]);
    known = {
      friends: new Set(list.friends), requested: new Set(list.requested), blocked: new Set(list.blocked),
    };
    asking = new Map(asked.requests.map(({ from, greeting }) => [from, greeting]));
  } catch {
    return; // The next log-in, or the next card, asks again.
  }
  changed();
}

export async function change(cmd, data) {
  await request(cmd, data);
  await load();
}
