// The reference client of chatd: one user of one app over one WebSocket, in a browser or in Node (22, or newer).
//
// A message that is sent arrives once, however often the connection ends; what others say comes in the order of the
// log, each entry once. What cannot be had that way is told as a `gap`, and the history has it.
//
//     import { ChatClient } from 'https://chat.example/home/client.js';
//
//     const chat = new ChatClient({ url: 'wss://chat.example/acc', appId: 101, userId: '马超' });
//     chat.on('message', ({ conversation, from, msg }) => console.log(conversation, from, msg));
//     chat.start();
//     await chat.send('group:changan', 'hello');

/** How often the client says that it lives; the next time an answer is missing, the connection is given up. */
const HEARTBEAT_MS = 30_000;
/** Shortest and longest pause before it comes back; it is spread over half of the range. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** How long an answer may take, unless a request says otherwise. */
const PATIENCE_MS = 15_000;
/** Positions in one log-in at most; chatd tells of the other conversations by itself. */
const RECOVER_MAX = 200;
/** Who goes on writing says so once in so long. */
const TYPING_MS = 3_000;
/** How long an upload may show no sign of life: longer than chatd needs to look at a picture. */
const UPLOAD_PATIENCE_MS = 120_000;
/** Bytes of the name of a file at most. */
const FILE_NAME_BYTES = 255;
/** Of so many others it is told how far they have read; where they are more, of none. */
const READERS_MAX = 50;
/** Messages that wait to be sent at most. */
const OUTBOX_MAX = 1_000;
/** chatd was too busy, or its store away: the same message may be sent again later. */
const PASSING = new Set([1011, 1013]);
/** A log-in refused for one of these would be refused again. */
const FINAL = new Set([1000, 1001, 1002, 1003, 1009]);
/** Close codes after which a client must not come back by itself. */
const isFinal = (code) => code >= 4500 && code <= 4999;
const TOKEN_ENDED = 4501;

/**
 * Where a message goes and a conversation is: `''` the world, `'group:ID'` a group, `'user:NAME'` one user.
 * @typedef {string} Target
 */

/**
 * A place in the log of a conversation.
 * @typedef {object} Position
 * @property {string} epoch   names the history; its first part, before a dot, stays as long as that does
 * @property {number} offset  number of an entry, from 1
 */

/**
 * An entry of a log, as the README of chatd describes pushes.
 * @typedef {object} Entry
 * @property {Target} conversation  what the user calls the conversation it belongs to
 * @property {Target} target        where it was sent
 * @property {string} from
 * @property {string} type          `text`, `img`, `audio`, `video`, `redPacket`, `recall`, `create`, `join`, …
 * @property {string} [msg]
 * @property {string} msgId
 * @property {string} epoch
 * @property {number} offset
 * @property {number} time          Unix milliseconds
 */

/**
 * What chatd knows of a file.
 * @typedef {object} FileAbout
 * @property {string} url      where it is opened until `expires`
 * @property {number} expires  Unix milliseconds
 * @property {'img' | 'audio' | 'video'} type  of the message that carries it
 * @property {string} contentType
 * @property {number} bytes
 * @property {string} name
 * @property {boolean} thumbnail  whether `&part=thumbnail` behind `url` leads to a smaller picture
 * @property {{width: number, height: number}} [size]  of a picture, in pixels
 */

/**
 * What `on` tells of, by name.
 * @typedef {object} Events
 * @property {(change: {state: State, code?: number, reason?: string, limit?: Limit, delayMs?: number}) => void} state
 * @property {(entry: Entry) => void} message  in the order of the log, each once; not what this client itself sent
 * @property {(gap: {conversation: Target, epoch: string, offset: number, after?: Position}) => void} gap  what stands up
 *   to there is not told, from where it was known: the history has it, as far as it is kept
 * @property {(login: {recovered: object[], also: object[], more: boolean}) => void} login  each time, after its gaps
 * @property {(token: {expires: number}) => void} expiring  the token ends then, Unix milliseconds, and no later one was to
 *   be had: `renew` takes one
 * @property {(mark: {conversation: Target, users: string[]}) => void} typing  others write there, who say so again while
 *   they do; of the conversation that `watch` names
 * @property {(mark: {conversation: Target, epoch: string, readers: {userId: string, offset: number}[]}) => void} read  so
 *   far others have read it now; of the same conversation, and first of all when it is looked at
 * @property {(push: {cmd: string, data: object}) => void} push  everything else that chatd pushes
 */

