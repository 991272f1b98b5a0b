// The page at /console, in a real browser: what an operator does with it, and that nothing a tenant writes
// becomes more than text in it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Browser } from '../kit/browser.mjs';
import { Data } from '../kit/everline.mjs';
import { roomInDay, tempDir, until } from '../kit/process.mjs';

const HOSTILE = '<img src=x onerror="window.hacked=1">', MARKUP = '<script>window.hacked=2</script>';
const SCOPES = 'data:read analytics:read ingest:write versions:write audit:read';
const PLANS = {
  name: 'plans',
  description: `Plans ${HOSTILE}`,
  sources: { plans: { format: 'csv', columns: { people: 'BIGINT' }, max_reject_ratio: 0.5 } },
  prepare: 'SELECT id, title, people FROM plans',
  key: { fields: ['id'], protect: 'none' },
  record: { title: 'VARCHAR', people: 'BIGINT' },
  gates: [{ name: 'row_drift', metric: 'count(*)', max_change_ratio: 0.5 }],
  rollups: { by_title: { dimensions: ['title'], metrics: { plans: 'count(*)' } } },
};
const LARGE = '9007199254740993'; // what JavaScript would round

let data, server, browser, page, token;

const csv = (title) => `id,title,people\np1,"${title.replaceAll('"', '""')}",${LARGE}\np2,plain,2\np3,plain,few\n`;
const current = async () => (await server.get('/v1/datasets/plans', token)).json.current;

before(async () => {
  data = await Data.make('dev');
  await data.put(PLANS);
  await data.ingest('plans', { plans: data.file('1.csv', csv('first')) });
  await data.ingest('plans', { plans: data.file('2.csv', csv(HOSTILE)) });
  server = await data.serve('--ingest-workers', '0'); // jobs wait, so that they can be canceled
  token = await data.token({ scope: SCOPES, subject: `ada ${HOSTILE}` });
  browser = new Browser();
  page = await browser.page();
});
after(async () => { await browser?.close(); await server?.stop(); });

/** A page that nobody has given a token yet. */
async function fresh(hash = '') {
  const other = await browser.page();
  await other.go(`${server.url}/console${hash}`);
  return other;
}

async function enter(text, where) {
  await where.type('Token', text);
  await where.key('Enter');
}

/** What can be pressed for one of the things in a list. */
const acts = (where) => where.run(() => [...document.querySelectorAll('td button')].map((one) => one.getAttribute('aria-label')));

/** The page has asked this server only, has had no fault, and its policy had nothing to refuse. */
function assertQuiet(where) {
  assert.deepEqual(where.elsewhere(server.url), []);
  assert.deepEqual(where.complaints, []);
}

test('the page, its script and its style are given to anybody, small, with a policy that lets nothing else in', async () => {
  const html = await server.get('/console'), policy = html.headers['content-security-policy'].split('; ');
  for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"])
    assert.ok(policy.includes(rule), policy.join('; '));
  assert.doesNotMatch(policy.join(), /unsafe|https?:/);
  const named = [...html.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url);
  assert.deepEqual(named.sort(), ['#', '/console/console.css', '/console/console.js', '/docs', '/openapi.json', 'data:,']);
  const parts = [html, await server.get('/console/console.js'), await server.get('/console/console.css')];
  assert.deepEqual(parts.map(({ headers }) => headers['content-type'].split(';')[0]), ['text/html', 'text/javascript', 'text/css']);
  assert.ok(parts.reduce((sum, { text }) => sum + text.length, 0) < 60_000);
  for (const word of ['innerHTML', 'outerHTML', 'insertAdjacent', 'document.write', 'eval(', 'Function(', 'localStorage.', 'localStorage[']) assert.ok(!parts[1].text.includes(word), word);
  for (const [i, path] of ['/console', '/console/console.js', '/console/console.css'].entries())
    assert.equal((await server.get(path, undefined, { 'if-none-match': parts[i].headers.etag })).status, 304);
});

test('a wrong token is refused, and the page says how; what is no token is not sent', async () => {
  const other = await fresh();
  await other.sees('With a token', 'Server: ready');
  await enter('not a token', other);
  await other.sees('That is no token');
  assert.ok(other.requests.every((url) => !url.includes('/v1/')), other.requests.join());
  await enter(`${token.slice(0, -8)}AAAAAAAA`, other);
  await other.sees('401 UNAUTHORIZED', 'a valid token is needed', 'Request ');
  await other.press('Forget the token');
  await other.sees('With a token', 'The token is forgotten.');
  assertQuiet(other);
});

