// Names and texts of others, shown so that none can pass for another or reach into what stands beside it.

import { bytes, element } from './elements.js';

export const WORLD = '';

// Joiners, selectors and tags inside an emoji that is drawn as one are part of what is seen; elsewhere they hide. And
// controls, formats, fillers, private and unassigned signs, and every space that is not one space between two words.
const HIDING = new RegExp(
  String.raw`(\p{RGI_Emoji})|[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\u2800\u034F]`
  + String.raw`|(?! )\p{Zs}|^ | (?= )| $`, 'gv');
const GRAPHEMES = new Intl.Segmenter();

const writtenOut = (sign) => `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;

// A sign that Unicode takes for the same as another one looks like it: é as e and an accent, Å as the unit of length.
function composed(grapheme) {
  if (grapheme === grapheme.normalize()) return grapheme;
  const [first, ...rest] = grapheme;
  return rest.length ? first + rest.map(writtenOut).join('') : writtenOut(first);
}

// The text with every sign that cannot be seen, or not be told from another, written out, as ⟨U+200B⟩.
export function visible(text) {
  const seen = String(text).replace(HIDING, (sign, emoji) => emoji ?? writtenOut(sign));
  if (seen === seen.normalize()) return seen;
  return [...GRAPHEMES.segment(seen)].map(({ segment }) => composed(segment)).join('');
}

// The same for places that hold no elements: a title, an attribute.
export const isolated = (text) => `\u2068${visible(text)}\u2069`;

export function nameNode(name, className = '') {
  const node = element('bdi', className, visible(name));
  node.title = visible(name);
  return node;
}

const afterColon = (target) => target.slice(target.indexOf(':') + 1);

// A person's name as the server knows it; none for a room.
export const personOf = (target) => (target.startsWith('user:') ? afterColon(target) : undefined);

export function titleOf(target) {
  if (target === WORLD) return '世界';
  return target.startsWith('group:') ? `群 ${afterColon(target)}` : afterColon(target);
}

// A person may be called "世界"; only a room looks like one.
export function titleNode(target) {
  return nameNode(titleOf(target), target.startsWith('user:') ? 'name' : 'name room');
}

export function nameError(name) {
  if (name === '') return '请输入昵称';
  if (bytes(name) > 64) return '昵称太长（最多 64 字节）';
  return /\p{Cc}/u.test(name) ? '昵称不能含控制字符' : '';
}

export function appError(text) {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff ? '' : '房间号应为 0 到 4294967295 的整数';
}
