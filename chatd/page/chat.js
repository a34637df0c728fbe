// The chat page: asks for a name, or joins the parts of the chat together.

import * as composer from './composer.js';
import * as connection from './connection.js';
import { advance, conversationFor, currentTarget, isBegunAnew, positions, setCurrent } from './conversations.js';
import { $ } from './elements.js';
import { isMissing, load } from './history.js';
import * as inbox from './inbox.js';
import { clear, enter } from './lines.js';
import * as log from './log.js';
import { WORLD, appError, nameError, titleNode } from './names.js';
import * as people from './people.js';
import * as presence from './presence.js';

const query = new URLSearchParams(location.search);
const appId = query.get('appId') ?? query.get('appID') ?? '';
const me = query.get('userId') ?? query.get('userID') ?? '';
// Behind the #, so that no server and no log gets to see it.
const token = new URLSearchParams(location.hash.slice(1)).get('token');

let isFirstLogin = true;

// ---- what chatd says

async function loggedIn(answer) {
  inbox.caughtUp(answer);
  const isNews = isFirstLogin || answer.more || answer.also?.length > 0;
  isFirstLogin = false;
  const conversation = conversationFor(currentTarget());
  await Promise.all([loadNewest(conversation), presence.refresh(), isNews && loadInbox(answer)]);
  presence.ask();
}

async function loadInbox(answer) {
  try {
    await inbox.load();
  } catch {
    inbox.mark(answer);
  }
  seen(conversationFor(currentTarget()));
}

function pushed(cmd, data, seq) {
  if (cmd === 'msg') receive({ target: WORLD, msgId: seq, ...data });
  if (cmd === 'enter' || cmd === 'exit' || cmd === 'presence') presence.refreshSoon();
}

function receive(entry) {
  const own = entry.from === me;
  // One-to-one is named after the recipient; for the recipient the conversation is with the sender.
  const target = entry.target.startsWith('user:') && !own ? `user:${entry.from}` : entry.target;
  const conversation = conversationFor(target);
  const isAnew = isBegunAnew(conversation, entry.epoch);
  if (isAnew) clear(conversation);
  const isNew = log.keepPlace(conversation, () => showEntry(conversation, entry));
  advance(conversation, entry);
  if (!own) presence.heard(entry.from);
  if (isNew && (target !== currentTarget() || document.hidden)) conversation.unread += 1;
  if (isAnew && target === currentTarget()) loadNewest(conversation);
  seen(conversation);
}

function showEntry(conversation, entry) {
  return !composer.arrived(entry) && enter(conversation, entry, entry.from === me);
}

async function loadHistory(conversation) {
  await load(conversation, showEntry);
  seen(conversation);
}

async function loadNewest(conversation) {
  if (isMissing(conversation)) await loadHistory(conversation);
}

// ---- the open conversation

function open(target) {
  setCurrent(target);
  const conversation = conversationFor(target);
  $('title').replaceChildren(titleNode(target));
  log.show(conversation);
  composer.show(conversation);
  toggleMenu(false);
  if (connection.isOnline()) loadNewest(conversation);
  presence.ask();
  seen(conversation);
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

function showState(state, text) {
  $('state').dataset.state = state;
  $('state').textContent = text;
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

function start() {
  $('chat').hidden = false;
  $('leave').href = `?appId=${appId}`;
  $('menu').addEventListener('click', () => toggleMenu(!$('chat').classList.contains('menu-open')));
  $('log').addEventListener('click', () => toggleMenu(false));
  // Listeners, no handler properties: those cancel an event, and with it a typed character, by what they return.
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') toggleMenu(false); });
  document.addEventListener('visibilitychange', () => seen(conversationFor(currentTarget())));
  log.start(loadHistory);
  composer.start(me);
  presence.start(me, people.show);
  people.start(me, (target) => { open(target); $('text').focus(); });
  people.showSelf();
  open(WORLD);
  const loginData = () => ({ userId: me, appId: Number(appId), recover: positions(), ...(token && { token }) });
  connection.start({ loginData, loggedIn, pushed, state: showState });
}

if (appError(appId) || nameError(me)) askForName();
else start();
