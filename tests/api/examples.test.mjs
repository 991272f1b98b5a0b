// The worked examples of tests/data: each is put, ingested and asked as it says of itself.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { sourceDir, until } from '../kit/process.mjs';

const root = join(sourceDir, 'tests', 'data');
const names = readdirSync(root, { withFileTypes: true }).filter((one) => one.isDirectory()).map((one) => one.name);
const read = (name, file) => JSON.parse(readFileSync(join(root, name, file), 'utf8'));
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  server = await data.serve();
  token = await data.token({ scope: 'data:read analytics:read' });
});
after(() => server?.stop());

/** Quantiles are at most 0.4 % off; everything else is exact. */
function assertAnswer(is, wanted, path = '') {
  if (wanted === null || typeof wanted !== 'object')
    return path.endsWith('/median') ? assert.ok(Math.abs(is - wanted) <= 0.004 * wanted, `${path}: ${is}, not ${wanted}`)
      : assert.equal(is, wanted, path);
  assert.deepEqual(Object.keys(is ?? {}).sort(), Object.keys(wanted).sort(), `the members of ${path || 'the answer'}`);
  for (const [name, value] of Object.entries(wanted)) assertAnswer(is[name], value, `${path}/${name}`);
}

for (const name of names)
  test(`${name}: the example is what it says`, async (t) => {
    const { sources, rows, ask } = read(name, 'example.json');
    await data.ok(['dataset', 'put', join(root, name, 'definition.json')], { tenant: 'dev' });
    const paths = Object.fromEntries(Object.entries(sources).map(([source, file]) => [source, join(root, name, file)]));
    const version = await data.ingest(name, paths);
    await until('the server has it', async () => (await server.get(`/v1/datasets/${name}`, token)).json.current === 1);
    for (const [member, count] of Object.entries(rows)) assert.equal(version.rows[member], count, `rows ${member}`);
    assert.ok(ask.length > 0);
    for (const { what, get, post, body, answer } of ask)
      await t.test(what, async () => {
        const reply = get ? await server.get(get, token) : await server.post(post, token, body);
        assert.equal(reply.status, 200, reply.text);
        assertAnswer(reply.json, answer);
      });
  });

test('there is one of each shape', () => {
  assert.deepEqual(names.sort(), ['eligibility', 'measures', 'payouts', 'telemetry']);
});
