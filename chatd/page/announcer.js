// Says to who cannot see the log what comes into it: one message as it is, of many in a short time how many they were.

import { brief } from './content.js';
import { $ } from './elements.js';
import { isolatedName } from './names.js';
import { t } from './words.js';

const PAUSE_MS = 4_000;

let last;
let count = 0;
let timer;

// At once after a quiet time, then together, once in so long.
export function hear(entry) {
  last = entry;
  count += 1;
  if (timer === undefined) say();
}

function say() {
  timer = undefined;
  if (count === 0) return;
  $('heard').textContent = count === 1 ? `${isolatedName(last.from)}: ${brief(last)}` : t.came(count);
  count = 0;
  timer = setTimeout(say, PAUSE_MS);
}
