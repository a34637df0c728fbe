// The chat page: one WebSocket to chatd, one list of conversations, and nothing on the screen but text nodes and checked links.

const HEARTBEAT_MS = 30_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
const REFRESH_MS = 800;
const MESSAGE_BYTES_MAX = 16 * 1024;
const LINES_MAX = 500;
const SEEN_MAX = 2_000;
const WORLD = '';

const REASONS = {
  0: '连接已断开', 1001: '内容有误', 1003: '没有权限', 1009: '对方或房间拒绝了这条消息',
  1011: '发送太频繁，请稍后再试', 1012: '消息太长', 1013: '服务暂时不可用，请稍后再试',
};
const KINDS = { img: '图片', audio: '语音', video: '视频', redPacket: '红包' };
// A log-in refused for one of these will be refused again: ask the user instead of trying on.
const LOGIN_FINAL = new Set([1000, 1001, 1002, 1003, 1009]);

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const appId = query.get('appId') ?? query.get('appID') ?? '';
const me = query.get('userId') ?? query.get('userID') ?? '';

const conversations = new Map(); // target → conversation
const pending = new Map(); // msgId → own message that chatd has not answered yet, or has refused
const seen = new Set(); // sender and msgId of everything shown, oldest first
let online = [];
let current = WORLD;
let socket = null;
let loggedIn = false;
let failures = 0;
let drainDelayMs = null;
let heartbeatAnswered = true;
let heartbeatTimer, retryTimer, refreshTimer;

// ---- small parts

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const bytes = (text) => new TextEncoder().encode(text).length;
const newId = () => `${Date.now()}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
const titleOf = (target) => (target === WORLD ? '世界' : target.slice(target.indexOf(':') + 1));

function nameError(name) {
  if (name === '') return '请输入昵称';
  if (bytes(name) > 64) return '昵称太长（最多 64 字节）';
  return /\p{Cc}/u.test(name) ? '昵称不能含控制字符' : '';
}

function appError(text) {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff ? '' : '房间号应为 0 到 4294967295 的整数';
}

function webUrl(text) {
  const link = element('a');
  link.href = text;
  return ['http:', 'https:'].includes(link.protocol) ? link.href : null;
}

// ---- connection

function connect() {
  clearTimeout(retryTimer);
  showState('connecting', '连接中…');
  const mine = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/acc`);
  socket = mine;
  // A socket that was given up on may still speak; only the current one is heard.
  mine.onopen = () => mine === socket && login();
  mine.onmessage = (event) => mine === socket && dispatch(JSON.parse(event.data));
  mine.onclose = (event) => mine === socket && lost(event.code, event.reason);
}

function send(seq, cmd, data) {
  socket.send(JSON.stringify({ seq, cmd, data }));
}

function login() {
  const data = { userId: me, appId: Number(appId) };
  const recover = [...conversations.values()]
    .filter((conversation) => conversation.offset > 0)
    .map(({ target, epoch, offset }) => ({ target, epoch, offset }));
  if (recover.length) data.recover = recover;
  send(newId(), 'login', data);
}

function lost(code, reason) {
  socket = null;
  loggedIn = false;
  clearInterval(heartbeatTimer);
  for (const message of pending.values()) if (!message.failed) showFailure(message, REASONS[0]);
  if (code >= 4500 && code <= 4999) {
    showState('stopped', `已断开：${reason || code}`);
    return;
  }
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** ++failures);
  // Spread over half the range, so that the clients of a stopped node do not all come back together.
  const delay = drainDelayMs ?? Math.max(RETRY_MIN_MS, ceiling * (0.5 + Math.random() / 2));
  drainDelayMs = null;
  showState('waiting', `连接断开，${Math.ceil(delay / 1000)} 秒后重连`);
  retryTimer = setTimeout(connect, delay);
}

function giveUp(code, reason) {
  const old = socket;
  lost(code, reason);
  old.close();
}

function heartbeat() {
  // A dead network closes nothing by itself for minutes; a missing answer tells earlier.
  if (!heartbeatAnswered) return giveUp(0, '');
  heartbeatAnswered = false;
  send(newId(), 'heartbeat', {});
}

// ---- what chatd says

function dispatch({ seq, cmd, response }) {
  const data = response.data;
  if (cmd === 'msg') return data?.from === undefined ? answered(seq, response) : receive(data, seq);
  if (cmd === 'login') return loginAnswered(response);
  if (cmd === 'heartbeat') heartbeatAnswered = true;
  if (cmd === 'enter' || cmd === 'exit') refreshSoon();
  if (cmd === 'system/drain') drainDelayMs = data?.reconnectInMs ?? null;
}

function loginAnswered({ code, codeMsg, data }) {
  if (code !== 200) {
    const final = LOGIN_FINAL.has(code);
    return giveUp(final ? 4500 : 0, final ? `登录被拒绝（${code} ${codeMsg}）` : '');
  }
  loggedIn = true;
  failures = 0;
  heartbeatAnswered = true;
  heartbeatTimer = setInterval(heartbeat, HEARTBEAT_MS);
  showState('online', '已连接');
  for (const { target, complete } of data?.recovered ?? []) {
    if (complete === false) place(conversationFor(target), element('li', 'notice', '这里缺少一些消息'), {});
  }
  refresh();
}

