// Two small datasets whose batches are named by a letter, and what each batch says of every key.
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { tempDir } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, THINGS } from '../kit/samples.mjs';

const PERSONS = 240;
const STATES = ['Iowa', 'Ohio', 'Utah'];
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** Protected keys and one rollup. */
const people = {
  ...PEOPLE,
  rollups: { by_state: { dimensions: ['state'], metrics: { people: 'count(*)', score: 'sum(score)' } } },
};

/** The person `i` of a batch; null: the batch does not have them. */
function person(letter, i) {
  const batch = LETTERS.indexOf(letter);
  if ((i + batch) % 7 === 0) return null;
  return {
    FIRST: `First${'abcdefgh'[i % 8]}`, LAST: `Last${LETTERS[Math.floor(i / 8) % 26]}`,
    BORN: `19${String(50 + (i % 40))}-0${1 + (i % 9)}-1${i % 10}`, SSN: `999-11-${String(1000 + i)}`,
    ELIGIBLE: (i * 7 + batch * 3) % 5 < 2 ? 'yes' : 'no', STATE: STATES[(i + batch) % 3], SCORE: batch * 1000 + i,
  };
}

const thing = (letter, i) => ({ id: `t${i}`, colour: letter, weight: i, made: '2024-01-01' });

const numbers = (count) => Array.from({ length: count }, (_, i) => i);
/* The fields that a key is made of are in every batch the same. */
const anyPerson = (i) => person('a', i) ?? person('b', i);

/** What is known of a dataset: its definition, the keys that are asked for, and for a batch its rows,
 *  the answers to the keys and the cells of its rollup. */
export const DATASETS = {
  people: {
    definition: people,
    keys: numbers(PERSONS).map((i) => keyOf(anyPerson(i))),
    rows: (letter) => numbers(PERSONS).map((i) => person(letter, i)).filter(Boolean),
    answers: (letter) => numbers(PERSONS).map((i) => person(letter, i)).map((p) => (p
      ? { outcome: 'match', record: { eligible: p.ELIGIBLE === 'yes', state: p.STATE, score: p.SCORE } }
      : { outcome: 'no_match', record: null })),
    rollup: 'by_state',
    cells: (letter) => STATES.map((state) => {
      const theirs = numbers(PERSONS).map((i) => person(letter, i)).filter((p) => p?.STATE === state);
      return { state, people: theirs.length, score: theirs.reduce((sum, p) => sum + p.SCORE, 0) };
    }),
  },
  things: {
    definition: { ...THINGS, rollups: { total: THINGS.rollups.total } },
    keys: numbers(12).map((i) => ({ id: `t${i}` })),
    rows: (letter) => numbers(12).map((i) => thing(letter, i)),
    answers: (letter) => numbers(12).map((i) => thing(letter, i)).map((record) => ({ outcome: 'match', record })),
    rollup: 'total',
    cells: () => [{ things: 12, weight: 66 }],
  },
};

const directory = tempDir('batches');
const written = new Set();

/** The file of a batch: `people-a.csv`. A version's row says which one it was built from. */
export function batchFile(dataset, letter) {
  const path = join(directory, `${dataset}-${letter}.csv`);
  if (!written.has(path)) writeFileSync(path, csv(DATASETS[dataset].rows(letter)));
  written.add(path);
  return path;
}

export const letterOf = (row) => /-([a-z])\.csv$/.exec(row.sources[0].file)[1];
