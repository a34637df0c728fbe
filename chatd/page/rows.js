// The rows of a conversation in the order of the log, and the part of them that is in the document: enough for a reader to
// see no end of it, and no more, however many there are.
//
// A row has `make`, which draws its line, and its place: an epoch and an offset, or none while it is an own message that
// chatd has not told the place of. Such a row keeps its line, for what is shown of it is nowhere else.

// Lines in the document for who reads the end, and how many come or go together for who reads elsewhere.
export const LINES_MAX = 240;
export const STEP = 60;
// Rows kept for who reads the end; older ones are loaded again.
const ROWS_MAX = 20_000;

export const ofConversation = () => ({ rows: [], first: 0, end: 0 });

// Whether the newest row is in the document, and how many lines are.
export const hasEnd = ({ rows, end }) => end === rows.length;
export const count = ({ first, end }) => end - first;

const isUnderWay = ({ offset, isOwn }) => isOwn && offset === undefined;
const isLater = (other, { epoch, offset }) =>
  isUnderWay(other) || (other.epoch === epoch && other.offset > offset);

// Puts a row where it belongs: everybody sees one order, that of the offsets; rows under way wait at the end.
export function put(conversation, row) {
  if (isThere(conversation, row)) return;
  take(conversation, row);
  const { rows, first, end } = conversation;
  let at = rows.length;
  while (at > 0 && !isUnderWay(row) && isLater(rows[at - 1], row)) at -= 1;
  const isShown = (at > first && at < end) || (at === first && first === 0) || (at === end && end === rows.length);
  rows.splice(at, 0, row);
  if (at < first || (at === first && !isShown)) conversation.first += 1;
  if (at < end || isShown) conversation.end += 1;
  if (isShown) draw(conversation, at);
  if (at + 1 < rows.length) showDay(conversation, at + 1);
}

// One that stays where it waited is not touched: who is about to press something in it finds it there.
function isThere({ rows }, row) {
  const at = rows.lastIndexOf(row);
  return at >= 0 && !(at > 0 && isLater(rows[at - 1], row)) && (at + 1 === rows.length || isLater(rows[at + 1], row));
}

// Takes a row away, if it is there.
export function take(conversation, row) {
  const at = conversation.rows.lastIndexOf(row);
  if (at < 0) return;
  row.line?.remove();
  conversation.rows.splice(at, 1);
  if (at < conversation.first) conversation.first -= 1;
  if (at < conversation.end) conversation.end -= 1;
  if (at < conversation.rows.length) showDay(conversation, at);
}

// Forgets all rows but those that `stays` names.
export function keep(conversation, stays) {
  hide(conversation, 0, count(conversation));
  const rows = conversation.rows.filter(stays);
  Object.assign(conversation, { rows, first: rows.length, end: rows.length });
  up(conversation);
}

function draw(conversation, at) {
  const row = conversation.rows[at];
  row.line ??= row.make();
  const next = at + 1 < conversation.end ? conversation.rows[at + 1].line : null;
  conversation.list.insertBefore(row.line, next);
  showDay(conversation, at);
}

// The first line of a day says which it is.
function showDay({ rows }, at) {
  const { line, day } = rows[at];
  if (!line) return;
  let before = at - 1;
  while (before >= 0 && rows[before].day === undefined) before -= 1;
  line.classList.toggle('new-day', day !== undefined && rows[before]?.day !== day);
}

// Takes lines out of the document, so many from the one side and from the other.
function hide(conversation, above, below) {
  const { rows, first, end } = conversation;
  for (const row of [...rows.slice(first, first + above), ...rows.slice(end - below, end)]) {
    row.line.remove();
    if (!isUnderWay(row)) row.line = undefined;
  }
  conversation.first += above;
  conversation.end = Math.max(conversation.first, end - below);
}

// Shows the rows above, those below, or the newest ones.
export function up(conversation) {
  for (let left = STEP; left > 0 && conversation.first > 0; left -= 1) {
    conversation.first -= 1;
    draw(conversation, conversation.first);
  }
}

export function down(conversation) {
  for (let left = STEP; left > 0 && !hasEnd(conversation); left -= 1) {
    conversation.end += 1;
    draw(conversation, conversation.end - 1);
  }
}

export function toEnd(conversation) {
  if (hasEnd(conversation)) return;
  hide(conversation, count(conversation), 0);
  conversation.first = conversation.end = conversation.rows.length;
  up(conversation);
}

// Takes the lines at the top, or at the bottom, out of the document; a few more than it should hold may stay.
export function shedTop(conversation, step = 1) {
  const over = count(conversation) - LINES_MAX;
  if (over >= step) hide(conversation, over, 0);
}

export function shedBottom(conversation) {
  if (count(conversation) - LINES_MAX >= STEP) hide(conversation, 0, STEP);
}

// Forgets the oldest of very many rows, and gives them.
export function shedOldest(conversation) {
  const over = Math.min(conversation.rows.length - ROWS_MAX, conversation.first);
  if (over <= 0) return [];
  conversation.first -= over;
  conversation.end -= over;
  return conversation.rows.splice(0, over);
}
