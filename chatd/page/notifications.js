// Says outside the window that something came, where the user wants that.

import { brief } from './content.js';
import { WORLD, isolatedName } from './names.js';
import { titleOf } from './titles.js';

let talkWith;

export function start(open) {
  talkWith = open;
}

export const isPossible = () => 'Notification' in window;
export const isOn = () => isPossible() && Notification.permission === 'granted';
export const ask = async () => isPossible() && (await Notification.requestPermission()) === 'granted';

// One for each conversation: the next takes the place of the one before. The world is too loud for that.
export function tell(conversation, entry) {
  if (!document.hidden || !isOn() || conversation.target === WORLD) return;
  const body = `${isolatedName(entry.from)}: ${brief(entry)}`.slice(0, 200);
  const note = new Notification(titleOf(conversation.target), { body, tag: conversation.target });
  note.addEventListener('click', () => {
    window.focus();
    talkWith(conversation.target);
    note.close();
  });
}
