// The operations that are broken off, and the data directories they start from. A new operation is a
// row of OPERATIONS; what holds afterwards is the business of state.mjs.
import { join } from 'node:path';
import { Data } from '../kit/everline.mjs';
import { tempDir } from '../kit/process.mjs';
import { batchFile, DATASETS } from './samples.mjs';
import { look } from './state.mjs';

const REASON = ['--reason', 'a test of faults'];
export const STRANGER = 'other'; /* a tenant beside dev, without a dataset */

/** Commands, by what they do: arguments of everline. */
export const tenant = (name = 'dev') => ['tenant', 'put', name];
export const ingest = (letter, dataset = 'people') =>
  ['ingest', dataset, '--output', 'json', '--tenant', 'dev', '--source', batchFile(dataset, letter)];
export const rollback = (from) => ['rollback', 'people', '--tenant', 'dev', ...REASON, ...(from ? ['--from', `${from}`] : [])];
export const promote = (version) => ['promote', 'people', `${version}`, '--tenant', 'dev', ...REASON];
const definitions = new Data(join(tempDir('definitions'), 'none'));
export const put = (dataset, changes = {}) => {
  const name = `${dataset}-${Object.keys(changes).join('-')}.json`;
  const path = definitions.file(name, JSON.stringify({ ...DATASETS[dataset].definition, ...changes }));
  return ['dataset', 'put', path, '--tenant', 'dev'];
};

/** Of three versions the first is one too many. */
export const FEWER = { retention: { keep_versions: 2 } };

const ONE = [put('people'), put('things'), ingest('a'), ingest('a', 'things')];

/** Data directories: which one each begins as, and the commands that make it of that. */
const PREPARED = {
  nothing: { commands: [] },
  tenant: { base: 'nothing', commands: [tenant(), tenant(STRANGER)] },
  one: { base: 'tenant', commands: ONE },
  two: { base: 'one', commands: [ingest('b')] },
  'rolled back': { base: 'two', commands: [rollback()] },
  three: { base: 'two', commands: [ingest('a')] },
  'old versions': { base: 'three', commands: [put('people', FEWER)] },
};

/** from: the directory before. run: what is broken off. current: of people, afterwards; missing: as it was.
 *  repair: commands that must succeed afterwards, however far the run came, so that there is something to
 *  serve. description: of the definition, afterwards. gone: a dataset that is deleted. */
export const OPERATIONS = [
  { name: 'new data directory', from: 'nothing', run: tenant(), repair: [tenant(), ...ONE] },
  { name: 'new dataset', from: 'tenant', run: put('people'), repair: ONE },
  { name: 'ingest', from: 'one', run: ingest('b'), current: 2 },
  { name: 'ingest of bytes that an older version has', from: 'two', run: ingest('a'), current: 3 },
  { name: 'ingest of what is served', from: 'one', run: ingest('a') },
  { name: 'ingest with retention', from: 'old versions', run: ingest('c'), current: 4 },
  { name: 'rollback', from: 'two', run: rollback(2), current: 1 },
  { name: 'promotion', from: 'rolled back', run: promote(2), current: 2 },
  { name: 'dataset delete', from: 'two', run: ['dataset', 'delete', 'things', '--tenant', 'dev', ...REASON], gone: 'things' },
  { name: 'dataset put', from: 'one', run: put('people', { description: 'Another' }), description: 'Another' },
];

const made = new Map();

function directory(name) {
  if (!made.has(name))
    made.set(name, (async () => {
      const { base, commands } = PREPARED[name];
      const data = base ? await copyOf(base) : new Data(join(tempDir('prepared'), 'data'));
      for (const args of commands) await data.ok(args);
      return data;
    })());
  return made.get(name);
}

const copyOf = async (name) => (await directory(name)).copy();

/** The directory that the operation starts from: nobody may write to it. */
export const prepared = (operation) => directory(operation.from);

/** A copy of its own for each run. */
export const copy = (operation) => copyOf(operation.from);

const looked = new Map();

/** What is in that directory, as state.mjs sees it. */
export function pastOf(operation) {
  if (!looked.has(operation.from))
    looked.set(operation.from, operation.from === 'nothing' ? Promise.resolve({}) : (async () => {
      const data = await prepared(operation);
      const server = await data.serve();
      const past = await look(server, await data.token(), data.directory);
      await server.stop();
      return past;
    })());
  return looked.get(operation.from);
}
