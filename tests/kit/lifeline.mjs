// The sample dataset lifeline, and what its definition says of each person: computed here from the CSV
// files, independently of everything that is tested.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sourceDir } from './process.mjs';

const sampleDir = join(sourceDir, 'deploy', 'sample', 'lifeline');
export const definitionPath = join(sampleDir, 'definition.json');
export const sources = (year) => ({
  patients: join(sampleDir, 'patients.csv'),
  coverage: join(sampleDir, 'coverage', `${year}.csv`),
  payers: join(sampleDir, 'payers.csv'),
});

/** The sample has no quoted fields. */
function rows(path) {
  const [head, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  const names = head.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [names[i], cell])));
}

/** [{key, record}] of the batch of one year, in the order of patients.csv. */
export function truth(year) {
  const { patients, coverage, payers } = sources(year);
  const payerName = new Map(rows(payers).map((payer) => [payer.Id, payer.NAME]));
  const names = new Map();
  for (const { PATIENT, PAYER } of rows(coverage)) {
    if (!names.has(PATIENT)) names.set(PATIENT, []);
    if (payerName.has(PAYER)) names.get(PATIENT).push(payerName.get(PAYER));
  }
  return rows(patients).map((patient) => {
    const theirs = names.get(patient.Id) ?? [];
    return {
      key: { first_name: patient.FIRST, last_name: patient.LAST, dob: patient.BIRTHDATE, ssn_last4: patient.SSN.slice(-4) },
      record: {
        eligible: theirs.some((name) => ['Medicaid', 'Dual Eligible'].includes(name)),
        program: theirs.sort()[0] ?? null,
        state: patient.STATE,
      },
    };
  });
}
