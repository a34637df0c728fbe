// Friends, and who asks to be one.

import { avatar } from './avatars.js';
import { request } from './connection.js';
import * as dialogs from './dialogs.js';
import { $, button, element } from './elements.js';
import { isolatedName, nameNode } from './names.js';
import * as persons from './persons.js';
import { t } from './words.js';

let known = { friends: new Set(), requested: new Set(), blocked: new Set() };
let asking = new Map(); // name → greeting
let talkWith, changed;

export function start(open, show) {
  talkWith = open;
  changed = show;
  $('friends').addEventListener('click', showAll);
}

export const standing = (name) => ({
  isFriend: known.friends.has(name),
  isAsked: known.requested.has(name),
  asks: asking.has(name),
  isBlocked: known.blocked.has(name),
});

export async function load() {
  try {
    const [list, requests] = await Promise.all([request('friend/list', {}), request('friend/requests', {})]);
    known = {
      friends: new Set(list.friends), requested: new Set(list.requested), blocked: new Set(list.blocked),
    };
    asking = new Map(requests.requests.map(({ from, greeting }) => [from, greeting]));
  } catch {
    return; // The next log-in, or the next card, asks again.
  }
  $('friends-dot').hidden = asking.size === 0;
  $('friends-dot').textContent = String(asking.size);
  changed();
}

export async function change(cmd, data) {
  await request(cmd, data);
  await load();
}

export function pushed(cmd, { from }) {
  load();
  if (cmd === 'friend/request') dialogs.tell(t.requestFrom(isolatedName(from)));
  if (cmd === 'friend/accept') dialogs.tell(t.acceptedBy(isolatedName(from)));
}

async function showAll() {
  const requests = element('ul', 'persons requests');
  const friends = element('ul', 'persons');
  const none = element('p', 'hint', t.noFriends);
  const problem = element('p', 'error');
  problem.role = 'alert';
  const title = element('h3', '', t.requests);
  const fill = () => {
    title.hidden = asking.size === 0;
    none.hidden = known.friends.size > 0;
    requests.replaceChildren(...[...asking].map(([name, greeting]) => requestRow(name, greeting, problem, fill)));
    friends.replaceChildren(...[...known.friends].map(friendRow));
  };
  fill();
  dialogs.show(t.friendsTitle, problem, title, requests, element('h3', '', t.friends), none, friends);
  await load();
  fill();
}

function requestRow(name, greeting, problem, fill) {
  const does = (className, words, cmd) => button(className, words, () => dialogs.attempt(problem, async () => {
    await change(cmd, { friendId: name });
    fill();
  }));
  const item = personRow(name, does('accept', t.accept, 'friend/accept'), does('quiet', t.reject, 'friend/reject'));
  if (greeting) item.append(element('p', 'hint', greeting));
  return item;
}

const friendRow = (name) => personRow(name, button('quiet', t.message, () => {
  dialogs.close();
  talkWith(`user:${name}`);
}));

// A person in a list, with what can be done about them.
export function personRow(name, ...actions) {
  const item = element('li');
  const who = button('who', '', () => { persons.show(name); });
  who.append(avatar(name), nameNode(name, 'name'));
  item.append(who, ...actions);
  return item;
}
