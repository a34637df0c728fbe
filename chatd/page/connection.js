// The page's client of chatd: who it is, what it says, and its errors in the page's words.

import { ChatClient, ChatError } from './client.js';
import { closing, exactly, reason, t } from './words.js';

const query = new URLSearchParams(location.search);
export const appId = query.get('appId') ?? query.get('appID') ?? '';
export const me = query.get('userId') ?? query.get('userID') ?? '';
// Behind the #, so that no server and no log gets to see it: a token, and where others are to be had.
const fragment = new URLSearchParams(location.hash.slice(1));
const source = fragment.get('tokenFrom');
let given = fragment.get('token');
const token = source === null ? given : () => {
  const first = given;
  given = null;
  return first ?? fetchToken();
};

// From this server only, as who is logged in there.
async function fetchToken() {
  const address = new URL(source, location.href);
  if (address.origin !== location.origin) throw new ChatError(0, 'tokenFrom leads elsewhere');
  const answer = await fetch(address, { cache: 'no-store' });
  if (!answer.ok) throw new ChatError(0, `no token: HTTP status ${answer.status}`);
  return (await answer.text()).trim();
}

const url = new URL('../acc', location.href);
url.protocol = url.protocol.replace('http', 'ws');
url.search = url.hash = '';

export const chat = new ChatClient({ url: url.href, appId: Number(appId), userId: me, ...(token && { token }) });

export const isOnline = () => chat.state === 'online';

// Asks chatd for something; the promise fails with { code, words }, code 0 when the connection ended and none when no
// answer came in time.
export async function request(cmd, data, options) {
  try {
    return await chat.request(cmd, data, options);
  } catch (error) {
    throw explained(error);
  }
}

export function explained(error, { isExact = false } = {}) {
  if (!(error instanceof ChatError)) throw error;
  if (error.code === 0 && isOnline()) return { words: t.noAnswer };
  return { code: error.code, words: (isExact ? exactly : reason)(error.code, error.message, error.limit) };
}

// How the connection is, in words.
export function stateWords({ state, code, reason: why, limit, delayMs }) {
  if (state === 'waiting') return t.waiting(Math.ceil(delayMs / 1000));
  if (state !== 'stopped') return t[state] ?? '';
  if (code >= 4500) return t.stopped(closing(t.closings[code] ?? String(code), why));
  return t.stopped(t.refused(code === 1000 ? t.needsToken : exactly(code, why, limit)));
}
