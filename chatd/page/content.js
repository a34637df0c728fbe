// What a message carries, as nodes: text, a picture, or a link to be opened on purpose.

import { element } from './elements.js';
import { isolated, visible } from './names.js';
import { KINDS } from './words.js';

export function content({ type = 'text', msg, url, size, greeting, from }) {
  if (type === 'recalled') return element('span', 'gone', '消息已撤回');
  if (type === 'redPacket') return document.createTextNode(`【红包】${greeting ?? ''}`);
  const address = url === undefined ? null : webUrl(url);
  if (type === 'text' && msg !== undefined) return document.createTextNode(msg);
  // What the server itself tells of people names them.
  if (!(type in KINDS) || !address) return document.createTextNode(visible(msg ?? `【${KINDS[type] ?? type}】`));
  if (type === 'img' && loadsByItself(address)) return picture(address, size, from);
  return link(address, `打开${KINDS[type]}`);
}

function webUrl(text) {
  const address = URL.canParse(text, location.href) ? new URL(text, location.href) : null;
  return ['http:', 'https:'].includes(address?.protocol) ? address : null;
}

// A picture is fetched unasked. So none may name an operation of this server or a machine of the reader's network.
function loadsByItself(address) {
  if (address.username || address.password) return false;
  if (address.origin === location.origin) return address.pathname.startsWith('/file/');
  return address.protocol === 'https:' && address.hostname !== location.hostname;
}

function link(address, text) {
  const node = element('a', '', text);
  Object.assign(node, { href: address.href, target: '_blank', rel: 'noopener noreferrer', title: address.href });
  return node;
}

function picture(address, size, from) {
  const image = element('img');
  Object.assign(image, { alt: `${isolated(from)} 发来的图片`, referrerPolicy: 'no-referrer' });
  // Known before it loads, so that the log does not jump.
  if (size?.width > 0 && size?.height > 0) Object.assign(image, { width: size.width, height: size.height });
  image.addEventListener('error', () => image.replaceWith(link(address, '图片无法显示，点此打开')), { once: true });
  image.src = address.href;
  return image;
}