/**
 * What refused something, because it allows no more.
 * @typedef {object} Limit
 * @property {string} name      a setting of chatd in `[limits]`, such as `file_bytes`
 * @property {number} [bound]   what it allows, in the unit of the setting, where that is a number
 * @property {number} [perMs]   of a rate: in how many milliseconds it allows so many
 */

/** @typedef {'idle' | 'connecting' | 'online' | 'waiting' | 'stopped'} State */

/** Why chatd refused something, or why there was no answer. */
export class ChatError extends Error {
  /**
   * @param {number} code  chatd's; 0 when the connection ended first, or no answer came in time
   * @param {string} message  chatd's words
   * @param {{limit?: string, bound?: number, perMs?: number}} [data]  of the refusal
   */
  constructor(code, message, data) {
    super(message);
    this.name = 'ChatError';
    this.code = code;
    /** @type {Limit | undefined} */
    this.limit = data?.limit === undefined ? undefined : { name: data.limit, bound: data.bound, perMs: data.perMs };
  }
}

/** An id that nobody has used before: for `seq`, `msgId` and `transferId`. */
export const newId = () => {
  const [a, b] = crypto.getRandomValues(new Uint32Array(2));
  return `${Date.now()}-${a.toString(36)}${b.toString(36)}`;
};

/** The first part of an epoch; another one is another history, whose offsets begin anew. */
export const historyOf = (epoch) => epoch.split('.', 1)[0];

/** Sends a file in a browser, where only this tells how far it is; gives status and text of the answer. */
const putTold = (address, { file, headers, onProgress, signal }) => new Promise((resolve, reject) => {
  const request = new XMLHttpRequest();
  const giveUp = () => request.abort();
  const ended = () => reject(signal?.aborted ? signal.reason : new ChatError(0, 'the connection ended'));
  let late;
  const wait = () => { clearTimeout(late); late = setTimeout(giveUp, UPLOAD_PATIENCE_MS); };
  request.open('PUT', address);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded }) => { wait(); onProgress?.(loaded); };
  request.onload = () => resolve([request.status, request.responseText]);
  request.onerror = request.onabort = ended;
  request.onloadend = () => { clearTimeout(late); signal?.removeEventListener('abort', giveUp); };
  signal?.addEventListener('abort', giveUp);
  wait();
  request.send(file);
});

/** The same in Node. */
const putUntold = async (address, { file, headers, signal }) => {
  try {
    const answer = await fetch(address, { method: 'PUT', body: file, headers, signal });
    return [answer.status, await answer.text()];
  } catch {
    signal?.throwIfAborted();
    throw new ChatError(0, 'the connection ended');
  }
};

/** One user of one app. */
export class ChatClient {
  #settings;
  #listeners = new Map();
  #state = 'idle';
  #socket = null;
  #asked = new Map(); // seq → who waits for the answer
  #outbox = new Map(); // msgId → a message until chatd has it, in the order of sending
  #positions = new Map(); // conversation → { epoch, offset }
  #own = new Map(); // conversation → places of own messages that may be pushed once more
  #failures = 0;
  #drainMs = null;
  #watched; // the conversation that is looked at
  #typed = { target: undefined, at: 0 };
  #held; // the token of the session
  #isAnswered = true;
  #isComing; // whether nothing was heard before, so that nothing can have been missed
  #timers = { heartbeat: undefined, retry: undefined, again: undefined };

