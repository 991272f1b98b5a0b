'use strict';
// Elements, made of texts. Whatever comes from the server only ever becomes text: nothing here takes markup.

/** el('p', {class: 'dim', onclick: fn}, 'text', el('b', {}, 'more')). What is null or false is left out. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const byId = (id) => document.getElementById(id);
const button = (text, onclick, attributes = {}) => el('button', { type: 'button', onclick, ...attributes }, text);

/** A value of JSON as a person reads it. */
function shown(value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

const count = (value) => (typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 20 }) : shown(value));

function duration(seconds) {
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']])
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

/** A moment, and how long ago it is. */
function moment(text) {
  if (!text) return shown(null);
  const ago = duration((Date.now() - Date.parse(text)) / 1000);
  return el('time', { datetime: text, title: text }, el('span', { class: 'whole' }, text.slice(0, 19).replace('T', ' ')), ' ',
            el('small', { class: 'whole' }, `${ago} ago`));
}

/** A list of names and values. */
function pairs(entries) {
  return el('dl', {}, entries.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value instanceof Node ? value : shown(value))]));
}

/** A labelled control of a form. */
function field(id, label, control) {
  control.id = id;
  return el('div', {}, el('label', { for: id }, label), control);
}

/* ---- tables: on a narrow screen each row is a card, so that roles are said ---- */

const classOf = (column) => ['number', 'whole', 'free'].filter((name) => column[name]).join(' ') || null;

/** A column: {head, cell(item), number, whole, free}. Heads, numbers and what is whole stay on one line, unless they are
 *  free: a tenant's own, of any length. All else breaks anywhere. */
function cells(columns, item) {
  return columns.map((column) => {
    const { head, cell } = column, value = cell(item);
    return el('td', { role: 'cell', 'data-head': head, class: classOf(column) },
              value instanceof Node || Array.isArray(value) ? el('div', {}, value) : shown(value));
  });
}

/** An empty table, and its body. */
function tableOf(caption, columns) {
  const body = el('tbody', { role: 'rowgroup' });
  const heads = columns.map((column) => el('th', { role: 'columnheader', scope: 'col', class: classOf(column) }, column.head));
  return [el('table', { role: 'table' }, el('caption', {}, caption),
             el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, heads)), body), body];
}

/* ---- places that are filled by and by ---- */

const turns = new WeakMap();

/** Fills the place with what `make` comes to, or with its problem; of several at once, the last one counts. */
async function fill(place, make) {
  const turn = (turns.get(place) ?? 0) + 1;
  let content;
  turns.set(place, turn);
  place.setAttribute('aria-busy', 'true');
  try {
    content = await make();
  } catch (error) {
    content = problemBox(error);
  }
  if (turns.get(place) !== turn) return;
  place.removeAttribute('aria-busy');
  place.replaceChildren(...[content].flat(Infinity).filter((child) => child !== null));
}

/** Tells what has been done; read aloud, too. */
function say(text) {
  byId('said').textContent = text;
}
