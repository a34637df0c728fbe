// Files that messages carry: pictures, sounds and films of this server, whose addresses are this reader's own, and end.

import { chat, explained } from './connection.js';
import * as dialogs from './dialogs.js';
import { $, button, element, link } from './elements.js';
import { isolatedName } from './names.js';
import { t } from './words.js';

// The longest and the shortest side of a picture in the talk; a thumbnail is as long.
const LONGEST_PX = 320;
const SHORTEST_PX = 48;
const ADDRESSES_MAX = 500;
// What still fails with a fresh address gets another one so late.
const RENEWAL_MS = 60_000;
// There is none, or not for this reader.
const GONE = new Set([1003, 1005, 1009]);

const addresses = new Map(); // conversation and file → a promise of its address
const files = new WeakMap(); // box → its file
let near; // watches for those that somebody comes near

export function start() {
  chat.on('login', () => document.querySelectorAll('.file:has(> .failure)').forEach((box) => near.observe(box)));
}

// The id in what a message says of a file of this server.
export const idIn = (url) => /^\/file\/(\w+)$/.exec(url)?.[1];

// The place of a file, as large as it will be; filled when somebody comes near it.
export function box(file) {
  const node = element('div', `file ${file.type}`);
  shape(node, file.size);
  files.set(node, file);
  near ??= new IntersectionObserver(seen, { root: $('log'), rootMargin: '100%' });
  near.observe(node);
  return node;
}

// Keeps the place of a picture, whatever size somebody says that it has.
export function shape(node, { width, height } = {}) {
  if (!(width > 0 && height > 0)) return;
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
  const [wide, high] = [width, height].map((side) => Math.max(SHORTEST_PX, Math.round(side * scale)));
  node.style.width = `${wide}px`;
  node.style.aspectRatio = `${wide} / ${high}`;
}

function seen(changes) {
  for (const { isIntersecting, target } of changes) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    fill(target, files.get(target));
  }
}

function addressOf({ target, id }, isFresh) {
  const key = `${target} ${id}`;
  if (isFresh) addresses.delete(key);
  if (!addresses.has(key)) {
    const asked = chat.fileUrl(target, id);
    addresses.set(key, asked);
    asked.catch(() => { if (addresses.get(key) === asked) addresses.delete(key); });
    if (addresses.size > ADDRESSES_MAX) addresses.delete(addresses.keys().next().value);
  }
  return addresses.get(key);
}

async function fill(node, file) {
  const { type, from } = file;
  const shown = element(type);
  const words = t.fileFrom(t.kinds[type], isolatedName(from));
  if (type === 'img') {
    shown.alt = words;
    const open = button('picture', undefined, () => { enlarge(file, words); });
    open.append(shown);
    node.replaceChildren(open);
  } else {
    Object.assign(shown, { controls: true, preload: 'metadata', ariaLabel: words });
    node.replaceChildren(shown);
  }
  await lead(shown, file, ({ url, thumbnail }) => (thumbnail && type === 'img' ? `${url}&part=thumbnail` : url), node);
}

// Leads an element to its file, and again when the address has ended meanwhile; says in `node` what cannot be had.
async function lead(shown, file, choose, node) {
  let address;
  let renewed = -Infinity;
  const go = async (isFresh) => {
    try {
      address = await addressOf(file, isFresh);
      shown.src = choose(address);
      return true;
    } catch (error) {
      refused(node, file, explained(error));
      return false;
    }
  };
  shown.addEventListener('error', async () => {
    if (performance.now() - renewed < RENEWAL_MS) {
      node.replaceChildren(link(address.url, t.cannotShow(t.kinds[file.type])));
      return;
    }
    renewed = performance.now();
    const { currentTime, paused } = shown;
    if (!await go(true) || !currentTime && paused !== false) return;
    shown.currentTime = currentTime;
    if (!paused) shown.play().catch(() => {});
  });
  await go(false);
}

function refused(node, file, { code, words }) {
  const kind = t.kinds[file.type];
  if (GONE.has(code)) return node.replaceChildren(element('span', 'gone', t.fileGone(kind)));
  const failure = element('p', 'failure', t.fileFailed(kind, words));
  failure.append(button('quiet', t.retry, () => fill(node, file)));
  return node.replaceChildren(failure);
}

function enlarge(file, words) {
  const image = element('img');
  image.alt = words;
  const content = dialogs.show(words, image);
  content.parentElement.classList.add('viewer');
  const { width, height } = file.size ?? {};
  if (width > 0 && height > 0) {
    image.style.width = `min(96vw - 1.2rem, ${width}px, ${(70 * width) / height}vh)`;
    image.style.aspectRatio = `${width} / ${height}`;
  }
  lead(image, file, ({ url }) => url, content);
}