test('the token is in this tab alone: not in the address, not kept beyond it, and gone when it is forgotten', async () => {
  const other = await fresh('#dataset/plans/versions');
  await enter(`Bearer ${token}\n`, other);
  await other.sees('Serves version 2');
  const kept = () => other.run(() => [location.href, document.cookie, localStorage.length, sessionStorage.length, document.querySelector('#token').value]);
  assert.deepEqual(await kept(), [`${server.url}/console#dataset/plans/versions`, '', 0, 1, '']);
  assert.ok(other.requests.every((url) => !url.includes(token.split('.')[2])));
  await other.press('Forget the token');
  await other.sees('With a token');
  assert.deepEqual((await kept()).slice(1), ['', 0, 0, '']);
  assertQuiet(other);
});

test('the datasets are listed, and what a tenant has written stays text', async () => {
  await page.go(`${server.url}/console`);
  await enter(token, page);
  await page.sees('plans', 'served', HOSTILE, 'tenant dev', SCOPES, `ada ${HOSTILE}`);
  await page.press('plans');
  await page.sees('Serves version 2', 'SUCCEEDED', '2 current');
  assertQuiet(page);
});

test('a version tells its rows, its gates and what it leaves out', async () => {
  const text = await page.sees('Newest first', 'That is all.');
  assert.match(text, /2 current\s+SUCCEEDED\s+.* ago\s+2\s+1\s+flipped\s+1 passed/);
  await page.press('Rejects of version 2');
  await page.sees('Left out of version 2 of plans', '2.csv', 'CSV_CAST', 'That is all.');
  await page.key('Escape');
  await page.sees('Serves version 2');
});

test('a record is looked up by a form of the key, and its numbers are as the server wrote them', async () => {
  await page.press('Look up');
  await page.type('id', 'p1');
  await page.key('Enter');
  await page.sees('match in version 2 of plans', HOSTILE, LARGE);
  await page.type('id', 'nobody');
  await page.key('Enter');
  await page.sees('no_match in version 2');
  await page.type('id', 'p1');
  await page.type('version', '1');
  await page.key('Enter');
  await page.sees('match in version 1 of plans', 'first');
  await page.type('version', '77');
  await page.key('Enter');
  await page.sees('404 UNKNOWN_VERSION');
  assert.ok(!(await page.run(() => location.href)).includes('p1'));
  assertQuiet(page);
});

test('a rollup is a table', async () => {
  await page.press('Rollups');
  await page.sees('by_title of version 2', HOSTILE, 'plain', 'That is all.');
  await page.type('only title', 'plain');
  await page.press('Show');
  await page.waitFor('only one cell is left', () => document.querySelectorAll('section tbody tr').length === 1);
  await page.type('only title', 'nothing');
  await page.press('Show');
  await page.sees('There is no such cell.');
  assertQuiet(page);
});

/* One cell more than are looked at for a page, and the one that is asked for is that. */
test('pages of a rollup that have no cell are gone past', async () => {
  await data.ok(['tenant', 'put', 'wide']);
  await data.put({ ...PLANS, name: 'wide', prepare: `SELECT n::VARCHAR AS id, lpad(n::VARCHAR, 6, '0') AS title, (n = 100000)::VARCHAR AS last, 1 AS people
    FROM plans, range(100001) t(n) WHERE id = 'p1'`, rollups: { by_title: { dimensions: ['title', 'last'], metrics: { plans: 'count(*)' } } } }, { tenant: 'wide' });
  await data.ingest('wide', { plans: data.file('wide.csv', csv('one')) }, { tenant: 'wide' });
  const other = await fresh();
  await enter(await data.token({ tenant: 'wide', scope: SCOPES }), other);
  await other.press('wide');
  await other.press('Rollups');
  await other.sees('000000', 'More');
  await other.type('only last', 'true');
  await other.press('Show');
  await other.sees('100000', 'That is all.');
  await other.type('only last', 'maybe');
  await other.press('Show');
  await other.sees('There is no such cell.');
  assertQuiet(other);
});

