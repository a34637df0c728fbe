// What a message carries, as nodes: text, a picture, or a link to be opened on purpose.

import { element } from './elements.js';
import { isolatedName, visible } from './names.js';
import { EVENTS, KINDS } from './words.js';

export function content({ type = 'text', msg, url, size, greeting, from, member }) {
  if (type === 'recalled') return element('span', 'gone', '消息已撤回');
  if (type === 'redPacket') return document.createTextNode(`【红包】${greeting ?? ''}`);
  const address = url === undefined ? null : webUrl(url);
  if (type === 'text' && msg !== undefined) return document.createTextNode(msg);
  // What the server itself tells of people names them.
  if (Object.hasOwn(EVENTS, type) && msg === undefined) return document.createTextNode(EVENTS[type](isolatedName(member ?? '')));
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (!kind || !address || !isHarmless(address)) return document.createTextNode(visible(msg ?? `【${kind ?? type}】`));
  if (type === 'img' && loadsByItself(address)) return picture(address, size, from);
  return link(address, `打开${kind}`);
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

function link(address, text) {
  const node = element('a', '', text);
  Object.assign(node, { href: address.href, target: '_blank', rel: 'noopener noreferrer', title: address.href });
  return node;
}

function picture(address, size, from) {
  const image = element('img');
  Object.assign(image, { alt: `${isolatedName(from)} 发来的图片`, referrerPolicy: 'no-referrer' });
  // Known before it loads, so that the log does not jump.
  if (size?.width > 0 && size?.height > 0) Object.assign(image, { width: size.width, height: size.height });
  image.addEventListener('error', () => image.replaceWith(link(address, '图片无法显示，点此打开')), { once: true });
  image.src = address.href;
  return image;
}
