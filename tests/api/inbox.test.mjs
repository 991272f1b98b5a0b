// The watched inbox: a complete batch becomes one job, of however many servers look at it.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, inbox, token;
const servers = [];
const PAIR = {
  name: 'pair', sources: { one: { format: 'csv' }, two: { format: 'csv' } }, watch_inbox: true,
  prepare: 'SELECT a.id AS id, b.colour AS colour FROM one a JOIN two b ON a.id = b.id',
  key: { fields: ['id'], protect: 'none' }, record: { colour: 'VARCHAR' },
};

before(async () => {
  data = await Data.make('dev', 'other');
  inbox = tempDir('inbox');
  await data.put({ ...THINGS, watch_inbox: true });
  await data.put({ ...THINGS, name: 'old', watch_inbox: true });
  await data.put({ ...THINGS, name: 'unwatched' });
  await data.put(PAIR);
  token = await data.token();
});
after(() => Promise.all(servers.map((server) => server.stop())));

const serve = async () => {
  servers.push(await data.serve('--inbox', inbox, '--ingest-workers', '2'));
  return servers.at(-1);
};
const ask = () => servers.find((server) => server.alive);

function write(path, content = '') {
  mkdirSync(dirname(join(inbox, path)), { recursive: true });
  writeFileSync(join(inbox, path), content);
}
const complete = (batch) => write(`${batch}/_SUCCESS`);
/** A manifest is a marker too: it is there when it is whole. */
function declare(batch, manifest) {
  mkdirSync(join(inbox, batch), { recursive: true });
  renameSync(data.file('manifest.json', manifest), join(inbox, batch, 'manifest.json'));
}

const jobs = async (dataset) => (await ask().get(`/v1/jobs?dataset=${dataset}`, token)).json.items.toReversed();
const allEnded = (dataset, count) => until(`${count} jobs of ${dataset} have ended`, async () => {
  const list = await jobs(dataset);
  return list.length >= count && list.every((job) => job.ended_at) && list;
});

/* A server looks by itself a second after anything in the catalog has changed, and each half minute: not asked for
 * anything, and with nothing to do, it has inotify's word alone. */
test('a batch is found when it is complete, not when everything is looked at next', async () => {
  const own = await Data.make('dev'), place = join(tempDir('inbox'), 'dev', 'things');
  await own.put({ ...THINGS, watch_inbox: true });
  const lay = (batch) => {
    mkdirSync(join(place, batch), { recursive: true });
    writeFileSync(join(place, batch, 'x.csv'), csv(things(3)));
    writeFileSync(join(place, batch, '_SUCCESS'), '');
  };
  lay('a');
  const server = await own.serve('--inbox', dirname(dirname(place)), '--ingest-workers', '0');
  const started = (batch) => until(`${batch} is started`, () => server.log.includes(`by inbox/${batch}`));
  await started('a');
  await until('nothing changes', () => Date.now() - statSync(join(own.directory, 'catalog.mdb')).mtimeMs > 1500);
  const start = performance.now();
  lay('b');
  await started('b');
  assert.ok(performance.now() - start < 20_000, `${performance.now() - start} ms`);
  assert.equal(await server.stop(), 0);
});

/* What is written within one tick of the kernel's clock has the same time, and then the names decide. */
test('of what lay there before, the newest batch counts', async () => {
  for (const [i, batch] of ['b', 'c', 'a'].entries()) {
    write(`dev/old/${batch}/x.csv`, csv(things(i + 1)));
    complete(`dev/old/${batch}`);
    utimesSync(join(inbox, `dev/old/${batch}/_SUCCESS`), i, i);
  }
  write('dev/unwatched/a/x.csv', csv(things(3)));
  complete('dev/unwatched/a');
  await serve();
  const [job] = await allEnded('old', 1);
  assert.equal(job.state, 'succeeded', JSON.stringify(job));
  assert.equal(job.actor, 'inbox/a');
  assert.deepEqual(job.sources, [{ source: 'things', path: 'old/a/x.csv' }]);
});

test('a batch waits for its marker, and is one job of two servers', async () => {
  await serve();
  write('dev/things/monday/part-1.csv', csv(things(40).slice(0, 20)));
  write('dev/things/monday/_temporary', 'no data');
  write('dev/things/monday/part-2.csv', csv(things(40).slice(20)));
  complete('dev/old/d'); /* what is looked at later, and has no file */
  await until('the empty one was passed over', () => servers.some((server) => /batch d of dev\/old is passed over.*no file/.test(server.log)));
  assert.deepEqual(await jobs('things'), []);
  complete('dev/things/monday');
  const [job] = await allEnded('things', 1);
  assert.equal(job.state, 'succeeded', JSON.stringify(job));
  assert.deepEqual(job.sources.map(({ path }) => path), ['things/monday/part-1.csv', 'things/monday/part-2.csv']);
  assert.equal((await data.versions('things'))[0].rows.read, 40);
});

