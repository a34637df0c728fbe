// Groups: creating and joining one, who is in it, and leaving.

import { me, request } from './connection.js';
import { conversationFor, currentTarget, drop } from './conversations.js';
import * as dialogs from './dialogs.js';
import { $, button, element, field } from './elements.js';
import { personRow } from './friends.js';
import { WORLD, isolatedName } from './names.js';
import { nameError, nameGroup, titleNode } from './titles.js';
import { t } from './words.js';

const PAGES_MAX = 5;

let talkWith, changed;

export function start(open, show) {
  talkWith = open;
  changed = show;
  $('add').addEventListener('click', showNew);
}

// The user's groups, so that those in which nothing was said are listed too, and all by their names.
export async function load() {
  let cursor;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    let answer;
    try {
      answer = await request('group/list', { ...(cursor && { cursor }) });
    } catch {
      return; // They are shown by their ids until the next log-in.
    }
    for (const { groupId, name } of answer.groups) {
      nameGroup(groupId, name);
      conversationFor(`group:${groupId}`);
    }
    cursor = answer.cursor;
    if (cursor === undefined) break;
  }
  changed();
}

// An entry that tells who is in a group, which may be this user.
export function happened({ conversation, type, from, member }) {
  const isOver = type === 'dismiss' || (type === 'leave' && from === me) || (type === 'kick' && member === me);
  if (isOver && currentTarget() !== conversation) gone(conversation);
}

function gone(target) {
  if (currentTarget() === target) talkWith(WORLD);
  drop(target);
  changed();
}

function showNew() {
  const [nameLabel, name] = field(t.groupName, { id: 'group-name', maxLength: 60, required: true });
  const [idLabel, id] = field(t.groupId, { id: 'group-id', required: true, autocapitalize: 'off', spellcheck: false });
  const [friendLabel, friend] = field(t.friendName, { id: 'friend-name', required: true, autocapitalize: 'off', spellcheck: false });
  const create = dialogs.form(t.createGroup, [nameLabel], async () => {
    const { groupId } = await request('group/create', { name: name.value });
    enter(groupId, name.value);
  });
  const join = dialogs.form(t.joinGroup, [idLabel], async () => {
    const groupId = id.value.trim();
    await request('group/join', { groupId });
    enter(groupId);
    await load();
  });
  const befriend = dialogs.form(t.addFriend, [friendLabel], async () => {
    const friendId = friend.value.trim();
    if (nameError(friendId)) throw { words: nameError(friendId) };
    await request('friend/request', { friendId });
    dialogs.close();
    dialogs.tell(t.requestSent);
  });
  dialogs.show(t.newTitle, create, join, befriend);
}

function enter(groupId, name) {
  nameGroup(groupId, name);
  dialogs.close();
  talkWith(`group:${groupId}`);
}

// Who is in a group, and what the user may do there.
export async function showGroup(groupId) {
  const target = `group:${groupId}`;
  const problem = element('p', 'error');
  problem.role = 'alert';
  const id = element('p', 'actions');
  id.append(element('span', 'hint', t.groupIdIs(isolatedName(groupId))), button('quiet', t.copy, async () => {
    await navigator.clipboard?.writeText(groupId);
    dialogs.tell(t.copied);
  }));
  const count = element('h3');
  const list = element('ul', 'persons members');
  const actions = element('p', 'actions');
  dialogs.show(titleNode(target), problem, id, count, list, actions);
  let cursor;
  const page = () => dialogs.attempt(problem, async () => {
    const answer = await request('group/members', { groupId, limit: 200, ...(cursor && { cursor }) });
    nameGroup(groupId, answer.name);
    cursor = answer.cursor;
    count.textContent = t.members(answer.memberCount);
    list.append(...answer.members.map((name) => memberRow(groupId, name, answer.owner)));
    if (cursor) list.append(moreRow(page));
    actions.replaceChildren(leaving(groupId, answer.owner === me));
  });
  await page();
}

function moreRow(page) {
  const item = element('li');
  item.append(button('quiet', t.moreMembers, async () => { item.remove(); await page(); }));
  return item;
}

function memberRow(groupId, name, owner) {
  const actions = [];
  if (name === owner) actions.push(element('span', 'hint', t.owner));
  if (owner === me && name !== me) {
    actions.push(button('quiet kick', t.kick, () => dialogs.ask(t.kickSure(isolatedName(name)), t.kick, async () => {
      await request('group/kick', { groupId, memberId: name });
    })));
  }
  return personRow(name, ...actions);
}

function leaving(groupId, isOwner) {
  const [words, sure, cmd] = isOwner
    ? [t.dismiss, t.dismissSure, 'group/dismiss'] : [t.leaveGroup, t.leaveSure, 'group/leave'];
  return button('quiet leaving', words, () => dialogs.ask(sure, words, async () => {
    await request(cmd, { groupId });
    gone(`group:${groupId}`);
  }));
}
