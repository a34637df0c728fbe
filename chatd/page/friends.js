// Friends, and who asks to be one.

import { avatar } from './avatars.js';
import * as dialogs from './dialogs.js';
import { $, button, element } from './elements.js';
import * as friendships from './friendships.js';
import { isolatedName, nameNode } from './names.js';
import * as persons from './persons.js';
import { t } from './words.js';

let talkWith;

export function start(open, show) {
  talkWith = open;
  friendships.onChange(() => {
    const { length } = friendships.requests();
    $('friends-dot').hidden = length === 0;
    $('friends-dot').textContent = String(length);
    show();
  });
  $('friends').addEventListener('click', showAll);
}

export function pushed(cmd, { from }) {
  friendships.load();
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
    const [asked, known] = [friendships.requests(), friendships.friends()];
    title.hidden = asked.length === 0;
    none.hidden = known.length > 0;
    requests.replaceChildren(...asked.map(([name, greeting]) => requestRow(name, greeting, problem, fill)));
    friends.replaceChildren(...known.map(friendRow));
  };
  fill();
  dialogs.show(t.friendsTitle, problem, title, requests, element('h3', '', t.friends), none, friends);
  await friendships.load();
  fill();
}

function requestRow(name, greeting, problem, fill) {
  const does = (className, words, cmd) => button(className, words, () => dialogs.attempt(problem, async () => {
    await friendships.change(cmd, { friendId: name });
    fill();
  }));
  const actions = element('span', 'actions');
  actions.append(does('accept', t.accept, 'friend/accept'), does('quiet', t.reject, 'friend/reject'));
  const item = personRow(name, actions);
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
