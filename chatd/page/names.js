// Names and texts of others, shown so that what hides in them is seen and nothing reaches into what stands beside it.
//
// Written out, as ⟨U+200B⟩, are signs that cannot be seen or that turn the others around; those that Unicode takes for
// the same as others; and in a name letters of another alphabet than most of its letters, such as one Cyrillic о in a
// Latin name. Not marked is what is no mixture: a whole name in the letters of another alphabet (Cyrillic сосо), letters
// of one alphabet that look alike (l and I, rn and m), digits that look like letters, and letters made for mathematics or
// phonetics. So two people may still look the same, and a name is no proof of who somebody is.

import { element } from './elements.js';

export const WORLD = '';

// Controls, formats, fillers, private and unassigned signs, and every space that is not one space between two words.
const HIDING = String.raw`[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\u2800\u034F]`
  + String.raw`|(?! )\p{Zs}|^ | (?= )| $`;
const EMOJI_OR_HIDING = emojiOrHiding();

// Alphabets that share shapes: the letters of each, and those of all others.
const ALPHABETS = ['Latin', 'Cyrillic', 'Greek', 'Armenian', 'Cherokee', 'Coptic', 'Lisu'].map((script, _, scripts) => ({
  letters: new RegExp(`\\p{Script=${script}}`, 'gu'),
  // With the bracket, so that no name is written as if a sign of it had been written out.
  foreign: new RegExp(`[⟨${scripts.filter((one) => one !== script).map((one) => `\\p{Script=${one}}`).join('')}]`, 'gu'),
}));

// Joiners, selectors and tags inside an emoji that is drawn as one are part of what is seen; elsewhere they hide. Where
// the browser does not know which are drawn as one (Firefox before 116), all of them count as hiding.
function emojiOrHiding() {
  try {
    return new RegExp(String.raw`(\p{RGI_Emoji})|${HIDING}`, 'gv');
  } catch {
    return new RegExp(`((?!))|${HIDING}`, 'gu');
  }
}

const writtenOut = (sign) => `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;

// Parts none of which changes the one before it.
function parts(text) {
  const found = [''];
  for (const sign of text) {
    const last = found.at(-1);
    const isOwn = !/\p{M}/u.test(sign) && (last + sign).normalize() === last.normalize() + sign.normalize();
    if (isOwn) found.push(sign);
    else found[found.length - 1] += sign;
  }
  return found;
}

// A sign that Unicode takes for the same as another one looks like it: é as e and an accent, Å as the unit of length.
function composed(part) {
  if (part === part.normalize()) return part;
  const [first, ...rest] = part;
  return rest.length ? first + rest.map(writtenOut).join('') : writtenOut(first);
}

// The text with every sign that cannot be seen, or not be told from another, written out.
export function visible(text) {
  const seen = String(text).replace(EMOJI_OR_HIDING, (sign, emoji) => emoji ?? writtenOut(sign));
  return seen === seen.normalize() ? seen : parts(seen).map(composed).join('');
}

// The same of a name, whose letters are those of one alphabet: the one with most of them, or the first of these.
function visibleName(name) {
  const text = String(name);
  const counts = ALPHABETS.map(({ letters }) => text.match(letters)?.length ?? 0);
  const { foreign } = ALPHABETS[counts.indexOf(Math.max(...counts))];
  return visible(text.replace(foreign, writtenOut));
}

// The same for places that hold no elements: a title, an attribute.
export const isolated = (text) => `\u2068${visible(text)}\u2069`;
export const isolatedName = (name) => `\u2068${visibleName(name)}\u2069`;

export function nameNode(name, className = '') {
  const shown = visibleName(name);
  const node = element('bdi', className, shown);
  node.title = shown;
  return node;
}

const afterColon = (target) => target.slice(target.indexOf(':') + 1);

// A person's name as the server knows it; none for a room.
export const personOf = (target) => (target.startsWith('user:') ? afterColon(target) : undefined);

// The name of a room, or none.
export const groupOf = (target) => (target.startsWith('group:') ? afterColon(target) : undefined);
