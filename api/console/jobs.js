// Jobs, newest first, with their progress while they run: the list is asked for again and again while it is shown.

const JOB_TONES = { succeeded: 'good', held: 'warn', failed: 'bad', canceled: 'dim' };
const JOBS_BUSY_MS = 1000, JOBS_IDLE_MS = 3000, JOBS_PAGE = 50;
const isActive = ({ state }) => state === 'queued' || state === 'running';

function progressCell({ state, progress, started_at: from, ended_at: to }) {
  if (!progress) return from && to ? `took ${duration((Date.parse(to) - Date.parse(from)) / 1000)}` : shown(isActive({ state }) ? 'waits' : null);
  const { phase, rows, percent, rows_per_second: speed, seconds_left: left } = progress;
  return [percent === null ? null : el('progress', { max: 100, value: percent, 'aria-label': phase }),
    ` ${phase}${percent === null ? '' : ` ${percent} %`}, ${count(rows)} rows, ${count(speed)}/s${left === null ? '' : `, ${duration(left)} left`}`];
}

function jobActs(job, again) {
  const ask = (verb, what, text) => button(`${verb} …`, () => jobDialog(job.job, verb, what, text, again), { 'aria-label': `${verb} ${job.job}` });
  return el('div', { class: 'acts' },
    isActive(job) && !job.cancel_requested ? ask('Cancel', 'cancel', 'It stops, and nothing of it is served.') : null,
    ['failed', 'canceled'].includes(job.state) ? ask('Retry', 'retry', 'It is run again, from its files.') : null,
    job.version ? button('Rejects', () => rejectsDialog(job.dataset, job.version), { 'aria-label': `Rejects of ${job.job}` }) : null);
}

function jobDialog(job, verb, what, text, again) {
  dialogOf(`${verb} ${job}`, (dialog) => actForm(dialog, {
    sentence: el('p', {}, text), verb: `${verb} the job`,
    act: async () => `${job} is ${(await post(pathOf('jobs', job, what))).state}`,
  }), again);
}

const jobColumns = (dataset, again) => [
  { head: 'Job', cell: ({ job }) => job },
  ...(dataset ? [] : [{ head: 'Dataset', cell: (job) => el('a', { href: datasetHref(job.dataset, 'jobs') }, job.dataset) }]),
  { head: 'State', cell: ({ state, cancel_requested: stops }) => toned(stops ? `${state}, to be canceled` : state, JOB_TONES[state] ?? 'warn') },
  { head: 'Progress', cell: progressCell },
  { head: 'Asked for', cell: ({ created_at: at, actor }) => [moment(at), ` by ${actor}`] },
  { head: 'Attempt', number: true, cell: ({ attempt }) => attempt },
  { head: 'Came to', cell: ({ version, outcome, error, dry_run: dry }) => (error ? errorShown(error) : version ? `version ${version}, ${shown(outcome)}` : dry ? 'a dry run' : null) },
  { head: 'Acts', cell: (job) => jobActs(job, again) },
];

async function showJobs(dataset) {
  const ask = (cursor) => get(withQuery('/v1/jobs', { dataset, limit: JOBS_PAGE, cursor }));
  const again = () => look();
  const columns = jobColumns(dataset, again), rows = new Map();
  const [table, body] = tableOf('Newest first, as it goes on', columns);
  const wrong = el('div'), foot = el('div'), view = el('div', {}, wrong, table, foot);
  let timer;

  /** Only what has changed is drawn: a button that has the focus keeps it while nothing changes. */
  const draw = (job, add) => {
    const text = JSON.stringify(job), known = rows.get(job.job);
    if (known?.text === text) return;
    const next = cells(columns, job), row = known?.row ?? el('tr', { role: 'row' });
    const same = known && known.state === job.state && known.stops === job.cancel_requested;
    if (same) next.slice(0, -1).forEach((cell, i) => row.children[i].replaceWith(cell)); // what can be pressed stays
    else row.replaceChildren(...next);
    if (!known) add(row);
    rows.set(job.job, { row, text, state: job.state, stops: job.cancel_requested });
  };
  const more = ({ items, next }) => {
    items.forEach((job) => draw(job, (row) => body.append(row)));
    return next ? button('More', () => fill(foot, async () => more(await ask(next)))) : el('p', { class: 'dim' }, rows.size ? 'That is all.' : 'There is no job.');
  };
  const look = async () => {
    let wait = JOBS_IDLE_MS;
    clearTimeout(timer);
    try {
      const { items } = document.hidden ? { items: [] } : await ask(null);
      [...items].reverse().forEach((job) => draw(job, (row) => body.prepend(row)));
      if (items.some(isActive) || document.hidden) wait = JOBS_BUSY_MS;
      wrong.replaceChildren();
    } catch (error) {
      wrong.replaceChildren(problemBox(error));
      if (error.retryAfter) wait = Math.max(wait, 1000 * Number(error.retryAfter));
    }
    clearTimeout(timer);
    timer = setTimeout(() => { if (view.isConnected) look(); }, wait);
  };
  const first = await ask(null);
  foot.append(more(first));
  timer = setTimeout(() => { if (view.isConnected) look(); }, first.items.some(isActive) ? JOBS_BUSY_MS : JOBS_IDLE_MS);
  return view;
}
