// The server's own state, which needs no token.

const SERVER_MS = 10_000;
const SERVER_STATES = { ok: ['ready', 'good'], not_ready: ['not ready', 'bad'], stopping: ['stopping', 'warn'] };

/** What /readyz tells, whatever its status. */
async function health() {
  const reply = await fetch('/readyz?verbose=true', { cache: 'no-store', credentials: 'omit' });
  return reply.status === 404 ? { elsewhere: true } : reply.json();
}

const isTrouble = ([name, value]) => name !== 'jwks_sources' && (typeof value === 'number' ? value > 0 : value !== 'ok');

function healthShown({ status, reasons = {}, elsewhere, ...rest }) {
  const entries = Object.entries(rest).filter(([, value]) => ['number', 'string'].includes(typeof value));
  const troubles = entries.filter(isTrouble).length;
  if (elsewhere) return ['its state is told elsewhere', 'dim', el('p', {}, 'The probes have an address of their own.')];
  const [text, tone] = SERVER_STATES[status] ?? ['does not say', 'warn'];
  return [troubles && tone === 'good' ? `${text}, with trouble` : text, troubles && tone === 'good' ? 'warn' : tone,
          pairs([...entries, ...Object.entries(reasons)].map(([name, value]) => [name.replaceAll('_', ' '), value]))];
}

async function showServer() {
  const state = byId('server-state');
  let shownAs;
  try {
    shownAs = healthShown(await health());
  } catch {
    shownAs = ['cannot be reached', 'bad', el('p', {}, 'There was no answer, or none that tells a state.')];
  }
  [state.textContent, state.className] = shownAs;
  byId('server-more').replaceChildren(shownAs[2]);
}

setInterval(() => { if (!document.hidden) showServer(); }, SERVER_MS);
