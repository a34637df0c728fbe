// Red packets: sending one, its card in the talk, opening it, and who took how much.

import { newId } from './client.js';
import { me, request } from './connection.js';
import { currentTarget } from './conversations.js';
import * as dialogs from './dialogs.js';
import { $, button, element, field } from './elements.js';
import { isolatedName, nameNode, visible } from './names.js';
import { amount, t, timeOf } from './words.js';

const PAGE = 100;

export function start() {
  $('red-packet').addEventListener('click', showNew);
}

// What stands in the talk.
export function card({ packetId, greeting, from }) {
  const node = button('packet', '', () => { open({ packetId, greeting, from }); });
  node.append(element('span', 'packet-wish', visible(greeting || t.packetDefault)), element('span', 'hint', t.toPacket));
  return node;
}

export function finished({ state, luckiest }) {
  if (state === 'expired') return;
  dialogs.tell(luckiest ? t.packetLuckiest(isolatedName(luckiest)) : t.packetGone);
}

function cents(text) {
  const [whole, part = ''] = text.trim().split('.');
  const isAmount = /^\d{1,9}$/.test(whole) && /^\d{0,2}$/.test(part);
  return isAmount ? Number(whole) * 100 + Number(part.padEnd(2, '0')) : 0;
}

function showNew() {
  const target = currentTarget();
  const [totalLabel, total] = field(t.packetTotal, { id: 'packet-total', inputMode: 'decimal', required: true });
  const [countLabel, count] = field(t.packetCount, { id: 'packet-count', type: 'number', min: 1, value: target.startsWith('user:') ? 1 : 5, required: true });
  const [wishLabel, wish] = field(t.packetGreeting, { id: 'packet-wish', maxLength: 60, placeholder: t.packetDefault });
  const modeLabel = element('label', 'field', t.packetMode);
  const mode = element('select');
  mode.id = 'packet-mode';
  for (const name of ['lucky', 'equal']) mode.append(Object.assign(element('option', '', t[name]), { value: name }));
  modeLabel.append(mode);
  // The same packet however often it is tried.
  const msgId = newId();
  const nodes = [totalLabel, countLabel, modeLabel, wishLabel];
  dialogs.show(t.sendPacket, dialogs.form(t.sendPacket, nodes, async () => {
    const [sum, shares] = [cents(total.value), Number(count.value)];
    if (sum < 1) throw { words: t.packetWrong };
    if (sum < shares) throw { words: t.packetFew };
    const greeting = wish.value || t.packetDefault;
    await request('redPacket/create', { target, total: sum, count: shares, mode: mode.value, greeting, msgId });
    dialogs.close();
  }));
}

async function open({ packetId, greeting, from }) {
  const cover = element('div', 'packet-cover');
  const result = element('p', 'packet-result');
  result.role = 'status';
  const problem = element('p', 'error');
  problem.role = 'alert';
  const list = element('ul', 'persons winners');
  const about = element('p', 'hint');
  const grab = button('packet-open', t.openPacket, () => dialogs.attempt(problem, take));
  cover.append(element('p', 'packet-wish', visible(greeting || t.packetDefault)), grab, result);
  dialogs.show(t.packetFrom(isolatedName(from)), cover, problem, about, list);

  async function take() {
    grab.classList.add('turning');
    try {
      const { outcome, amount: won } = await request('redPacket/grab', { packetId });
      grab.hidden = true;
      result.textContent = { won: t.won, already: t.already }[outcome]?.(amount(won)) ?? t[outcome];
    } finally {
      grab.classList.remove('turning');
    }
    await details();
  }

  let after;
  async function details() {
    const packet = await request('redPacket/detail', { packetId, limit: PAGE, ...(after && { after }) });
    const { grabbedCount, count, grabbed, total, state, winners, luckiest, next } = packet;
    about.textContent = t.packetOpen(grabbedCount, count, amount(grabbed), amount(total));
    if (!after) list.replaceChildren();
    list.append(...winners.map((winner) => winnerRow(winner, luckiest)));
    after = next;
    if (next !== undefined) list.append(moreRow(() => dialogs.attempt(problem, details)));
    if (!list.childElementCount) list.append(element('li', 'hint', t.noneTaken));
    const mine = winners.find(({ userId }) => userId === me);
    if (mine && !result.textContent) result.textContent = t.already(amount(mine.amount));
    if (state !== 'open' && !result.textContent) result.textContent = t[state] ?? '';
    grab.hidden ||= Boolean(mine) || state !== 'open';
  }

  await dialogs.attempt(problem, details);
}

function moreRow(page) {
  const item = element('li');
  item.append(button('quiet', t.more, async () => { item.remove(); await page(); }));
  return item;
}

function winnerRow({ userId, amount: cents, time }, luckiest) {
  const item = element('li');
  item.append(nameNode(userId, 'name'), element('time', 'hint', timeOf(new Date(time))));
  if (userId === luckiest) item.append(element('span', 'luckiest', t.luckiest));
  item.append(element('span', 'money', amount(cents)));
  return item;
}
