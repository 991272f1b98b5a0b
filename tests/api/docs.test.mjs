// The page at /docs: whole, cached by its tag, and nothing in it comes from elsewhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../kit/browser.mjs';
import { Data } from '../kit/everline.mjs';

let server;

before(async () => { server = await (await Data.make('dev')).serve(); });
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
