// The pages for people, in light and in dark: everything on them can be read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Browser } from '../kit/browser.mjs';
import { faint, themes, weak } from '../kit/colours.mjs';
import { Data } from '../kit/everline.mjs';
import { sourceDir } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const SCOPES = 'data:read analytics:read versions:write ingest:write audit:read tenant:admin';
const SCREENS = [1280, 390].flatMap((width) => [false, true].map((dark) => ({ width, height: width === 390 ? 844 : 900, dark })));
/** Each of the one upon each of the other. */
const across = (texts, grounds) => texts.split(' ').flatMap((text) => grounds.split(' ').map((ground) => [text, ground]));
const SHEETS = [
  { file: 'api/console/console.css', texts: [...across('text dim accent good warn bad', 'page box'), ['on-accent', 'accent'], ['page', 'bad']], edges: across('dim accent bad', 'page') },
  { file: 'openapi/docs.html',
    texts: [...across('fg fg2 fg3 light-fg', 'bg bg2 bg3 light-red light-green light-blue light-orange light-yellow'),
      ...across('primary-color red green blue orange yellow purple brown pink', 'bg bg2 code-bg'), ...across('fg placeholder-color', 'input-bg'),
      ...across('code-fg inline-code-fg code-property-color code-keyword-color code-operator-color', 'bg code-bg'),
      ['red', 'light-red'], ['green', 'light-green'], ['blue', 'light-blue'], ['orange', 'light-orange'], ['yellow', 'light-yellow'],
      ['selection-fg', 'selection-bg'], ['primary-color-invert', 'primary-color'], ['nav-accent-text-color', 'nav-accent-color'],
      ...across('nav-text-color nav-accent-color', 'nav-bg-color nav-hover-bg-color'), ['nav-hover-text-color', 'nav-hover-bg-color']],
    edges: across('light-bg primary-color', 'bg') },
];
let data, server, browser;

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  for (const count of [5, 6]) await data.ingest('things', { things: data.file('t.csv', csv(things(count))) });
  server = await data.serve();
  browser = new Browser();
});
after(async () => { await browser?.close(); await server?.stop(); });

for (const { file, texts, edges } of SHEETS)
  test(`the colours of ${file} have the contrast of WCAG AA in both themes`, () => {
    const both = themes(readFileSync(join(sourceDir, file), 'utf8'));
    for (const [name, theme] of Object.entries(both)) {
      assert.deepEqual(weak(theme, texts), [], name);
      assert.deepEqual(weak(theme, edges, 3), [], name);
    }
  });

test('both pages say that they have both themes, before any style sheet does', async () => {
  for (const path of ['/docs', '/console']) assert.match((await server.get(path)).text, /<meta name="color-scheme" content="light dark">/, path);
});

/** In the page: what the parts of RapiDoc have for that selector, in their shadows too. */
const shadowed = (body) => new Function('...args', `const all = (selector, root = document) => [...root.querySelectorAll(selector),
  ...[...root.querySelectorAll('*')].flatMap((one) => (one.shadowRoot ? all(selector, one.shadowRoot) : []))];
  const seen = (selector) => all(selector).filter((one) => one.checkVisibility()); ${body}`);

test('every text of /docs can be read, and the theme follows the system while the page is open', async () => {
  const page = await browser.page(), grounds = new Set(), found = [];
  for (const [hash, selector] of [['overview', 'h1, table'], ['auth', '#http-bearer-api-key-input'], ['get-/v1/datasets', 'button'],
    ['post-/v1/datasets/-dataset-/lookup', 'textarea']]) {
    await page.screen();
    await page.go(`${server.url}/docs#${hash}`);
    await page.waitFor(`${hash} is there`, shadowed('return seen(args[0]).length > 0 && seen(".nav-bar-path").length > 40;'), selector);
    if (hash.startsWith('get-')) {
      await page.waitFor('it is tried', shadowed("const [button] = seen('button').filter((one) => one.textContent.trim() === 'TRY'); button?.click(); return Boolean(button);"));
      await page.waitFor('it is answered', shadowed("return seen('.response-message').some((one) => one.textContent.includes(':401 '));"));
    }
    for (const screen of SCREENS) {
      await page.screen(screen);
      found.push(...(await faint(page)).map((one) => `${hash}, ${screen.width}, ${screen.dark ? 'dark' : 'light'}: ${one}`));
      assert.ok(await page.run(() => document.documentElement.scrollWidth <= innerWidth), `${hash} ${screen.width}`);
      grounds.add(`${screen.dark} ${await page.run(shadowed("return getComputedStyle(seen('rapi-doc')[0]).backgroundColor;"))}`);
    }
  }
  assert.deepEqual(found, []);
  assert.equal(grounds.size, 2, [...grounds].join());
  assert.equal(new Set([...grounds].map((one) => one.replace(/^\w+ /, ''))).size, 2, [...grounds].join());
  assert.deepEqual([page.complaints, page.elsewhere(server.url)], [[], []]);
});

test('every text of /console can be read', async () => {
  const page = await browser.page(), found = [];
  await page.go(`${server.url}/console`);
  await page.type('Token', await data.token({ scope: SCOPES }));
  await page.key('Enter');
  await page.sees('things');
  for (const hash of ['', ...['versions', 'events', 'jobs', 'lookup', 'rollups'].map((tab) => `#dataset/things/${tab}`)]) {
    await page.go(`${server.url}/console${hash}`);
    await page.waitFor(`${hash} is there`, () => !document.querySelector('[aria-busy]') && document.querySelector('main').children.length > 0);
    for (const screen of SCREENS) {
      await page.screen(screen);
      found.push(...(await faint(page)).map((one) => `${hash}, ${screen.width}, ${screen.dark ? 'dark' : 'light'}: ${one}`));
      assert.ok(await page.run(() => document.documentElement.scrollWidth <= innerWidth), `${hash} ${screen.width}`);
    }
  }
  assert.deepEqual(found, []);
  assert.deepEqual([page.complaints, page.elsewhere(server.url)], [[], []]);
});
