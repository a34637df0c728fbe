// A picture for a name: its first letter on a colour of its own.

import { element } from './elements.js';

const LETTER = /[\p{L}\p{N}\p{Extended_Pictographic}]/u;

function hueOf(name) {
  let sum = 0;
  for (const sign of name) sum = (sum * 31 + sign.codePointAt(0)) % 3600;
  return sum / 10;
}

// Says nothing by itself: the name stands beside it.
export function avatar(name, className = '') {
  const node = element('span', `avatar ${className}`);
  node.ariaHidden = 'true';
  // Drawn and not written, so that it is no part of what is read, found or copied.
  node.dataset.letter = (LETTER.exec(name)?.[0] ?? '?').toUpperCase();
  node.style.setProperty('--hue', hueOf(name));
  return node;
}
