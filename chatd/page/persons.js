// What one can do about a person: write, befriend, block.

import { avatar } from './avatars.js';
import { me, request } from './connection.js';
import * as dialogs from './dialogs.js';
import { button, element, field } from './elements.js';
import * as friendships from './friendships.js';
import { nameNode } from './names.js';
import { t } from './words.js';

let talkWith;

export function start(open) {
  talkWith = open;
}

// The card of a person.
export async function show(name) {
  const head = element('p', 'card-head');
  const presence = element('span', 'hint');
  head.append(avatar(name, 'large'), nameNode(name, 'name'), presence);
  const problem = element('p', 'error');
  problem.role = 'alert';
  const actions = element('div', 'fields');
  dialogs.show(t.personTitle, head, problem, actions);
  if (name === me) return;
  await dialogs.attempt(problem, async () => {
    const [{ online }] = await Promise.all([request('user/online', { userId: name }), friendships.load()]);
    presence.textContent = online ? t.isOnline : t.isOffline;
  });
  fill(actions, problem, name);
}

function fill(actions, problem, name) {
  const does = (className, words, cmd, data) => button(className, words, () => dialogs.attempt(problem, async () => {
    await friendships.change(cmd, { friendId: name, ...data?.() });
    fill(actions, problem, name);
  }));
  const write = button('', t.message, () => {
    dialogs.close();
    talkWith(`user:${name}`);
  });
  const { isFriend, isAsked, asks, isBlocked } = friendships.standing(name);
  const nodes = [write];
  if (isFriend) {
    nodes.push(element('p', 'hint', t.isFriend), does('quiet', t.removeFriend, 'friend/remove'));
  } else if (asks) {
    nodes.push(does('', t.accept, 'friend/accept'), does('quiet', t.reject, 'friend/reject'));
  } else if (isAsked) {
    nodes.push(element('p', 'hint', t.requestSent));
  } else if (!isBlocked) {
    const [label, greeting] = field(t.greeting, { maxLength: 100, id: 'greeting' });
    const data = () => (greeting.value ? { greeting: greeting.value } : {});
    nodes.push(label, does('add-friend', t.addFriend, 'friend/request', data));
  }
  if (isBlocked) nodes.push(element('p', 'hint', t.blocked));
  nodes.push(isBlocked ? does('quiet', t.unblock, 'friend/unblock') : does('quiet block', t.block, 'friend/block'));
  actions.replaceChildren(...nodes);
}