function receive(data, seq) {
  const msgId = data.msgId ?? seq;
  const own = data.from === me;
  // One-to-one is named after the recipient; for the recipient the conversation is with the sender.
  const target = data.target?.startsWith('user:') && !own ? `user:${data.from}` : data.target ?? WORLD;
  const conversation = conversationFor(target);
  advance(conversation, data, true);
  if (own && pending.has(msgId)) return confirm(pending.get(msgId), data);
  if (!firstTime(data.from, msgId)) return;
  place(conversation, messageLine({ ...data, own }), data);
  if (!own && (target !== current || document.hidden)) conversation.unread += 1;
  showPeople();
}

function answered(msgId, { code, codeMsg, data }) {
  const message = pending.get(msgId);
  if (!message) return;
  if (code !== 200) return showFailure(message, REASONS[code] ?? `${codeMsg}（${code}）`);
  advance(message.conversation, data ?? {}, false);
  confirm(message, data ?? {});
}

// What to ask for after a reconnect: the end of what was really seen. The answer to an own message may overtake
// a push with a smaller offset, so it moves the end only when nothing lies between.
function advance(conversation, { epoch, offset }, pushed) {
  if (!offset) return;
  if (conversation.epoch !== epoch) Object.assign(conversation, { epoch, offset: 0, ahead: new Set() });
  if (pushed || conversation.offset === 0) conversation.offset = Math.max(conversation.offset, offset);
  else if (offset > conversation.offset) conversation.ahead.add(offset);
  while (conversation.ahead.delete(conversation.offset + 1)) conversation.offset += 1;
}

function firstTime(from, msgId) {
  const key = `${from}\n${msgId}`;
  if (seen.has(key)) return false;
  seen.add(key);
  if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value);
  return true;
}

// ---- sending

function submit() {
  const text = $('text').value;
  if (text.trim() === '') return;
  const tooLong = bytes(text) > MESSAGE_BYTES_MAX;
  $('composer-error').textContent = tooLong ? REASONS[1012] : '';
  if (tooLong) return;

  const conversation = conversationFor(current);
  const message = { msgId: newId(), conversation, text, failed: false };
  message.line = messageLine({ type: 'text', from: me, msg: text, time: Date.now(), own: true });
  firstTime(me, message.msgId);
  conversation.list.append(message.line);
  conversation.atEnd = true;
  keepInView(conversation);
  $('text').value = '';
  transmit(message);
}

// A repeated try carries the same msgId, so chatd delivers it once whatever became of the first.
function transmit(message) {
  pending.set(message.msgId, message);
  settle(message, false);
  message.line.classList.add('pending');
  if (!loggedIn) return showFailure(message, REASONS[0]);
  send(message.msgId, 'msg', { target: message.conversation.target, type: 'text', msg: message.text, msgId: message.msgId });
}

function confirm(message, data) {
  pending.delete(message.msgId);
  settle(message, false);
  place(message.conversation, message.line, data);
}

function settle(message, failed) {
  message.failed = failed;
  message.line.classList.remove('pending');
  message.line.querySelector('.failure')?.remove();
}

function showFailure(message, reason) {
  settle(message, true);
  const retry = element('button', 'quiet', '重试');
  Object.assign(retry, { type: 'button', title: 'Retry', onclick: () => transmit(message) });
  const failure = element('p', 'failure', `未送达：${reason}`);
  failure.append(retry);
  message.line.append(failure);
  keepInView(message.conversation);
}

// ---- messages on the screen

function conversationFor(target) {
  let conversation = conversations.get(target);
  if (!conversation) {
    conversation = { target, epoch: undefined, offset: 0, ahead: new Set(), unread: 0, list: element('ol'), atEnd: true };
    conversations.set(target, conversation);
  }
  return conversation;
}

