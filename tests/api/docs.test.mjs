// The page at /docs: whole, cached by its tag, and nothing in it comes from elsewhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../kit/browser.mjs';
import { Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';

let data, server;

before(async () => {
  data = await Data.make('dev');
  server = await data.serve();
});
after(() => server?.stop());

test('the page and its script are given without a token, with a policy that lets nothing else in', async () => {
  const page = await server.get('/docs');
  assert.equal(page.status, 200, page.text);
  assert.match(page.headers['content-type'], /^text\/html; charset=utf-8$/);
  const policy = page.headers['content-security-policy'];
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
    assert.ok(policy.split('; ').includes(rule), policy);
  assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe|https?:/);
  assert.equal(page.headers['x-content-type-options'], 'nosniff');

  const named = [...page.text.matchAll(/(?:src|href|spec-url)="([^"]+)"/g)].map(([, url]) => url);
  assert.deepEqual(named.sort(), ['/docs/rapidoc.js', '/openapi.json', '/openapi.json', '/openapi.json', 'data:,']);
  const script = await server.get('/docs/rapidoc.js');
  assert.equal(script.status, 200);
  assert.match(script.headers['content-type'], /^text\/javascript/);
  assert.ok(script.text.includes('RapiDoc') && script.text.length > 500000);
  assert.equal((await server.get('/openapi.json')).json.openapi, '3.0.3');
});

test('what has not changed is not sent again', async () => {
  for (const path of ['/docs', '/docs/rapidoc.js']) {
    const { etag } = (await server.get(path)).headers;
    const again = await server.get(path, undefined, { 'if-none-match': etag });
    assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag]);
    assert.equal((await server.get(path, undefined, { 'if-none-match': '"other"' })).status, 200);
    const head = await server.request('HEAD', path);
    assert.deepEqual([head.status, head.text, head.headers.etag], [200, '', etag]);
  }
});

/** In the page: what the parts of RapiDoc have for that selector, in their shadows too. */
function all(selector) {
  const found = [], look = (root) => {
    found.push(...root.querySelectorAll(selector));
    for (const element of root.querySelectorAll('*')) if (element.shadowRoot) look(element.shadowRoot);
  };
  look(document);
  return found;
}

test('a person sees the example of the contract, and on a phone the list of operations', async () => {
  const browser = new Browser();
  try {
    const page = await browser.page();
    await page.go(`${server.url}/docs#post-/v1/datasets/-dataset-/lookup`);
    await page.waitFor('the example is there', new Function(`${all}; return all('textarea').some(({ value }) => value.includes('Lovelace'));`));
    await page.screen({ width: 390, height: 844 });
    await page.waitFor('the list is there', new Function(`${all}; return all('.nav-bar-path').some((one) => one.textContent.includes('Look many records up') && one.checkVisibility() && one.getBoundingClientRect().width > 200);`));
    assert.ok(await page.run(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual([page.complaints, page.elsewhere(server.url)], [[], []]);
  } finally {
    await browser.close();
  }
});

test('who has a code finds at /docs what it means', async () => {
  const { info, components } = (await server.get('/openapi.json')).json;
  for (const [code, said] of Object.entries(components.schemas.Code['x-everline-codes'])) {
    const at = said.indexOf(': ');
    assert.ok(info.description.includes(`\n| \`${code}\` | ${said.slice(0, at)} | ${said.slice(at + 2)} |\n`), code);
  }
  const browser = new Browser();
  try {
    const page = await browser.page();
    await page.go(`${server.url}/docs`);
    await page.waitFor('the list names the codes', new Function(`${all}; return all('.nav-bar-h1').some((one) => one.textContent.includes('Codes of failures') && one.checkVisibility());`));
    await page.waitFor('the table has rows', new Function(`${all}; return all('tr').some((one) => /HEAD_MOVED\\s+412\\s+the dataset is not as/.test(one.textContent) && one.checkVisibility());`));
    assert.deepEqual([page.complaints, page.elsewhere(server.url)], [[], []]);
  } finally {
    await browser.close();
  }
});

/** Something in the page, with what is in the shadows. */
const inside = (body) => new Function('...args', `${all}; const seen = (selector) => all(selector).filter((one) => one.checkVisibility()); ${body}`);
const write = (page, selector, text) => page.waitFor(`${selector} takes a text`, inside(`const [field] = seen(args[0]); if (!field) return false;
  field.value = args[1]; for (const name of ['input', 'change', 'keyup']) field.dispatchEvent(new Event(name, { bubbles: true, composed: true })); return true;`), selector, text);
const push = (page, text) => page.waitFor(`${text} is pressed`, inside(`const [button] = seen('button').filter((one) => one.textContent.trim() === args[0]); button?.click(); return Boolean(button);`), text);

test('a person finds an operation by its words, and tries one with a token', async () => {
  const browser = new Browser();
  try {
    const page = await browser.page();
    await page.screen();
    await page.go(`${server.url}/docs`);
    await push(page, 'SEARCH');
    await write(page, '#input-advanced-search-dialog', 'revo');
    await page.waitFor('it is found', inside("const found = seen('dialog-box [data-content-id]'); return found.length === 1 && found[0].dataset.contentId === 'post-/v1/revocations';"));
    await page.go(`${server.url}/docs#get-/v1/datasets`);
    const listed = () => page.run(inside("return seen('.nav-bar-path').map((one) => one.textContent.trim());"));
    await page.waitFor('all are listed', inside("return seen('.nav-bar-path').length > 40;"));
    const has = (list, words) => list.some((text) => text.includes(words));
    assert.ok(has(await listed(), 'Look many records up'));
    await write(page, '#nav-bar-search', 'roll');
    const found = await until('the others are gone', async () => { const now = await listed(); return now.length < 12 && now; });
    assert.ok(has(found, 'rollup') && !has(found, 'Look many records up'), found.join());
    const attempt = async (status) => {
      await page.go(`${server.url}/docs#get-/v1/datasets`);
      await push(page, 'TRY');
      await page.waitFor(`it is answered with ${status}`, inside("return seen('.response-message').some((one) => one.textContent.includes(`:${args[0]} `));"), String(status));
    };
    await attempt(401);
    await page.go(`${server.url}/docs#auth`);
    await write(page, '#http-bearer-api-key-input', await data.token());
    await push(page, 'SET');
    await attempt(200);
    assert.deepEqual([page.complaints, page.elsewhere(server.url)], [[], []]);
  } finally {
    await browser.close();
  }
});
