// What is told of an export while it is written, where there is no terminal: the first line is due after three seconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';

const ROWS = 4000, TEXT = 'x'.repeat(4000);
const LARGE = {
  name: 'large', sources: { large: { format: 'csv' } }, prepare: 'SELECT id, text FROM large', key: { fields: ['id'] }, record: { text: 'VARCHAR' },
};

test('an export that takes its time tells how far it is, a line at a time, on stderr', async () => {
  const data = await Data.make('dev');
  await data.put(LARGE);
  await data.ingest('large', { large: data.file('large.csv', `id,text\n${Array.from({ length: ROWS }, (_, i) => `r${i},${TEXT}\n`).join('')}`) });
  const args = ['export', 'large', '--format', 'csv', '--output', '-', '--data', data.directory, '--tenant', 'dev'];
  const writer = start(everlinePath, args), { stdout } = writer.child;
  stdout.pause();
  await until('a line is told', () => {
    stdout.read(16384); /* slowly, so that it must wait */
    assert.ok(!writer.exited, 'it ended before');
    return writer.stderr.includes('\n');
  });
  stdout.resume();
  assert.equal((await writer.ended).code, 0, writer.stderr);
  assert.equal(writer.stdout.split('\n').length, ROWS + 2);
  const lines = writer.stderr.split('\n');
  assert.deepEqual(lines.splice(-2), [`large version 1: ${ROWS} records`, '']);
  assert.ok(lines.length >= 1);
  for (const line of lines) {
    const [, rows, rate, left] = /^large: exporting, (\d+) rows, (\d+) rows\/s, (\d+)s left$/.exec(line) ?? assert.fail(line);
    assert.ok(rows > 0 && rows < ROWS, line);
    /* The rate is rounded, and the time cut. */
    assert.ok(left >= Math.floor((ROWS - rows) / (Number(rate) + 0.5)) && left <= (ROWS - rows) / (rate - 0.5) + 1, line);
  }
});