test('a rollback shows from which version to which, needs a reason, and is done at once', async () => {
  await page.press('Versions');
  await page.press('Roll back …');
  await page.sees('Roll plans back', 'version 2 → version 1', 'Version 2 is QUARANTINED', 'served before');
  await page.press('Roll back');
  await page.run(() => new Promise(requestAnimationFrame)); // the form is not sent without a reason
  assert.equal(await current(), 2);
  await page.type('Reason, kept with the event', `wrong ${MARKUP}`);
  await page.press('Roll back');
  await page.sees('plans serves version 1', 'Serves version 1', '1 current', 'QUARANTINED');
  assert.equal(await current(), 1);
  await page.press('Events');
  await page.sees('2 → 1', `wrong ${MARKUP}`, `token:ada ${HOSTILE}`);
  assertQuiet(page);
});

test('a promotion serves a kept version again; who was overtaken is told, and changes nothing', async () => {
  await page.press('Versions');
  await page.press('Promote version 2');
  await page.sees('version 1 → version 2', 'Version 2 is QUARANTINED');
  const head = await server.get('/v1/datasets/plans', token);
  const won = await server.post('/v1/datasets/plans/versions/2/promote', token, { reason: 'first' }, { 'if-match': head.headers.etag });
  assert.equal(won.status, 200, won.text);
  await page.type('Reason, kept with the event', 'second');
  await page.press('Promote');
  await page.sees('412 HEAD_MOVED', 'What helps: look at the dataset again');
  await page.press('Close');
  await page.sees('Serves version 2');
  await page.press('Promote version 1');
  await page.type('Reason, kept with the event', 'checked by hand');
  await page.press('Promote');
  await page.sees('plans serves version 1', 'Serves version 1');
  assert.equal(await current(), 1);
  assertQuiet(page);
});

test('jobs appear as they come, are canceled and run again', async () => {
  await page.press('Jobs');
  await page.sees('version 2, flipped', 'That is all.');
  const body = csv('third'), upload = (await server.post('/v1/uploads?name=3.csv', token, body, { 'content-type': 'text/csv' })).json.upload;
  const { job } = (await server.post('/v1/datasets/plans/ingests', token, { sources: [{ source: 'plans', upload }] })).json;
  await page.sees(job, 'queued', 'waits');
  await page.press(`Cancel ${job}`);
  await page.press('Cancel the job');
  await page.sees(`${job} is canceled`);
  await page.press(`Retry ${job}`);
  await page.press('Retry the job');
  await page.sees('409', 'UPLOADS_GONE');
  await page.press('Close');
  await page.sees('canceled');
  assertQuiet(page);
});

test('what the scope of the token does not allow is said, and the rest goes on', async () => {
  const reader = await fresh('#dataset/plans/versions');
  await enter(await data.token({ scope: 'data:read' }), reader);
  await reader.sees('Serves version 1', 'Comparing and retiring versions is not offered: the token\'s scope is without versions:write.',
                    'Exporting versions is not offered: the token\'s scope is without analytics:read.');
  assert.deepEqual(await acts(reader), ['Promote version 2', 'Rejects of version 2', 'Rejects of version 1']);
  for (const tab of ['Events', 'Jobs', 'Rollups']) {
    await reader.press(tab);
    await reader.sees('403', 'SCOPE', 'Serves version 1');
  }
  await reader.press('Roll back …');
  await reader.sees('no version was served before it: choose one');
  await reader.press('Roll back');
  await reader.choose('Go back to', '2');
  await reader.sees('version 1 → version 2');
  await reader.type('Reason, kept with the event', 'not mine');
  await reader.press('Roll back');
  await reader.sees('403');
  await reader.press('Close');
  assert.equal(await current(), 1);
  assertQuiet(reader);
});

test('two versions are compared', async () => {
  await page.go(`${server.url}/console#dataset/plans/versions`);
  await page.press('Compare version 2');
  await page.sees('Compare version 2 of plans', 'With version');
  await page.press('Compare');
  const text = await page.sees('version 1 → version 2', 'Some that were changed', '{"id":"p1"}', 'by_title');
  assert.match(text, /definition\s+the same\s+records before\s+2\s+records after\s+2\s+records added\s+0\s+records removed\s+0\s+records changed\s+1\s+records unchanged\s+1/);
  assert.match(text, /by_title\s+plans\s+2\s+2\s+0/);
  await page.press('Close');
  assert.ok(!(await page.sees('That is all.')).includes('is not offered'));
  assertQuiet(page);
});