function messageLine(message) {
  const line = element('li', message.own ? 'message own' : 'message');
  const meta = element('p', 'meta');
  const when = new Date(message.time ?? Date.now());
  const time = element('time', '', when.toLocaleTimeString('zh-CN', { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString('zh-CN');
  meta.append(element('span', 'from', message.own ? '我' : message.from), time);
  const body = element('div', 'body');
  body.append(content(message));
  line.append(meta, body);
  return line;
}

function content({ type = 'text', msg, url, size, greeting, from }) {
  const href = url === undefined ? null : webUrl(url);
  if (type === 'img' && href) return picture(href, size, from);
  if ((type === 'audio' || type === 'video') && href) {
    const link = element('a', '', `打开${KINDS[type]}`);
    Object.assign(link, { href, target: '_blank', rel: 'noopener noreferrer' });
    return link;
  }
  return document.createTextNode(msg ?? greeting ?? `[${KINDS[type] ?? type}]`);
}

function picture(href, size, from) {
  const image = element('img');
  Object.assign(image, { alt: `${from} 发来的图片`, referrerPolicy: 'no-referrer' });
  // Known before it loads, so that the log does not jump.
  if (size?.width > 0 && size?.height > 0) Object.assign(image, { width: size.width, height: size.height });
  image.onload = () => keepInView(conversationFor(current));
  image.src = href;
  return image;
}

// Everybody sees one order, that of the offsets; own messages without one yet wait at the end.
function place(conversation, line, { epoch, offset }) {
  if (offset) Object.assign(line.dataset, { epoch, offset });
  const isLater = ({ classList, dataset }) =>
    classList.contains('pending') || (dataset.epoch === String(epoch) && Number(dataset.offset) > offset);
  let before = conversation.list.lastElementChild;
  while (before && (before === line || isLater(before))) before = before.previousElementSibling;
  if (line.parentNode && line.previousElementSibling === before) return;
  if (before) before.after(line);
  else conversation.list.prepend(line);
  while (conversation.list.childElementCount > LINES_MAX) conversation.list.firstElementChild.remove();
  keepInView(conversation);
}

// Follow new lines only while the reader is at the end; do not pull him away from what he reads.
function keepInView(conversation) {
  if (conversation.target === current && conversation.atEnd) $('log').scrollTop = $('log').scrollHeight;
}

function open(target) {
  current = target;
  const conversation = conversationFor(target);
  conversation.unread = 0;
  conversation.atEnd = true;
  const title = titleOf(target);
  $('title').textContent = title;
  $('log').replaceChildren(conversation.list, element('p', 'empty', target === WORLD ? '还没有消息，打个招呼吧' : `开始和 ${title} 聊天吧`));
  $('composer-error').textContent = '';
  toggleMenu(false);
  keepInView(conversation);
  showPeople();
}

// ---- people

function refreshSoon() {
  // At most one request in this time, however many people come and go.
  refreshTimer ??= setTimeout(refresh, REFRESH_MS);
}

async function refresh() {
  clearTimeout(refreshTimer);
  refreshTimer = undefined;
  try {
    const answer = await (await fetch(`/user/list?appId=${appId}&limit=${LINES_MAX}`)).json();
    if (answer.code !== 200) throw new Error(answer.msg);
    online = answer.data.userList ?? [];
    $('count').textContent = `在线 ${answer.data.userCount} 人`;
  } catch {
    $('count').textContent = '在线列表不可用';
  }
  showPeople();
}

function showPeople() {
  const focused = document.activeElement?.closest('#people button')?.dataset.target;
  const others = online.map((name) => `user:${name}`).filter((target) => !conversations.has(target));
  const rows = [...new Set([WORLD, ...conversations.keys(), ...others])].map(personRow);
  $('people').replaceChildren(...rows);
  if (focused !== undefined) rows.find((row) => row.firstChild.dataset.target === focused)?.firstChild.focus();
  const unread = [...conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  $('menu-dot').hidden = unread === 0;
  document.title = `${unread ? `(${unread}) ` : ''}${titleOf(current)} · 聊天室`;
}

function personRow(target) {
  const button = element('button');
  const self = target === `user:${me}`;
  Object.assign(button, { type: 'button', disabled: self, onclick: () => { open(target); $('text').focus(); } });
  button.dataset.target = target;
  button.setAttribute('aria-current', String(target === current));
  const name = element('span', 'name', titleOf(target) + (self ? '（我）' : ''));
  name.title = name.textContent;
  button.append(name);
  if (target.startsWith('user:') && !self && !online.includes(titleOf(target))) {
    button.classList.add('away');
    button.append(element('span', 'away-note', '离线'));
  }
  const unread = conversations.get(target)?.unread ?? 0;
  if (unread) {
    const dot = element('span', 'dot', unread > 99 ? '99+' : String(unread));
    dot.title = `${unread} 条未读`;
    button.append(dot);
  }
  const row = element('li');
  row.append(button);
  return row;
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
  $('join-form').onsubmit = (event) => check() && event.preventDefault();
  (appError(appId) ? app : user).focus();
}

function start() {
  $('chat').hidden = false;
  $('self').textContent = me;
  $('self').title = me;
  $('leave').href = `?appId=${appId}`;
  $('refresh').onclick = refresh;
  $('menu').onclick = () => toggleMenu(!$('chat').classList.contains('menu-open'));
  $('composer').onsubmit = (event) => { event.preventDefault(); submit(); };
  $('text').onkeydown = (event) => {
    // While an input method is composing, Enter belongs to it; Safari tells of the one that ends it afterwards, as 229.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  };
  $('log').onscroll = () => {
    const log = $('log');
    conversationFor(current).atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  };
  $('log').onclick = () => toggleMenu(false);
  // A handler set as a property that returns false cancels the event, and with it the typed character.
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') toggleMenu(false); });
  document.onvisibilitychange = () => {
    if (document.hidden) return;
    conversationFor(current).unread = 0;
    showPeople();
  };
  window.addEventListener('online', () => socket === null && $('state').dataset.state === 'waiting' && connect());
  open(WORLD);
  connect();
}

if (appError(appId) || nameError(me)) askForName();
else start();
