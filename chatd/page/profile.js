// What belongs to the user: the wallet, the language, notifications.

import { request } from './connection.js';
import * as dialogs from './dialogs.js';
import { $, button, element } from './elements.js';
import * as notifications from './notifications.js';
import { amount, fullTime, switchLanguage, t } from './words.js';

export function start() {
  $('profile').addEventListener('click', show);
}

async function show() {
  const balance = element('p', 'balance');
  const problem = element('p', 'error');
  const list = element('ul', 'transfers');
  const settings = element('p', 'actions settings');
  settings.append(button('quiet language', t.language, switchLanguage));
  if (notifications.isPossible()) settings.append(notificationsButton());
  settings.append(Object.assign(element('a', 'leave', t.rename), { href: $('leave').href }));
  dialogs.show(t.meTitle, settings, element('h3', '', t.wallet), balance, problem, list);
  let before;
  const page = async () => {
    const answer = await request('wallet/transfers', { limit: 30, ...(before && { before }) });
    list.append(...answer.transfers.map(transfer));
    before = answer.next;
    if (before !== undefined) list.append(moreRow(page));
    if (!list.childElementCount) list.append(element('li', 'hint', t.noTransfers));
  };
  await dialogs.attempt(problem, async () => {
    balance.textContent = t.balance(amount((await request('wallet/balance', {})).balance));
    await page();
  });
}

function notificationsButton() {
  const node = button('quiet', notifications.isOn() ? t.notifyOn : t.notify, async () => {
    node.textContent = (await notifications.ask()) ? t.notifyOn : t.notifyOff;
  });
  return node;
}

function moreRow(page) {
  const item = element('li');
  item.append(button('quiet', t.moreTransfers, async () => { item.remove(); await page(); }));
  return item;
}

function transfer({ kind, amount: cents, time }) {
  const item = element('li');
  item.append(element('span', '', t.transferKinds[kind] ?? kind), element('time', 'hint', fullTime(new Date(time))));
  item.append(element('span', cents < 0 ? 'money minus' : 'money', amount(cents)));
  return item;
}
