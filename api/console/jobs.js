// Jobs, newest first, with their progress while they run: the newest are asked for again and again while they are
// shown, and those further down that have not ended, each for itself.

const JOB_TONES = { succeeded: 'good', held: 'warn', failed: 'bad', canceled: 'dim' };
const JOBS_BUSY_MS = 1000, JOBS_IDLE_MS = 3000, JOBS_PAGE = 50, JOBS_FOLLOWED = 20; // further down, at a time: by turns
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
  }), () => again(job));
}

const jobColumns = (dataset, again) => [
  { head: 'Job', cell: ({ job }) => job },
  ...(dataset ? [] : [{ head: 'Dataset', cell: (job) => el('a', { href: datasetHref(job.dataset, 'jobs') }, job.dataset) }]),
  { head: 'State', whole: true, cell: ({ state, cancel_requested: stops }) => toned(stops ? `${state}, to be canceled` : state, JOB_TONES[state] ?? 'warn') },
  { head: 'Progress', cell: progressCell },
  { head: 'Asked for', cell: ({ created_at: at, actor }) => [moment(at), ` by ${actor}`] },
  { head: 'Attempt', number: true, cell: ({ attempt }) => attempt },
  { head: 'Came to', cell: ({ version, outcome, error, dry_run: dry }) => (error ? errorShown(error) : version ? `version ${version}, ${shown(outcome)}` : dry ? 'a dry run' : null) },
  { head: 'Acts', cell: (job) => jobActs(job, again) },
];

async function showJobs(dataset) {
  const ask = (cursor) => get(withQuery('/v1/jobs', { dataset, limit: JOBS_PAGE, cursor }));
  const columns = jobColumns(dataset, (job) => look(job)), rows = new Map();
  const [table, body] = tableOf('Newest first, as it goes on', columns);
  const wrong = el('div'), foot = el('div'), view = el('div', {}, wrong, table, foot);
  let timer, looks = 0;

  /** Only what has changed is drawn: a button that has the focus keeps it while nothing changes. */
  const draw = (job, add) => {
    const text = JSON.stringify(job), known = rows.get(job.job), row = known?.row ?? el('tr', { role: 'row' });
    rows.set(job.job, { row, text, job, looked: looks });
    if (known?.text === text) return;
    const next = cells(columns, job);
    const same = known && known.job.state === job.state && known.job.cancel_requested === job.cancel_requested;
    if (same) next.slice(0, -1).forEach((cell, i) => row.children[i].replaceWith(cell)); // what can be pressed stays
    else row.replaceChildren(...next);
    if (!known) add(row);
  };
  const more = ({ items, next }) => {
    items.forEach((job) => draw(job, (row) => body.append(row)));
    return next ? button('More', () => fill(foot, async () => more(await ask(next)))) : el('p', { class: 'dim' }, rows.size ? 'That is all.' : 'There is no job.');
  };
  const anyActive = () => [...rows.values()].some(({ job }) => isActive(job));
  /** What the newest page does not have: what has not ended, and what somebody did something with just now. */
  const followFurther = async (done) => {
    const further = [...rows.values()].filter(({ job, looked }) => looked < looks && (isActive(job) || job.job === done));
    further.sort((a, b) => (b.job.job === done) - (a.job.job === done) || a.looked - b.looked);
    for (const row of further.slice(0, JOBS_FOLLOWED)) {
      row.looked = looks; // also one that cannot be read any more: the others have their turn
      draw(await get(pathOf('jobs', row.job.job)));
    }
  };
  const look = async (done = null) => {
    let wait = JOBS_IDLE_MS;
    clearTimeout(timer);
    try {
      if (!document.hidden) {
        const { items } = await ask(null);
        looks += 1;
        [...items].reverse().forEach((job) => draw(job, (row) => body.prepend(row)));
        await followFurther(done);
      }
      if (anyActive() || document.hidden) wait = JOBS_BUSY_MS;
      wrong.replaceChildren();
    } catch (error) {
      wrong.replaceChildren(problemBox(error));
      if (error.retryAfter) wait = Math.max(wait, 1000 * Number(error.retryAfter));
    }
    clearTimeout(timer);
    timer = setTimeout(() => { if (view.isConnected) look(); }, wait);
  };
  foot.append(more(await ask(null)));
  timer = setTimeout(() => { if (view.isConnected) look(); }, anyActive() ? JOBS_BUSY_MS : JOBS_IDLE_MS);
  return view;
}