test('an export is saved as a file', async () => {
  const directory = tempDir('downloads');
  await page.saveTo(directory);
  await page.press('Export version 2');
  await page.sees('Export version 2 of plans', 'All 2 records of version 2');
  await page.choose('Format', 'ndjson');
  await page.press('Download');
  await page.sees('Version 2 of plans is downloaded', 'Serves version 1');
  const { text } = await server.get('/v1/datasets/plans/export?version=2&format=ndjson', token);
  await until('the file is there', () => readdirSync(directory).join() === 'plans.2.ndjson');
  assert.equal(readFileSync(join(directory, 'plans.2.ndjson'), 'utf8'), text);
  assertQuiet(page);
});

test('a version is retired for a reason, but not the one that is served nor the one before it', async () => {
  await data.ingest('plans', { plans: data.file('3.csv', csv('third')) });
  await page.press('Look again');
  await page.sees('3 current', 'That is all.');
  assert.deepEqual((await acts(page)).filter((act) => act.startsWith('Retire')), ['Retire version 2']);
  const other = await fresh('#dataset/plans/versions'), directory = tempDir('downloads');
  await other.saveTo(directory);
  await enter(token, other);
  await other.press('Export version 2');
  await other.sees('All 2 records of version 2');
  await page.press('Retire version 2');
  await page.sees('Retire version 2 of plans', 'nothing brings them back');
  await page.press('Retire version 2 of plans');
  await page.run(() => new Promise(requestAnimationFrame)); // the form is not sent without a reason
  await page.type('Reason, kept with the event', `withdrawn & ${MARKUP}`);
  await page.press('Retire version 2 of plans');
  await page.sees('Version 2 of plans is retired', 'RETIRED');
  assert.equal((await server.get('/v1/datasets/plans/versions/2', token)).json.state, 'RETIRED');
  assert.deepEqual((await acts(page)).filter((act) => / version 2$/.test(act)), ['Rejects of version 2']);
  await page.press('Events');
  await page.sees(`withdrawn & ${MARKUP}`);
  await other.press('Download');
  await other.sees('410 VERSION_RETIRED');
  assert.deepEqual(readdirSync(directory), []);
  assertQuiet(other);
  assertQuiet(page);
});

test('a version that is held is exported by who may promote it, and not offered to who only reads', async () => {
  const rows = Array.from({ length: 9 }, (_, i) => `h${i},held,${i}\n`).join('');
  const held = await data.ingestCli('plans', { plans: data.file('held.csv', `id,title,people\n${rows}`) });
  assert.equal(held.code, 4, held.stderr);
  const directory = tempDir('downloads');
  await page.go(`${server.url}/console#dataset/plans/versions`);
  await page.sees('HELD', 'Serves version 3');
  await page.saveTo(directory);
  await page.press('Export version 4');
  await page.sees('Export version 4 of plans', 'All 9 records of version 4');
  await page.press('Download');
  await page.sees('Version 4 of plans is downloaded', 'Serves version 3');
  const { text } = await server.get('/v1/datasets/plans/export?version=4&format=csv', token);
  await until('the file is there', () => readdirSync(directory).join() === 'plans.4.csv');
  assert.equal(readFileSync(join(directory, 'plans.4.csv'), 'utf8'), text);
  const reader = await fresh('#dataset/plans/versions');
  await enter(await data.token({ scope: 'data:read analytics:read' }), reader);
  await reader.sees('HELD', 'That is all.');
  assert.deepEqual((await acts(reader)).filter((act) => act.startsWith('Export')), ['Export version 3', 'Export version 1']);
  assertQuiet(reader);
  assertQuiet(page);
});

