// What a message carries, as nodes: text, a picture, or a link to be opened on purpose.

import { element, link } from './elements.js';
import * as files from './files.js';
import { isolatedName, visible } from './names.js';
import * as redPackets from './red-packets.js';
import { t } from './words.js';

// Up to what ends a sentence, or a bracket around it.
const ADDRESS = /https?:\/\/[^\s<>"'（）【】「」，。；！？、]*[^\s<>"'（）【】「」，。；！？、.,;:!?)\]]/gu;

export function content({ type = 'text', msg, url, size, greeting, from, member, packetId, node }, target) {
  if (node) return node;
  if (type === 'recalled') return element('span', 'gone', t.recalled);
  if (type === 'redPacket' && packetId) return redPackets.card({ packetId, greeting, from });
  if (type === 'text' && msg !== undefined) return linked(msg);
  // What the server itself tells of people names them.
  if (isEvent(type)) return document.createTextNode(t.events[type](isolatedName(member ?? '')));
  const kind = kindOf(type);
  const file = kind && files.idIn(url);
  if (file) return files.box({ id: file, type, size, from, target });
  const address = url === undefined ? null : webUrl(url);
  if (!kind || !address || !isHarmless(address)) {
    return document.createTextNode(visible(msg ?? t.kind(kind ?? type)));
  }
  if (type === 'img' && loadsByItself(address)) return picture(address, size, from);
  return link(address.href, t.open(kind));
}

export const isEvent = (type) => Object.hasOwn(t.events, type);
const kindOf = (type) => (Object.hasOwn(t.kinds, type) ? t.kinds[type] : undefined);

// A message in a few words, for a list.
export function brief({ type = 'text', msg, greeting, member }) {
  if (type === 'recalled') return t.recalled;
  if (type === 'redPacket') return `${t.kind(t.redPacket)}${visible(greeting ?? '')}`;
  if (isEvent(type)) return t.events[type](isolatedName(member ?? ''));
  return type === 'text' ? visible(msg ?? '') : t.kind(kindOf(type) ?? type);
}

// A text whose addresses can be opened. Such a link shows all of its address, so it hides nothing.
function linked(text) {
  const nodes = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = webUrl(found);
    if (!address || !isHarmless(address)) continue;
    nodes.push(text.slice(done, index), link(address.href, found));
    done = index + found.length;
  }
  const whole = document.createDocumentFragment();
  whole.append(...nodes, text.slice(done));
  return whole;
}

function webUrl(text) {
  const address = URL.canParse(text, location.href) ? new URL(text, location.href) : null;
  return ['http:', 'https:'].includes(address?.protocol) ? address : null;
}

// An operation of this server is done by opening its address, so behind the words of a link may only be a file of it.
function isHarmless(address) {
  if (address.username || address.password) return false;
  if (address.origin === location.origin) return address.pathname.startsWith('/file/');
  return address.hostname !== location.hostname;
}

// A picture is fetched unasked. So none may name a machine of the reader's network, as far as its name tells.
function loadsByItself(address) {
  return address.origin === location.origin || (address.protocol === 'https:' && isPublicName(address.hostname));
}

function isPublicName(hostname) {
  const host = hostname.replace(/\.$/, '');
  // Numeric addresses are written by the browser as four numbers, or in brackets without a dot.
  return host.includes('.') && !/\.(\d+|local|localhost|internal|lan|home\.arpa)$/.test(host);
}

function picture(address, size, from) {
  const image = element('img');
  Object.assign(image, { alt: t.fileFrom(t.kinds.img, isolatedName(from)), referrerPolicy: 'no-referrer' });
  // Known before it loads, so that the log does not jump.
  if (size?.width > 0 && size?.height > 0) Object.assign(image, { width: size.width, height: size.height });
  image.addEventListener('error', () => image.replaceWith(link(address.href, t.cannotShow(t.kinds.img))), { once: true });
  image.src = address.href;
  return image;
}
