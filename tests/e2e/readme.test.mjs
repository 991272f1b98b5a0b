// The commands of the README are run as they stand there.
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { everline } from '../kit/everline.mjs';
import { buildDir, freePort, run, sourceDir, tempDir } from '../kit/process.mjs';

const readme = readFileSync(join(sourceDir, 'README.md'), 'utf8');

/** Each block of commands with the marker before it: `run` is run here, `transcript` elsewhere. */
const blocks = [...readme.matchAll(/(?:<!-- (\w+) -->\n)?```sh\n([\s\S]*?)```/g)].map(([, marker, text]) => ({ marker, text }));

test('every block of commands is run by a test', () => {
  const others = blocks.filter((block) => block.marker !== 'run');
  assert.equal(others.length, 1, 'mark a block with <!-- run -->');
  assert.match(others[0].text, /^deploy\/quickstart .*\ntests\/run .*\n$/, 'these two are run by the end-to-end test and by people');
  assert.ok(blocks.length > 1);
});

test('the commands do what the README says', async () => {
  const work = tempDir('readme');
  const port = await freePort();
  symlinkSync(buildDir, join(work, 'build'));
  const script = ['set -euo pipefail', 'trap \'jobs -p | xargs -r kill\' EXIT',
    ...blocks.filter((block) => block.marker === 'run').map((block) => block.text)].join('\n')
    .replaceAll('/tmp/my-', `${work}/my-`).replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`);
  const result = await run('bash', ['-c', script], { cwd: work });
  assert.equal(result.code, 0, `${result.stderr}\n${result.stdout}`);
  const shown = [...readme.matchAll(/<!-- printed -->\n```\n([\s\S]*?)```/g)].map(([, text]) => text);
  assert.equal(shown.length, 2);
  const printed = result.stdout.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '2026-01-31T08:00:00.000000Z');
  for (const text of shown) assert.ok(printed.includes(text), printed);
});

test('the configuration file that is shown is right', async () => {
  const shown = [...readme.matchAll(/```ini\n([\s\S]*?)```/g)].map(([, text]) => text);
  assert.ok(shown.length > 0);
  for (const text of shown) {
    const file = join(tempDir('config'), 'everline.conf');
    writeFileSync(file, text);
    const result = await everline(['config', 'check', file]);
    assert.equal(result.code, 0, result.stderr);
  }
});

test('the table of commands names exactly the commands there are', async () => {
  const help = (await everline(['--help'])).stdout;
  const real = new Set([...help.matchAll(/^ {2}([a-z]+)(?: [a-z]+)? {2,}/gm)].map(([, name]) => name));
  const named = new Set([...readme.matchAll(/^\| `everline ([a-z]+)/gm)].map(([, name]) => name));
  real.delete('version');
  named.delete('version');
  assert.deepEqual([...named].sort(), [...real].sort());
});

test('the table of routes names exactly the routes of the contract', async () => {
  const contract = readFileSync(join(sourceDir, 'openapi', 'everline.yaml'), 'utf8');
  const real = [...contract.matchAll(/^ {2}(\/[^:]*):$/gm)].map(([, path]) => path);
  const named = [...readme.matchAll(/^\| `(?:GET|POST) [^|]*\|/gm)].flatMap(([row]) => {
    let base = '';
    return [...row.matchAll(/(\.\.\.)?(\/[^`, ]*)/g)].map(([, dots, path]) => {
      if (!dots) base = path;
      return { dots: Boolean(dots), path, base };
    });
  });
  for (const { dots, path } of named)
    assert.ok(real.some((route) => (dots ? route.endsWith(path) : route === path)), `${path} is not in the contract`);
  for (const route of real)
    assert.ok(named.some(({ dots, path }) => (dots ? route.endsWith(path) : route === path)), `${route} is not in the README`);
});
