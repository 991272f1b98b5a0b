// Datasets, the versions of one and what can be done with each, and who moved the pointer.

const STATE_TONES = { SUCCEEDED: 'good', HELD: 'warn', IN_PROGRESS: 'warn', FAILED: 'bad', QUARANTINED: 'bad', RETIRED: 'dim' };
const TABS = { versions: 'Versions', events: 'Events', jobs: 'Jobs', lookup: 'Look up', rollups: 'Rollups' };
const datasetHref = (name, tab = 'versions') => `#dataset/${encodeURIComponent(name)}/${tab}`;

const toned = (text, tone) => el('span', { class: tone }, text);

function datasetState({ problem, current }) {
  if (problem) return toned(problem, 'bad');
  return current === null ? toned('nothing served yet', 'warn') : toned('served', 'good');
}

const DATASET_COLUMNS = [
  { head: 'Dataset', cell: ({ name }) => el('a', { href: datasetHref(name) }, name) },
  { head: 'Version', number: true, cell: ({ current }) => current },
  { head: 'Since', cell: ({ current_since: since }) => moment(since) },
  { head: 'State', whole: true, cell: datasetState },
  { head: 'Description', cell: ({ description }) => description },
];

const showDatasets = async () => [el('h2', {}, 'Datasets'),
  el('p', {}, el('a', { href: '#jobs' }, 'All jobs')),
  await pages('Datasets that the token sees', DATASET_COLUMNS,
              (cursor) => get(withQuery('/v1/datasets', { limit: 100, cursor })), { none: 'The token sees no dataset.' })];

/* ---- one dataset ---- */

function datasetHead(dataset) {
  const { name, description, current, current_since: since } = dataset;
  return [el('h2', {}, name), description ? el('p', {}, description) : null,
    el('p', {}, ...(current === null ? [toned('No version is served.', 'warn')]
      : ['Serves ', el('strong', {}, `version ${current}`), ' since ', moment(since)])),
    el('div', { class: 'acts' }, button('Look again', showAgain),
       button('Roll back …', () => rollBackDialog(name), { class: 'danger', disabled: current === null }))];
}

async function showDataset(name, tab) {
  const dataset = await get(pathOf('datasets', name));
  const place = el('section', { 'aria-label': TABS[tab] });
  const links = Object.entries(TABS).map(([key, text]) =>
    el('a', { href: datasetHref(name, key), 'aria-current': key === tab ? 'page' : null }, text));
  const content = { versions: showVersions, events: showEvents, jobs: () => showJobs(name), lookup: showLookup, rollups: showRollups }[tab];
  fill(place, () => content(dataset));
  return [...datasetHead(dataset), el('nav', { 'aria-label': name }, links), place];
}

/* ---- versions ---- */

/** A figure of a rule, without the last digits of a quotient. */
const figure = (value) => (Number.isFinite(Number(value)) ? Number(Number(value).toPrecision(12)) : value);
const RULE_FIELDS = ['value', 'previous', 'change', 'change_ratio', 'broken', 'of', 'min', 'max', 'max_change', 'max_change_ratio', 'max_ratio'];

function ruleItem(kind, rule) {
  const figures = RULE_FIELDS.filter((name) => rule[name] !== undefined && rule[name] !== null)
    .map((name) => `${name.replaceAll('_', ' ')} ${shown(figure(rule[name]))}`);
  const tone = ['passed', 'new'].includes(rule.state) ? 'good' : rule.state === 'failed' ? 'bad' : 'warn';
  return el('li', {}, `${kind} ${rule.name}: `, toned(rule.state, tone), figures.length ? ` (${figures.join(', ')})` : null);
}

/** Checks and gates: how many did not pass, and each of them on demand. */
function rulesCell({ checks = [], gates = [] }) {
  const all = [...checks, ...gates];
  const open = all.filter(({ state }) => !['passed', 'new'].includes(state));
  if (!all.length) return shown(null);
  return el('details', {}, el('summary', {}, open.length ? toned(`${open.length} of ${all.length}: ${open[0].name} ${open[0].state}`, 'warn') : `${all.length} passed`),
    el('ul', {}, gates.map((rule) => ruleItem('gate', rule)), checks.map((rule) => ruleItem('check', rule))));
}

function errorShown(error) {
  return [toned(error.code ?? 'error', 'bad'), ` ${error.message ?? ''} `, error.place ? `at ${error.place} ` : null,
          error.hint ? el('small', {}, error.hint) : null];
}

const leftOut = ({ rows, rejects }) => (rows?.rejected ?? 0) + (rows?.unparsable ?? rejects?.unparsable ?? 0);