  /**
   * @param {object} settings
   * @param {string} settings.url  of the WebSocket, such as `wss://chat.example/acc`
   * @param {number} settings.appId
   * @param {string} settings.userId
   * @param {string | (() => string | Promise<string>)} [settings.token]  for a closed chatd; a function is asked for each
   *   log-in, for a new one before the last one ends, and once more when it has ended
   * @param {Record<Target, Position>} [settings.positions]  of an earlier client: what came since is told
   * @param {typeof WebSocket} [settings.WebSocket]
   */
  constructor(settings) {
    this.#settings = { WebSocket: globalThis.WebSocket, ...settings };
    this.#isComing = settings.positions === undefined;
    for (const [conversation, position] of Object.entries(settings.positions ?? {})) {
      this.#positions.set(conversation, { ...position });
    }
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** The name of the user. */
  get userId() {
    return this.#settings.userId;
  }

  /**
   * Calls `listener` whenever that happens.
   * @template {keyof Events} K
   * @param {K} event
   * @param {Events[K]} listener
   * @returns {() => void} ends it
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Connects, and comes back until `stop`, or until chatd says that it must not. */
  start() {
    if (this.#socket || this.#state === 'connecting') return;
    globalThis.addEventListener?.('online', this.#hurry);
    this.#failures = 0;
    this.#connect();
  }

  /** Ends the connection. What was not sent stays, and is sent after the next `start`. */
  stop() {
    globalThis.removeEventListener?.('online', this.#hurry);
    clearTimeout(this.#timers.retry);
    const socket = this.#socket;
    this.#drop();
    this.#change('idle');
    socket?.close(1000);
  }

  /**
   * Takes another token of the same user, for this session and for the log-ins that follow.
   * @param {string} token
   * @throws {ChatError} what it was refused with
   */
  async renew(token) {
    if (this.#state === 'online') await this.request('session/refresh', { token });
    this.#settings.token = this.#held = token;
  }

  /**
   * Asks chatd for something once: any operation of its API, without the first slash.
   * @param {string} cmd  such as `user/list`
   * @param {object} [data]  its parameters; app and user are known
   * @param {{patienceMs?: number}} [options]
   * @returns {Promise<any>} its `data`
   * @throws {ChatError} what it was refused with; code 0 when it is unknown what became of it
   */
  request(cmd, data = {}, { patienceMs = PATIENCE_MS } = {}) {
    if (this.#state !== 'online') return Promise.reject(new ChatError(0, 'not connected'));
    return this.#ask(newId(), cmd, data, patienceMs);
  }

  /**
   * Sends a message, and again under the same id whenever the connection ended before the answer, so that it arrives
   * once.
   * @param {Target} target
   * @param {string | object} message  a text, or `type` and what belongs to that
   * @param {{msgId?: string}} [options]
   * @returns {Promise<{msgId: string, offset: number, epoch: string, time: number}>} once chatd has stored it
   * @throws {ChatError} what it was refused with
   */
  send(target, message, { msgId = newId() } = {}) {
    if (this.#state === 'stopped') return Promise.reject(new ChatError(0, 'the session ended'));
    if (this.#outbox.size >= OUTBOX_MAX) {
      return Promise.reject(new ChatError(1011, `more than ${OUTBOX_MAX} messages wait to be sent`));
    }
    const data = { target, ...(typeof message === 'string' ? { type: 'text', msg: message } : message), msgId };
    return new Promise((resolve, reject) => {
      this.#outbox.set(msgId, { data, resolve, reject, isUnderWay: false });
      if (this.#state === 'online') this.#transmit(msgId);
    });
  }

  /**
   * A page of a conversation's history, the newest entries without `before` and `after`.
   * @param {Target} target
   * @param {{before?: number, after?: number, limit?: number}} [page]
   * @returns {Promise<{messages: Entry[], next?: number, epoch: string}>}
   */
  history(target, page = {}) {
    return this.request('message/history', { target, ...page });
  }

  /**
   * Brings a file to chatd for a message of a conversation, which `type`, `url`, `secret` and `size` of the answer are for.
   * @param {Blob} file
   * @param {object} options
   * @param {Target} options.target  the conversation
   * @param {string} [options.name]  for those who save it
   * @param {(bytes: number) => void} [options.onProgress]  so many of them are on their way; Node tells nothing
   * @param {AbortSignal} [options.signal]  gives it up
   * @returns {Promise<FileAbout & {fileId: string, secret: string}>} its `url` as a message carries it, a path
   * @throws {ChatError} what it was refused with; code 0 when the connection ended. The reason of `signal`, after that
   */
  async upload(file, { target, name = file.name ?? '', onProgress, signal }) {
    const { appId, userId } = this.#settings;
    const line = name.replace(/\p{Cc}/gu, '');
    const fits = line.slice(0, new TextEncoder().encodeInto(line, new Uint8Array(FILE_NAME_BYTES)).read);
    const token = this.#held ?? await this.#token();
    signal?.throwIfAborted();
    const query = new URLSearchParams({ appId, userId, target, ...(fits && { name: fits }) });
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const put = globalThis.XMLHttpRequest ? putTold : putUntold;
    const [status, text] = await put(this.#address(`/file/upload?${query}`), { file, headers, onProgress, signal });
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      // Not chatd's words, but those of a proxy on the way.
      throw new ChatError(status === 413 ? 1012 : 0, `HTTP status ${status}`);
    }
    if (answer.code !== 200) throw new ChatError(answer.code, answer.msg, answer.data);
    return answer.data;
  }

  /**
   * Where this user opens a file of a message for a while.
   * @param {Target} target  the conversation
   * @param {string} fileId  what stands behind `/file/` in the message
   * @returns {Promise<FileAbout>}
   * @throws {ChatError} what it was refused with
   */
  async fileUrl(target, fileId) {
    const answer = await this.request('file/url', { target, fileId });
    return { ...answer, url: this.#address(answer.url) };
  }

  /** A path of chatd as an address, beside that of the WebSocket. */
  #address(path) {
    return new URL(`.${path}`, this.#settings.url.replace(/^ws/, 'http')).href;
  }

  /**
   * Tells that a conversation was read, on all devices of the user.
   * @param {Target} target
   * @param {number} offset  the last entry that was read
   */
  read(target, offset) {
    return this.request('conversation/read', { target, offset });
  }

  /**
   * Looks at a conversation, or at none: of no other one is told who is writing, and how far others have read.
   * @param {Target} [target]
   */
  watch(target) {
    if (this.#watched === target) return;
    this.#watched = target;
    if (this.#state === 'online') this.#look();
  }

  /**
   * Tells those who look at a conversation that the user writes there. To be called at each key; it is told now and then.
   * @param {Target} target
   */
  typing(target) {
    const now = Date.now();
    const isTold = this.#typed.target === target && now - this.#typed.at < TYPING_MS;
    if (isTold || this.#state !== 'online') return;
    this.#typed = { target, at: now };
    this.#mark('typing', { target });
  }

  /**
   * Up to where the client has a conversation without a hole.
   * @param {Target} conversation
   * @returns {Position | undefined}
   */
  position(conversation) {
    return this.#positions.get(conversation);
  }

  /** All positions, for the settings of a later client. */
  positions() {
    return Object.fromEntries([...this.#positions].map(([conversation, position]) => [conversation, { ...position }]));
  }

  /**
   * Says that everything up to an entry is there, for it was read from the history up to its end.
   * @param {Target} conversation
   * @param {Position} position
   */
  advance(conversation, { epoch, offset }) {
    if (!offset) return;
    if (this.#has(conversation, epoch, offset)) return;
    this.#positions.delete(conversation); // the latest stands last
    this.#positions.set(conversation, { epoch, offset });
    const own = this.#own.get(conversation);
    own?.forEach((place) => { if (place.epoch !== epoch || place.offset <= offset) own.delete(place); });
  }

  /**
   * Forgets how far a conversation was known: chatd tells of it as of a new one.
   * @param {Target} conversation
   */
  forget(conversation) {
    this.#positions.delete(conversation);
    this.#own.delete(conversation);
  }

  // ---- the connection

  #hurry = () => {
    if (this.#state === 'waiting') this.#connect();
  };

  #connect() {
    clearTimeout(this.#timers.retry);
    this.#change('connecting');
    let socket;
    try {
      socket = new this.#settings.WebSocket(this.#settings.url);
    } catch (error) {
      return this.#stopped(0, error.message);
    }
    this.#socket = socket;
    // One that was given up may still speak; only the current one is heard.
    const heard = (kind, act) => socket.addEventListener(kind, (event) => socket === this.#socket && act(event));
    heard('open', () => this.#login(socket));
    heard('message', ({ data }) => this.#hear(data));
    heard('close', ({ code, reason }) => this.#lost(code, reason));
    // Of a failed attempt some clients tell the error only.
    heard('error', () => socket.readyState === 3 && this.#lost(1006, ''));
  }

  async #login(socket) {
    let answer;
    try {
      const token = this.#held = await this.#token();
      if (socket !== this.#socket) return;
      const { userId, appId } = this.#settings;
      const recover = [...this.#positions].slice(-RECOVER_MAX).reverse()
        .map(([target, { epoch, offset }]) => ({ target, epoch, offset }));
      answer = await this.#ask(newId(), 'login', { userId, appId, recover, ...(token && { token }) }, PATIENCE_MS);
    } catch (error) {
      if (socket !== this.#socket) return;
      const isStop = error instanceof ChatError && FINAL.has(error.code);
      const [code, reason] = [error.code ?? 0, error.message];
      this.#drop();
      socket.close();
      return isStop ? this.#stopped(code, reason, error.limit) : this.#wait(code, reason);
    }
    if (socket === this.#socket) this.#entered(answer ?? {});
  }

  async #token() {
    const { token } = this.#settings;
    return typeof token === 'function' ? token() : token;
  }

  #entered({ recovered = [], also = [], more = false }) {
    this.#failures = 0;
    this.#isAnswered = true;
    this.#timers.heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#change('online');
    for (const { target, epoch, offset, complete } of recovered) {
      if (complete === false) this.#jump(target, { epoch, offset });
    }
    for (const { target, epoch, lastOffset: offset } of also) {
      if (this.#isComing) this.advance(target, { epoch, offset });
      else if (!this.#has(target, epoch, offset)) this.#jump(target, { epoch, offset });
    }
    this.#isComing = false;
    for (const msgId of this.#outbox.keys()) this.#transmit(msgId);
    if (this.#watched !== undefined) this.#look();
    this.#tell('login', { recovered, also, more });
  }

  #jump(conversation, position) {
    const after = this.#positions.get(conversation);
    this.forget(conversation);
    this.advance(conversation, position);
    this.#tell('gap', { conversation, ...position, after });
  }

  #has(conversation, epoch, offset) {
    const known = this.#positions.get(conversation);
    return known?.epoch === epoch && known.offset >= offset;
  }

  #beat() {
    // A dead network closes nothing by itself for minutes; a missing answer tells earlier.
    if (!this.#isAnswered) return this.#giveUp();
    this.#isAnswered = false;
    this.#write(newId(), 'heartbeat', {});
  }

  #giveUp() {
    const socket = this.#socket;
    this.#lost(0, '');
    socket.close();
  }

  #lost(code, reason) {
    const isOver = code === TOKEN_ENDED && this.#state === 'online' && typeof this.#settings.token === 'function';
    this.#drop();
    if (isFinal(code) && !isOver) this.#stopped(code, reason);
    else this.#wait(code, reason);
  }

  /** Leaves the socket; what was asked of it is not answered any more. */
  #drop() {
    this.#socket = null;
    clearInterval(this.#timers.heartbeat);
    clearTimeout(this.#timers.again);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of asked) reject(new ChatError(0, 'the connection ended'));
  }

  #stopped(code, reason, limit) {
    globalThis.removeEventListener?.('online', this.#hurry);
    this.#change('stopped', { code, reason, limit });
    const outbox = [...this.#outbox.values()];
    this.#outbox.clear();
    for (const { reject } of outbox) reject(new ChatError(0, 'the session ended'));
  }

  #wait(code, reason) {
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** ++this.#failures);
    // Spread, so that the clients of a node that stopped do not all come back together.
    const delayMs = this.#drainMs ?? Math.max(RETRY_MIN_MS, ceiling * (0.5 + Math.random() / 2));
    this.#drainMs = null;
    this.#timers.retry = setTimeout(() => this.#connect(), delayMs);
    this.#change('waiting', { code, reason, delayMs });
  }

  // ---- what is said

  #write(seq, cmd, data) {
    this.#socket.send(JSON.stringify({ seq, cmd, data }));
  }

  #ask(seq, cmd, data, patienceMs) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#asked.delete(seq);
        reject(new ChatError(0, 'no answer came in time'));
      }, patienceMs);
      const done = (act) => (value) => { clearTimeout(late); act(value); };
      this.#asked.set(seq, { resolve: done(resolve), reject: done(reject) });
      this.#write(seq, cmd, data);
    });
  }

  /** Marks may be lost; what they are refused with is nobody's concern. */
  #mark(cmd, data) {
    return this.#ask(newId(), cmd, data, PATIENCE_MS).catch(() => null);
  }

  async #look() {
    const target = this.#watched;
    const known = await this.#mark('watch', target === undefined ? {} : { target, readers: READERS_MAX });
    if (known) this.#marked('read', known);
  }

  async #transmit(msgId) {
    const waiting = this.#outbox.get(msgId);
    if (!waiting || waiting.isUnderWay || this.#state !== 'online') return;
    waiting.isUnderWay = true;
    try {
      const receipt = await this.#ask(msgId, 'msg', waiting.data, PATIENCE_MS);
      this.#settle(msgId, receipt ?? { msgId });
    } catch (error) {
      waiting.isUnderWay = false;
      if (error.code === 0 && this.#state !== 'online') return;
      if (error.code === 0 || PASSING.has(error.code)) {
        this.#timers.again = setTimeout(() => this.#again(), RETRY_MIN_MS * (1 + Math.random()));
      } else if (this.#outbox.delete(msgId)) {
        waiting.reject(error);
      }
    }
  }

  #again() {
    for (const msgId of this.#outbox.keys()) this.#transmit(msgId);
  }

  /** chatd has a message of this client: by the answer, or by its being pushed after a reconnect. */
  #settle(msgId, receipt) {
    const waiting = this.#outbox.get(msgId);
    if (!waiting) return false;
    this.#outbox.delete(msgId);
    this.#note(waiting.data.target, receipt);
    waiting.resolve(receipt);
    return true;
  }

  /** The answer may have overtaken what others said before it, so it moves the position only where it follows on that. */
  #note(conversation, place) {
    if (!place.offset || this.#has(conversation, place.epoch, place.offset)) return;
    const known = this.#positions.get(conversation);
    const own = this.#own.get(conversation) ?? new Set();
    own.add(place);
    if (known) this.#own.set(conversation, own);
    this.#follow(conversation, own, known ?? { epoch: place.epoch, offset: 0 });
  }

  #follow(conversation, own, { epoch, offset }) {
    const places = [...own].filter((place) => place.epoch === epoch).sort((a, b) => a.offset - b.offset);
    for (const place of places) if (place.offset === offset + 1) offset = place.offset;
    this.advance(conversation, { epoch, offset });
  }

  #hear(text) {
    const { seq, cmd, response: { code, codeMsg, data } } = JSON.parse(text);
    // A push of a message bears its msgId, as the answer to it does, and unlike that says who sent it.
    const isPush = codeMsg === 'Ok';
    const asked = isPush ? undefined : this.#asked.get(seq);
    if (asked) {
      this.#asked.delete(seq);
      if (code === 200) asked.resolve(data);
      else asked.reject(new ChatError(code, codeMsg, data));
    } else if (cmd === 'heartbeat') {
      this.#isAnswered = true;
    } else if (isPush) {
      this.#pushed(seq, cmd, data ?? {});
    }
  }

  #pushed(seq, cmd, data) {
    if (cmd === 'msg') return this.#message({ msgId: seq, ...data });
    if (cmd === 'typing' || cmd === 'read') return this.#marked(cmd, data);
    if (cmd === 'system/drain') this.#drainMs = data.reconnectInMs ?? null;
    if (cmd === 'session/expiring') this.#refresh(data);
    this.#tell('push', { cmd, data });
  }

  #message(entry) {
    const { userId } = this.#settings;
    const isOwn = entry.from === userId;
    // One-to-one is named after the recipient; for that one the conversation is with the sender.
    const conversation = entry.target.startsWith('user:') && !isOwn ? `user:${entry.from}` : entry.target;
    const { epoch, offset } = entry;
    if (offset && this.#has(conversation, epoch, offset)) return;
    const settled = isOwn && this.#settle(entry.msgId, { msgId: entry.msgId, epoch, offset, time: entry.time });
    const own = this.#own.get(conversation) ?? new Set();
    const isKnown = [...own].some((place) => place.epoch === epoch && place.offset === offset);
    this.advance(conversation, entry);
    this.#follow(conversation, own, { epoch, offset });
    if (!settled && !isKnown) this.#tell('message', { ...entry, conversation });
  }

  #marked(event, { target, ...data }) {
    const { userId } = this.#settings;
    const others = (data.users ?? data.readers.map((reader) => reader.userId)).filter((name) => name !== userId);
    // One-to-one names the one it is told to; for that one the conversation is with the other.
    const conversation = target.startsWith('user:') ? `user:${others[0]}` : target;
    if (others.length) this.#tell(event, { ...data, ...(data.users && { users: others }), conversation });
  }

  async #refresh(push) {
    try {
      if (typeof this.#settings.token !== 'function') throw new ChatError(0, 'no other token is known');
      const token = await this.#token();
      await this.request('session/refresh', { token });
      this.#held = token;
    } catch {
      // chatd closes the connection when the old one ends.
      this.#tell('expiring', push);
    }
  }

  #change(state, why = {}) {
    this.#state = state;
    this.#tell('state', { state, ...why });
  }

  #tell(event, what) {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        listener(what);
      } catch (error) {
        // A listener that fails keeps neither the others nor the connection from going on.
        queueMicrotask(() => { throw error; });
      }
    }
  }
}
