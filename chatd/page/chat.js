// The chat page: asks for a name, or joins the parts of the chat together.

import * as announcer from './announcer.js';
import * as composer from './composer.js';
import { appId, chat, isOnline, me, stateWords } from './connection.js';
import { conversationFor, currentTarget, heard, isBegunAnew, setCurrent } from './conversations.js';
import { $ } from './elements.js';
import * as files from './files.js';
import * as friends from './friends.js';
import * as friendships from './friendships.js';
import * as groups from './groups.js';
import { isMissing, load } from './history.js';
import * as inbox from './inbox.js';
import { clear, enter } from './lines.js';
import * as log from './log.js';
import * as marks from './marks.js';
import { WORLD, groupOf, personOf } from './names.js';
import * as notifications from './notifications.js';
import * as people from './people.js';
import * as persons from './persons.js';
import * as presence from './presence.js';
import * as profile from './profile.js';
import * as redPackets from './red-packets.js';
import * as renewal from './renewal.js';
import { appError, nameError, titleNode, titleOf } from './titles.js';
import * as uploads from './uploads.js';
import { translate } from './words.js';

let isFirstLogin = true;

// ---- what chatd says

async function loggedIn(login) {
  const isNews = isFirstLogin || login.more || login.also.length > 0;
  isFirstLogin = false;
  const conversation = conversationFor(currentTarget());
  const news = [groups.load(), friendships.load()];
  await Promise.all([loadNewest(conversation), presence.refresh(), isNews && loadInbox(login), ...news]);
  people.show();
  presence.ask();
}

async function loadInbox(login) {
  try {
    await inbox.load();
  } catch {
    inbox.mark(login);
  }
  seen(conversationFor(currentTarget()));
}

function pushed({ cmd, data }) {
  if (['enter', 'exit', 'presence'].includes(cmd)) presence.refreshSoon();
  if (cmd === 'group/join') groups.load().then(() => { conversationFor(data.target); people.show(); });
  if (cmd.startsWith('friend/')) friends.pushed(cmd, data);
  if (cmd === 'redPacket/finished') redPackets.finished(data);
}

function receive(entry) {
  const own = entry.from === me;
  const { conversation: target } = entry;
  const conversation = conversationFor(target);
  const isAnew = isBegunAnew(conversation.shown, entry.epoch);
  if (isAnew) clear(conversation);
  if (conversation.shown !== entry.epoch) conversation.readOffset = 0;
  conversation.shown = entry.epoch;
  const isNew = log.keepPlace(conversation, () => enter(conversation, entry, own));
  heard(conversation, entry);
  if (!own) presence.heard(entry.from);
  if (target === currentTarget()) marks.stopped(entry.from);
  if (isNew && (target !== currentTarget() || document.hidden)) {
    conversation.unread += 1;
    notifications.tell(conversation, entry);
  }
  if (isNew && target === currentTarget()) announcer.hear(entry);
  if (isNew && !log.isAtEnd(conversation)) conversation.below += 1;
  if (isAnew && target === currentTarget()) loadNewest(conversation);
  groups.happened(entry);
  seen(conversation);
}

async function loadHistory(conversation) {
  await load(conversation, (of, entry) => enter(of, entry, entry.from === me));
  seen(conversation);
}

async function loadNewest(conversation) {
  if (isMissing(conversation)) await loadHistory(conversation);
}

// ---- the open conversation

function open(target) {
  setCurrent(target);
  const conversation = conversationFor(target);
  showTitle();
  log.show(conversation);
  composer.show(conversation);
  toggleMenu(false);
  if (isOnline()) loadNewest(conversation);
  presence.ask();
  marks.look();
  seen(conversation);
}

function showTitle() {
  const target = currentTarget();
  $('title').replaceChildren(titleNode(target));
  $('details').hidden = target === WORLD;
  people.showTitle(titleOf(target));
}

function details() {
  const target = currentTarget();
  if (groupOf(target) !== undefined) groups.showGroup(groupOf(target));
  else if (personOf(target) !== undefined) persons.show(personOf(target));
}

function seen(conversation) {
  if (conversation.target === currentTarget() && !document.hidden) {
    Object.assign(conversation, { unread: 0, unreadMore: false });
    inbox.readSoon();
  }
  log.showHistory(conversation);
  people.show();
}

// ---- page

function showState(change) {
  $('state').dataset.state = change.state;
  $('state').textContent = stateWords(change);
  composer.connected(change.state);
}

function toggleMenu(shown) {
  $('chat').classList.toggle('menu-open', shown);
  $('menu').setAttribute('aria-expanded', String(shown));
}

function askForName() {
  $('join').hidden = false;
  const [app, user, error] = ['join-app', 'join-user', 'join-error'].map($);
  const check = () => (error.textContent = appError(app.value) || nameError(user.value));
  app.value = appId;
  user.value = me;
  if (me) check();
  $('join-form').addEventListener('submit', (event) => { if (check()) event.preventDefault(); });
  (appError(appId) ? app : user).focus();
}

function talkWith(target) {
  open(target);
  $('text').focus();
}

function start() {
  $('chat').hidden = false;
  $('leave').href = `?appId=${appId}`;
  $('menu').addEventListener('click', () => toggleMenu(!$('chat').classList.contains('menu-open')));
  $('details').addEventListener('click', details);
  document.querySelector('.talk').addEventListener('click', () => toggleMenu(false));
  // Listeners, no handler properties: those cancel an event, and with it a typed character, by what they return.
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') toggleMenu(false); });
  document.addEventListener('visibilitychange', () => {
    marks.look();
    seen(conversationFor(currentTarget()));
  });
  log.start(loadHistory);
  composer.start(me);
  files.start();
  uploads.start();
  marks.start();
  presence.start(me, people.show);
  people.start(me, talkWith);
  persons.start(talkWith);
  friends.start(talkWith, people.show);
  groups.start(talkWith, () => { showTitle(); people.show(); });
  redPackets.start();
  renewal.start();
  profile.start();
  notifications.start(talkWith);
  chat.on('state', showState);
  chat.on('message', receive);
  chat.on('gap', inbox.missed);
  chat.on('login', loggedIn);
  chat.on('push', pushed);
  open(WORLD);
  chat.start();
}

translate();
if (appError(appId) || nameError(me)) askForName();
else start();
