// What conversations are called, and which names can be.

import { bytes } from './elements.js';
import { WORLD, groupOf, nameNode, personOf } from './names.js';
import { t } from './words.js';

const groupNames = new Map(); // id → what the group is called

export function nameGroup(id, name) {
  if (name) groupNames.set(id, name);
}

export function titleOf(target) {
  if (target === WORLD) return t.world;
  const group = groupOf(target);
  return group === undefined ? personOf(target) : groupNames.get(group) ?? t.group(group);
}

// A person may be called as the world is; only a room looks like one.
export function titleNode(target) {
  return nameNode(titleOf(target), target.startsWith('user:') ? 'name' : 'name room');
}

export function nameError(name) {
  if (name === '') return t.nameMissing;
  if (bytes(name) > 64) return t.nameTooLong;
  return /\p{Cc}/u.test(name) ? t.nameControls : '';
}

export function appError(text) {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff ? '' : t.appWrong;
}