test('a job is followed to its end wherever it is in the list, also beside one that is gone', async () => {
  const ingest = async () => {
    const reply = await server.post('/v1/datasets/plans/ingests', token, csv('further'), { 'content-type': 'text/csv' });
    assert.equal(reply.status, 202, reply.text);
    return reply.json.job;
  };
  const [first, second, gone] = [await ingest(), await ingest(), await ingest()];
  await Promise.all(Array.from({ length: 50 }, ingest)); // a page of newer ones
  const other = await fresh('#dataset/plans/jobs');
  const state = (job) => other.run((id) => [...document.querySelectorAll('tbody tr')].find((row) => row.children[0].textContent === id)?.children[1].textContent, job);
  await enter(token, other);
  await other.press('More');
  await until('they are shown', async () => await state(first) === 'queued' && await state(second) === 'queued');
  await other.run((id) => {
    const real = window.fetch;
    window.fetch = (url, ...rest) => (String(url).endsWith(id) ? Promise.resolve(new Response('{"status":404,"code":"NOT_FOUND"}', { status: 404 })) : real(url, ...rest));
  }, gone);
  await other.sees('404 NOT_FOUND');
  await server.post(`/v1/jobs/${first}/cancel`, token);
  await until('it is followed', async () => await state(first) === 'canceled');
  await other.press(`Cancel ${second}`);
  await other.press('Cancel the job');
  await other.sees(`${second} is canceled`);
  await until('it is followed', async () => await state(second) === 'canceled');
  const asked = other.requests.length;
  await until('the list was asked for again', () => other.requests.length > asked + 1);
  assert.ok(other.requests.slice(asked).every((url) => !url.includes(first)), 'what has ended is not asked for');
  assertQuiet(other);
});

test('too many requests, a server that stops and one that is gone are told', async () => {
  await roomInDay();
  const own = await Data.make('dev');
  await own.put(PLANS);
  await own.ok(['tenant', 'put', 'dev', '--requests-per-day', '1']);
  const one = await own.serve(), other = await browser.page();
  try {
    await other.go(`${one.url}/console`);
    await enter(await own.token(), other);
    await other.sees('plans');
    await other.press('plans');
    await other.sees('429 DAY_LIMIT', 'Come again in');
    await one.stop();
    await other.press('Everline');
    await other.sees('No answer', 'What helps: try again');
    await other.sees('Server: cannot be reached');
  } finally {
    await one.stop();
  }
});

/* A sentence in one cell takes its room from those that break anywhere, not from the words beside it. */
test('no state, number, time or head is broken by a sentence in the table, on any wide screen', async () => {
  await data.ok(['tenant', 'put', 'narrow']);
  await data.put(PLANS, { tenant: 'narrow' });
  for (const title of ['one', 'two']) await data.ingest('plans', { plans: data.file('good.csv', csv(title)) }, { tenant: 'narrow' });
  await data.ok(['rollback', 'plans', '--reason', 'a test'], { tenant: 'narrow' });
  assert.equal((await data.ingestCli('plans', { plans: data.file('bad.csv', `${csv('x')}"p4`) }, { tenant: 'narrow' })).code, 1);
  const other = await fresh('#dataset/plans/versions');
  await enter(await data.token({ tenant: 'narrow', scope: SCOPES }), other);
  await other.sees('FAILED', 'QUARANTINED', 'That is all.');
  for (const width of [1280, 1100]) {
    await other.screen({ width });
    const heights = await other.run(() => [...document.querySelectorAll('th, td.number div, td.whole div, time .whole')]
      .filter((one) => one.getClientRects().length).map((one) => {
        const range = document.createRange();
        range.selectNodeContents(one);
        return [one.textContent, new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom / 8))).size];
      }));
    assert.ok(heights.length > 20);
    assert.deepEqual(heights.filter(([, lines]) => lines > 1), [], `${width}`);
    assert.ok(await other.run(() => document.documentElement.scrollWidth <= innerWidth), `${width}`);
  }
  assertQuiet(other);
});

test('nothing that a tenant has written has run', async () => {
  assert.equal(await page.run(() => window.hacked), undefined);
  assertQuiet(page);
});

test('it fits a telephone, in light and dark, and every field has its label', async () => {
  for (const tab of ['versions', 'events', 'jobs', 'lookup', 'rollups'])
    for (const dark of [false, true]) {
      await page.screen({ width: 360, height: 740, dark });
      await page.go(`${server.url}/console#dataset/plans/${tab}`);
      await page.waitFor(`${tab} is there`, () => !document.querySelector('[aria-busy]') && document.querySelector('section')?.children.length > 0);
      assert.ok(await page.run(() => document.documentElement.scrollWidth <= 360), tab);
      assert.deepEqual(await page.run(() => [...document.querySelectorAll('input, select, textarea')].filter(({ labels }) => !labels.length).map(({ id }) => id)), []);
    }
  const colours = await page.run(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]);
  await page.screen({ dark: false });
  assert.notDeepEqual(await page.run(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]), colours);
  assertQuiet(page);
});
