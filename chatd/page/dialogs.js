// Windows over the chat: one is open at a time, and Escape closes it.

import { button, element } from './elements.js';
import { t } from './words.js';

let open;

// Opens a window with a title and what stands in it.
export function show(title, ...nodes) {
  close();
  const dialog = element('dialog', 'window');
  const heading = element('h2');
  heading.append(title);
  heading.id = 'window-title';
  dialog.setAttribute('aria-labelledby', heading.id);
  const away = button('quiet away-with', '×', close);
  away.ariaLabel = t.close;
  const head = element('header');
  head.append(heading, away);
  const content = element('div', 'content');
  content.append(...nodes);
  dialog.append(head, content);
  dialog.addEventListener('close', () => { remove(dialog); if (open === dialog) open = undefined; });
  // A click beside it.
  dialog.addEventListener('click', (event) => { if (event.target === dialog) close(); });
  document.body.append(dialog);
  open = dialog;
  dialog.showModal();
  // Who opens a form is going to write.
  content.querySelector('form input')?.focus();
  return content;
}

export function close() {
  if (!open) return;
  open.close();
  remove(open);
  open = undefined;
}

// What is being told outlives the window that it is told in.
function remove(dialog) {
  for (const note of dialog.querySelectorAll(':scope > .toast')) {
    document.body.append(note);
    note.showPopover?.();
  }
  dialog.remove();
}

// Asks whether to go on; `act` is done, and the window closed, when the answer is yes.
export function ask(question, words, act) {
  const problem = element('p', 'error');
  problem.role = 'alert';
  const row = element('p', 'actions');
  const yes = button('danger', words, () => attempt(problem, async () => { await act(); close(); }));
  row.append(button('quiet', t.cancel, close), yes);
  show(question, problem, row);
}

// Does something that may be refused, and says why it was.
export async function attempt(problem, act) {
  problem.textContent = '';
  try {
    return await act();
  } catch (error) {
    if (error.words === undefined) throw error;
    problem.textContent = error.words;
    return undefined;
  }
}

// A form in a window: `act` gets it when it is sent, and may be refused.
export function form(words, nodes, act) {
  const node = element('form', 'fields');
  const problem = element('p', 'error');
  problem.role = 'alert';
  const submit = element('button', '', words);
  node.append(...nodes, problem, submit);
  node.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    await attempt(problem, act);
    submit.disabled = false;
  });
  return node;
}

// A few words at the edge of the screen, for a while.
export function tell(words) {
  const note = element('p', 'toast', words);
  note.role = 'status';
  // In front of an open window, and part of it: what lies behind one is not read aloud.
  note.popover = 'manual';
  (open ?? document.body).append(note);
  note.showPopover?.();
  setTimeout(() => note.remove(), 4_000);
}