test('a folder that is moved in complete; several in the order of their markers', async () => {
  for (const [i, name] of ['tuesday', 'wednesday', 'anyday'].entries()) {
    write(`aside/${name}/x.csv`, csv(things(50 + i)));
    complete(`aside/${name}`);
  }
  for (const name of ['anyday', 'wednesday', 'tuesday']) renameSync(join(inbox, 'aside', name), join(inbox, 'dev/things', name));
  const list = await allEnded('things', 4);
  assert.deepEqual(list.slice(1).map((job) => job.actor).sort(), ['inbox/anyday', 'inbox/tuesday', 'inbox/wednesday']);
  assert.ok(list.every((job) => job.state === 'succeeded'), JSON.stringify(list));
});

test('after a restart nothing is started again, but what has a new marker is', async () => {
  const before = (await jobs('things')).length;
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(join(inbox, 'dev/things/monday/_SUCCESS'));
  write('dev/things/monday/part-1.csv', csv(things(60)));
  rmSync(join(inbox, 'dev/things/monday/part-2.csv'));
  complete('dev/things/monday');
  await serve();
  const list = await allEnded('things', before + 1);
  assert.equal(list.length, before + 1);
  assert.equal(list.at(-1).actor, 'inbox/monday');
});

test('several sources: by name, by directory, by manifest', async () => {
  const [left, right] = [csv(things(5)), csv(things(5))];
  write('dev/pair/1/one.2026-01.csv', left);
  write('dev/pair/1/two/anything.csv', right);
  complete('dev/pair/1');
  assert.equal((await allEnded('pair', 1)).at(-1).state, 'succeeded');
  write('dev/pair/2/x.csv', left);
  write('dev/pair/2/y.csv', csv(things(4)));
  declare('dev/pair/2', JSON.stringify({ sources: [{ source: 'one', path: 'x.csv' }, { source: 'two', path: 'y.csv' }] }));
  const job = (await allEnded('pair', 2)).at(-1);
  assert.equal(job.state, 'succeeded', JSON.stringify(job));
  assert.deepEqual(job.sources, [{ source: 'one', path: 'pair/2/x.csv' }, { source: 'two', path: 'pair/2/y.csv' }]);
});

test('what is wrong with a batch is said where people look', async () => {
  const wrong = async (name, files, code) => {
    const count = (await jobs('pair')).length;
    for (const [file, content] of Object.entries(files)) write(`dev/pair/${name}/${file}`, content);
    complete(`dev/pair/${name}`);
    const job = (await allEnded('pair', count + 1)).at(-1);
    assert.equal(job.state, 'failed');
    assert.equal(job.error.code, code, JSON.stringify(job));
  };
  await wrong('3', { 'one.csv': csv(things(5)), 'centre.csv': csv(things(5)) }, 'UNKNOWN_SOURCE');
  await wrong('4', { 'one.csv': csv(things(5)) }, 'MISSING_SOURCE');
  mkdirSync(join(inbox, 'dev/pair/5'));
  writeFileSync(join(inbox, 'secret.csv'), csv(things(5)));
  symlinkSync(join(inbox, 'secret.csv'), join(inbox, 'dev/pair/5/two.csv'));
  await wrong('5', { 'one.csv': csv(things(5)) }, 'INBOX_PATH');
  const count = (await jobs('pair')).length;
  write('hidden/name-of-another.csv');
  complete('hidden');
  symlinkSync(join(inbox, 'hidden'), join(inbox, 'dev/pair/link'));
  for (const [name, manifest, reason] of [['6', '{', /line 1/], ['7', '{"sources":[{"source":"one","path":"../1/one.csv"}]}', /sources\/0\/path/], ['8', '{"sources":[]}', /no file/]]) {
    declare(`dev/pair/${name}`, manifest);
    await until('it was told', () => new RegExp(`batch ${name} of dev/pair is passed over.*${reason.source}`).test(ask().log));
  }
  assert.equal((await jobs('pair')).length, count);
});

test('a file whose name is not UTF-8 is not left out without a word', async () => {
  const count = (await jobs('things')).length;
  write('dev/things/latin/part-1.csv', csv(things(7)));
  writeFileSync(Buffer.concat([Buffer.from(join(inbox, 'dev/things/latin/donn')), Buffer.of(0xe9), Buffer.from('es.csv')]), csv(things(9).slice(7)));
  complete('dev/things/latin');
  await until('it was told', () => /batch latin of dev\/things is passed over.*not UTF-8/.test(ask().log));
  assert.equal((await jobs('things')).length, count);
});