/** What the token's scopes leave out of a version's acts: the scopes that are missing. */
const lacking = () => ({ change: scopesLacking('versions:write'), take: scopesLacking('data:read', 'analytics:read') });

function versionActs(dataset, row) {
  const { change: noChange, take } = lacking(), kept = isKept(row);
  const noTake = row.state === 'HELD' ? [...take, ...noChange] : take; // nobody has released it yet
  const act = (text, dialog, label = text) => button(text, () => dialog(), { 'aria-label': `${label} version ${row.version}` });
  return el('div', { class: 'acts' },
    kept && !row.current ? act('Promote …', () => promoteDialog(dataset.name, row), 'Promote') : null,
    kept && !noChange.length ? act('Compare …', () => compareDialog(dataset, row), 'Compare') : null,
    kept && !noTake.length ? act('Export …', () => exportDialog(dataset, row), 'Export') : null,
    kept && !row.current && row.version !== dataset.rollback_to && !noChange.length ? act('Retire …', () => retireDialog(dataset.name, row), 'Retire') : null,
    leftOut(row) ? button('Rejects', () => rejectsDialog(dataset.name, row.version), { 'aria-label': `Rejects of version ${row.version}` }) : null);
}

function lackingShown() {
  const { change: noChange, take: noTake } = lacking();
  const tell = (scopes, acts) => (scopes.length ? el('p', { class: 'dim' }, `${acts} is not offered: the token's scope is without ${scopes.join(' and ')}.`) : null);
  return [tell(noChange, 'Comparing and retiring versions'), tell(noTake, 'Exporting versions')];
}

const versionColumns = (dataset) => [
  { head: 'Version', whole: true, cell: ({ version, current }) => [String(version), current ? toned(' current', 'good') : null] },
  { head: 'State', whole: true, cell: ({ state }) => toned(state, STATE_TONES[state]) },
  { head: 'Built', cell: ({ created_at: at }) => moment(at) },
  { head: 'Records', number: true, cell: ({ rows }) => count(rows?.accepted) },
  { head: 'Left out', number: true, cell: (row) => count(leftOut(row)) },
  { head: 'Outcome', cell: ({ outcome, error }) => (error ? errorShown(error) : outcome) },
  { head: 'Checks, gates', cell: rulesCell },
  { head: 'Acts', cell: (row) => versionActs(dataset, row) },
];

const showVersions = async (dataset) => [lackingShown(), await pages('Newest first', versionColumns(dataset),
  (cursor) => get(withQuery(pathOf('datasets', dataset.name, 'versions'), { limit: 20, cursor })),
  { rowClass: ({ current }) => (current ? 'current' : null), none: 'Nothing was built yet.' })];

const REJECT_COLUMNS = [
  { head: 'File', cell: ({ file }) => file },
  { head: 'Line', number: true, cell: ({ line }) => line },
  { head: 'Column', number: true, cell: ({ column }) => column },
  { head: 'Rule', cell: ({ rule }) => rule },
  { head: 'Source', cell: ({ source }) => source },
];

async function rejectsShown(dataset, version) {
  const path = pathOf('datasets', dataset, 'versions', version, 'rejects');
  const first = await get(withQuery(path, { limit: 100 }));
  return [pairs([['records that could not be read', first.unparsable], ['rows that were rejected', first.rejected],
                 ...(first.rules ?? []).map(({ rule, rows }) => [`rule ${rule}`, rows])]),
    await pages('Places in the files', REJECT_COLUMNS,
                (cursor) => (cursor ? get(withQuery(path, { limit: 100, cursor })) : first),
                { none: 'No place in a file is known: rows that are rejected after "prepare" have none.' })];
}

const rejectsDialog = (dataset, version) => dialogOf(`Left out of version ${version} of ${dataset}`, () => rejectsShown(dataset, version));

/* ---- events ---- */

const EVENT_COLUMNS = [
  { head: 'No.', number: true, cell: ({ sequence }) => sequence },
  { head: 'When', cell: ({ time }) => moment(time) },
  { head: 'What', cell: ({ event, version }) => `${event}${version === null ? '' : ` ${version}`}` },
  { head: 'Served', cell: ({ from, to }) => (from === to ? shown(to) : el('strong', {}, `${shown(from)} → ${shown(to)}`)) },
  { head: 'Who', cell: ({ actor }) => actor },
  { head: 'Why', cell: ({ reason }) => reason },
];

const showEvents = ({ name }) => pages('Newest first', EVENT_COLUMNS,
  (cursor) => get(withQuery(pathOf('datasets', name, 'events'), { limit: 50, cursor })));
