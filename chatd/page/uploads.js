// Files on their way: chosen, looked at before they are sent, and uploaded one after another.

import * as composer from './composer.js';
import { chat, explained, isOnline } from './connection.js';
import { conversationFor, currentTarget } from './conversations.js';
import * as dialogs from './dialogs.js';
import { $, button, element } from './elements.js';
import { shape } from './files.js';
import { isolated, visible } from './names.js';
import { sizeOf, t } from './words.js';

// So many are looked at together.
const FILES_MAX = 20;
const SENDABLE = /^(image|audio|video)\//;
// What stands where a picture would.
const SIGNS = { audio: '♪', video: '▶\uFE0E' };

let turn = Promise.resolve(); // ends when the last upload so far has

export function start() {
  $('attach').addEventListener('click', () => $('files').click());
  $('files').addEventListener('change', () => {
    offer([...$('files').files]);
    $('files').value = '';
  });
  $('text').addEventListener('paste', (event) => {
    const { files, types } = event.clipboardData;
    // What an office program copies is a text, of which it adds a picture.
    if (!files.length || (types.includes('text/plain') && types.includes('text/html'))) return;
    event.preventDefault();
    offer([...files]);
  });
  // Of a file that is dropped beside the talk a browser would make its page.
  for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) document.addEventListener(kind, dragged);
}

// A text tells of it, too.
const isInTalk = (node) => Boolean((node?.closest ? node : node?.parentElement)?.closest('.talk'));

function dragged(event) {
  const { type, target, relatedTarget, dataTransfer } = event;
  if (!dataTransfer?.types.includes('Files')) return;
  const isOver = isInTalk(type === 'dragleave' ? relatedTarget : target);
  $('drop').hidden = !isOver || type === 'drop';
  if (type === 'dragleave') return;
  event.preventDefault();
  dataTransfer.dropEffect = isOver ? 'copy' : 'none';
  if (isOver && type === 'drop') offer([...dataTransfer.files]);
}

const kindOf = ({ type }) => /^[a-z]+/.exec(type)?.[0];

// Shows what would be sent, and sends it when that is wanted.
function offer(given) {
  if (given.length === 0) return;
  const conversation = conversationFor(currentTarget());
  const offered = given.slice(0, FILES_MAX).map(look);
  const list = element('ul', 'offered');
  list.append(...offered.map(({ item }) => item));
  const good = offered.filter(({ isGood }) => isGood);
  const row = element('p', 'actions');
  row.append(button('quiet', t.cancel, dialogs.close));
  const send = button('', t.send, () => {
    for (const one of good) one.isSent = true;
    dialogs.close();
    good.forEach((one) => begin(conversation, one));
  });
  if (good.length) row.append(send);
  const many = given.length > FILES_MAX ? [element('p', 'error', t.filesMany(FILES_MAX))] : [];
  const content = dialogs.show(t.filesTitle, ...many, list, row);
  content.parentElement.addEventListener('close', () => offered.forEach(({ isSent, leave }) => { if (!isSent) leave(); }));
  (good.length ? send : row.firstChild).focus();
}

// A file as it is shown before it is sent.
function look(file) {
  const item = element('li');
  const about = element('span', 'about');
  const name = element('bdi', 'name', visible(file.name));
  about.append(name, element('span', 'hint', sizeOf(file.size)));
  const isKnown = SENDABLE.test(file.type);
  const problem = file.size === 0 ? t.fileEmpty : file.type && !isKnown ? t.fileOdd : '';
  if (problem) about.append(element('span', 'error', problem));
  item.append(about);
  item.dataset.sign = problem ? '×' : SIGNS[kindOf(file)] ?? '';
  const one = { file, item, isGood: !problem, leave: () => {} };
  if (!problem && file.type.startsWith('image/')) {
    const address = URL.createObjectURL(file);
    one.leave = () => URL.revokeObjectURL(address);
    one.image = Object.assign(element('img'), { alt: '', src: address });
    item.prepend(one.image);
    // One that this browser cannot draw.
    one.image.addEventListener('error', () => one.image.remove());
  }
  return one;
}

// A file as it is shown until it is there.
function begin(conversation, { file, leave, image }) {
  const kind = kindOf(file);
  const type = { image: 'img', video: 'video' }[kind] ?? 'audio';
  const shown = element('div', `file ${type}`);
  if (image?.naturalWidth) {
    shape(shown, { width: image.naturalWidth, height: image.naturalHeight });
    shown.append(image);
    image.alt = isolated(file.name);
  } else {
    shown.append(element('bdi', 'name', visible(file.name)), element('span', 'hint', sizeOf(file.size)));
  }
  const upload = { file, kind, target: conversation.target };
  composer.begin(conversation, { type, node: shown }, { load: (line) => load(upload, line), leave });
}

// What the message carries, once the file is there.
async function load(upload, line) {
  const { file, target, kind } = upload;
  const ended = new AbortController();
  const bar = element('progress');
  bar.ariaLabel = t.uploading(isolated(file.name));
  bar.value = 0;
  const part = element('span', 'hint', t.waits);
  const row = element('p', 'uploading');
  row.append(bar, part, button('quiet', t.cancel, () => ended.abort()));
  line.append(row);
  const { signal } = ended;
  const onProgress = (bytes) => {
    bar.value = file.size ? bytes / file.size : 1;
    part.textContent = `${Math.floor(bar.value * 100)}%`;
  };
  try {
    const { type, fileId, secret, size } = await inTurn(() => chat.upload(file, { target, onProgress, signal }), signal);
    // Sound alone often lies in what can hold a film.
    return { type: type === 'video' && kind === 'audio' ? kind : type, url: `/file/${fileId}`, secret, ...(size && { size }) };
  } catch (error) {
    if (signal.aborted) return undefined;
    throw { words: wordsOf(error) };
  } finally {
    if (row.contains(document.activeElement)) $('log').focus({ preventScroll: true });
    row.remove();
  }
}

// Waits for those before it, unless it is given up meanwhile.
function inTurn(act, signal) {
  const before = turn;
  const given = new Promise((_, reject) => { signal.addEventListener('abort', () => reject(signal.reason)); });
  const acted = before.then(() => { signal.throwIfAborted(); return act(); });
  turn = acted.catch(() => {});
  return Promise.race([acted, given]);
}

function wordsOf(error) {
  const { code, words } = explained(error);
  if (!code) return isOnline() ? t.uploadCut : t.offline;
  return t.uploadReasons[ruleOf(error)] ?? words;
}

// What it was beside a limit of chatd's stands in the server's words.
function ruleOf({ code, message, limit }) {
  if (limit) return '';
  // A proxy's.
  if (code === 1012) return 'large';
  if (message.includes('files.place')) return 'nowhere';
  return code === 1000 || message.includes('token') ? 'token' : '';
}
