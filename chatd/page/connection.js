// The one WebSocket to chatd: log in, stay alive, come back; requests and their answers.

import { newId } from './elements.js';
import { NEEDS_TOKEN, closing, reason } from './words.js';

const HEARTBEAT_MS = 30_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
// A log-in refused for one of these will be refused again: ask the user instead of trying on.
const LOGIN_FINAL = new Set([1000, 1001, 1002, 1003, 1009]);

const waiting = new Map(); // seq → who waits for the answer
let hear; // { loginData, loggedIn, pushed, state }: what the page does about it
let socket = null;
let loggedIn = false;
let stopped = false;
let failures = 0;
let drainDelayMs = null;
let heartbeatAnswered = true;
let heartbeatTimer, retryTimer;

export const isOnline = () => loggedIn;

export function start(listener) {
  hear = listener;
  window.addEventListener('online', () => socket === null && !stopped && connect());
  connect();
}

// Asks chatd for something; the promise fails with { code, words }, code 0 when the connection ended first.
export function request(cmd, data, seq = newId()) {
  return new Promise((resolve, reject) => {
    if (!loggedIn) return reject({ code: 0, words: reason(0) });
    waiting.set(seq, { resolve, reject });
    send(seq, cmd, data);
  });
}

function connect() {
  clearTimeout(retryTimer);
  hear.state('connecting', '连接中…');
  const mine = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/acc`);
  socket = mine;
  // A socket that was given up on may still speak; only the current one is heard.
  mine.addEventListener('open', () => mine === socket && login());
  mine.addEventListener('message', (event) => mine === socket && dispatch(JSON.parse(event.data)));
  mine.addEventListener('close', (event) => mine === socket && lost(event.code, event.reason));
}

function send(seq, cmd, data) {
  socket.send(JSON.stringify({ seq, cmd, data }));
}

function login() {
  const seq = newId();
  waiting.set(seq, { resolve: entered, reject: refused });
  send(seq, 'login', hear.loginData());
}

function entered(data) {
  loggedIn = true;
  failures = 0;
  heartbeatAnswered = true;
  heartbeatTimer = setInterval(heartbeat, HEARTBEAT_MS);
  hear.state('online', '已连接');
  hear.loggedIn(data ?? {});
}

function refused({ code, words }) {
  if (code === 0) return;
  const final = LOGIN_FINAL.has(code);
  giveUp(final ? 4500 : 0, final ? `登录被拒绝：${code === 1000 ? NEEDS_TOKEN : words}` : undefined);
}

function lost(code, why, words = closing(code, why)) {
  socket = null;
  loggedIn = false;
  clearInterval(heartbeatTimer);
  const unanswered = [...waiting.values()];
  waiting.clear();
  for (const { reject } of unanswered) reject({ code: 0, words: reason(0) });
  stopped = code >= 4500 && code <= 4999;
  if (stopped) return hear.state('stopped', `已断开：${words}`);
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** ++failures);
  // Spread over half the range, so that the clients of a stopped node do not all come back together.
  const delay = drainDelayMs ?? Math.max(RETRY_MIN_MS, ceiling * (0.5 + Math.random() / 2));
  drainDelayMs = null;
  hear.state('waiting', `连接断开，${Math.ceil(delay / 1000)} 秒后重连`);
  retryTimer = setTimeout(connect, delay);
}

function giveUp(code, words) {
  const old = socket;
  lost(code, '', words);
  old.close();
}

function heartbeat() {
  // A dead network closes nothing by itself for minutes; a missing answer tells earlier.
  if (!heartbeatAnswered) return giveUp(0);
  heartbeatAnswered = false;
  send(newId(), 'heartbeat', {});
}

function dispatch({ seq, cmd, response }) {
  const { code, codeMsg, data } = response;
  // A push of an own message bears the msgId its request bore, and unlike the answer says who sent it.
  const isPush = cmd === 'msg' && data?.from !== undefined;
  const asked = isPush ? undefined : waiting.get(seq);
  if (asked) {
    waiting.delete(seq);
    if (code === 200) asked.resolve(data);
    else asked.reject({ code, words: reason(code, codeMsg) });
  } else if (cmd === 'heartbeat') heartbeatAnswered = true;
  else if (cmd === 'system/drain') drainDelayMs = data?.reconnectInMs ?? null;
  else if (cmd !== 'msg' || isPush) hear.pushed(cmd, data, seq);
}
