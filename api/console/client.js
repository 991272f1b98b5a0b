// The token, and requests with it. Nothing else of this page talks to the server.

const TOKEN = 'everline.token'; // of this tab, and gone with it; never in a URL, never in localStorage
let token = sessionStorage.getItem(TOKEN);

/** The text that somebody pasted, as a token; null when it cannot be one. */
function tokenOf(text) {
  const bare = text.trim().replace(/^Bearer\s+/i, '');
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bare) ? bare : null;
}

function keepToken(next) {
  token = next;
  if (next) sessionStorage.setItem(TOKEN, next);
  else sessionStorage.removeItem(TOKEN);
}

/** What the token says of itself, to show it; it is the server that judges. */
function claims() {
  try {
    const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

/** Those of the scopes that the token does not say it has. */
function scopesLacking(...scopes) {
  const { scope } = claims();
  return typeof scope === 'string' ? scopes.filter((one) => !scope.split(' ').includes(one)) : [];
}

/** A number that JavaScript would round, or write otherwise, stays as it was sent: a text. */
function exactly(key, value, context) {
  return typeof value === 'number' && context?.source && context.source !== String(value) ? context.source : value;
}

/** Refused, failed, or not answered: an RFC 9457 problem, as far as there is one. */
class Problem extends Error {
  constructor({ status = 0, title, detail, code, hint, errors = [], request_id = null, retryAfter = null }) {
    super(detail);
    Object.assign(this, { status, title, detail, code, hint, errors, request_id, retryAfter });
  }

  /** Whether it was done is not known. */
  get isOpen() { return this.status === 0 || this.code === 'UNKNOWN_OUTCOME'; }
}

function problemOf(reply, text) {
  let body = {};
  try { body = JSON.parse(text); } catch { /* from a proxy, say */ }
  return new Problem({ title: reply.statusText, detail: text.slice(0, 300), ...body,
                       status: reply.status, retryAfter: reply.headers.get('retry-after') });
}

const unanswered = (method, path) => new Problem({
  title: 'No answer', detail: `${method} ${path}: the server was not reached, or the connection was lost`,
  hint: method === 'GET' ? 'try again' : 'whether it was done is not known: look before doing it again',
});

/** Does it; {content, reply}, with what `read` makes of the reply. Throws a Problem. */
async function send(method, path, read, { body, headers = {}, signal }) {
  const all = { accept: 'application/json', ...headers };
  let reply, content;
  if (token) all.authorization = `Bearer ${token}`;
  if (body) all['content-type'] = 'application/json';
  try {
    reply = await fetch(path, { method, headers: all, body: body && JSON.stringify(body), cache: 'no-store', signal,
                                credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer' });
    content = await (reply.ok ? read(reply) : reply.text());
  } catch {
    throw unanswered(method, path.split('?')[0]);
  }
  if (!reply.ok) throw problemOf(reply, content);
  return { content, reply };
}

/** {value, reply} of JSON; throws a Problem. */
async function call(method, path, options = {}) {
  const { content, reply } = await send(method, path, (one) => one.text(), options);
  try {
    return { value: JSON.parse(content, exactly), reply };
  } catch {
    throw new Problem({ status: reply.status, title: 'No JSON', detail: 'the answer is not this server\'s', hint: 'is there a proxy in between?' });
  }
}

const get = async (path) => (await call('GET', path)).value;
/** All of a file; one that was cut short is a Problem. */
const download = async (path, headers, signal) => (await send('GET', path, (one) => one.blob(), { headers: { accept: '*/*', ...headers }, signal })).content;
const post = async (path, body, headers) => (await call('POST', path, { body, headers })).value;

/** '/v1/datasets/' and the rest: each part is escaped. */
const pathOf = (...parts) => `/v1/${parts.map(encodeURIComponent).join('/')}`;

/** The path with those parameters that have a value. */
function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function problemBox(error) {
  if (!(error instanceof Problem)) console.error(error); // a fault of this page
  const { status, title, detail, code, hint, errors, request_id: request, retryAfter } = error instanceof Problem ? error : new Problem({ title: 'A fault of this page', detail: String(error) });
  return el('div', { class: 'problem', role: 'alert' },
    el('p', {}, el('strong', { class: 'bad' }, [status || null, code ?? title].filter(Boolean).join(' ')), code ? ` ${title}` : null),
    detail ? el('p', {}, detail) : null,
    hint ? el('p', {}, `What helps: ${hint}`) : null,
    retryAfter ? el('p', {}, `Come again in ${retryAfter} s.`) : null,
    Array.isArray(errors) && errors.length ? el('ul', {}, errors.map((one) => el('li', {}, `${one.pointer}: ${one.detail}`))) : null,
    request ? el('p', { class: 'dim' }, `Request ${request}`) : null);
}

/** A table of a list, by pages; says whether it is all. `ask` gives a page for a cursor. */
async function pages(caption, columns, ask, { rowClass = () => null, none = 'There is nothing.' } = {}) {
  const [table, body] = tableOf(caption, columns);
  const foot = el('div');
  const add = ({ items, next, complete }) => {
    body.append(...items.map((item) => el('tr', { role: 'row', class: rowClass(item) }, cells(columns, item))));
    const all = !body.children.length ? none : complete ? 'That is all.' : 'Not everything is listed.';
    return next ? button('More', () => fill(foot, async () => add(await ask(next)))) : el('p', { class: 'dim' }, all);
  };
  foot.append(add(await ask(null)));
  return [body.children.length ? table : null, foot];
}
