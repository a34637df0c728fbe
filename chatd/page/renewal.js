// Another token for a session whose own ends, or was refused: from who made the page's address, or typed in.

import { chat, explained } from './connection.js';
import { attempt } from './dialogs.js';
import { $ } from './elements.js';
import { t, timeOf } from './words.js';

// Closed, or refused, for what another token mends: none was given, this one is not taken, or it has ended.
const MENDED = new Set([1000, 1003, 4501]);

export function start() {
  $('renewal').addEventListener('submit', (event) => {
    event.preventDefault();
    attempt($('renewal-error'), () => use($('token').value.trim()));
  });
  // Whoever has the page in a frame of their own program, or at hand, may put it where the first one stood.
  window.addEventListener('hashchange', () => {
    const token = new URLSearchParams(location.hash.slice(1)).get('token');
    if (token) attempt($('renewal-error'), () => use(token));
  });
  chat.on('expiring', ({ expires }) => ask(t.expiring(timeOf(new Date(expires)))));
  chat.on('state', ({ state, code }) => {
    if (state === 'stopped' && MENDED.has(code)) ask(t.tokenNeeded);
    else if (state === 'online') $('renewal').hidden = true;
  });
}

function ask(words) {
  $('renewal-words').textContent = words;
  $('renewal-error').textContent = '';
  $('renewal').hidden = false;
}

async function use(token) {
  if (!token) return;
  try {
    await chat.renew(token);
  } catch (error) {
    throw explained(error, { isExact: true });
  }
  $('token').value = '';
  $('renewal').hidden = true;
  if (chat.state === 'stopped') chat.start();
}
