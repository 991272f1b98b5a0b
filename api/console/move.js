// Rollback, promotion and retirement: first what will happen is shown, from which version to which, and what is sent names
// the head as it was shown, so that an operator who was overtaken is refused.

/** Opens a dialog of what `make` gives; it is closed by its button or the Escape key. */
function dialogOf(title, make, onclose = () => {}) {
  const place = el('div', {}, el('p', { class: 'dim' }, 'Looking …'));
  const dialog = el('dialog', { 'aria-labelledby': 'dialog-title' }, el('h2', { id: 'dialog-title' }, title), place,
                    el('div', { class: 'acts' }, button('Close', () => dialog.close())));
  dialog.addEventListener('close', () => { dialog.remove(); onclose(); });
  document.body.append(dialog);
  dialog.showModal();
  fill(place, () => make(dialog));
}

/** A form that does `act` once: {sentence, controls, verb, tone, act}; closes with what `act` says, or shows the problem. */
function actForm(dialog, { sentence, controls = [], verb, tone = 'main', act }) {
  const wrong = el('div');
  const confirm = el('button', { class: tone }, verb);
  const send = async (event) => {
    event.preventDefault();
    confirm.disabled = true;
    try {
      say(await act());
      dialog.close();
    } catch (error) {
      wrong.replaceChildren(problemBox(error));
      confirm.disabled = error.isOpen || error.status === 412; // what was shown is not what is there
    }
  };
  return el('form', { onsubmit: send }, el('div', { class: 'box' }, sentence), controls, wrong, el('div', { class: 'acts' }, confirm));
}

const reasonField = (reason) => el('div', {}, el('label', { for: 'reason' }, 'Reason, kept with the event'), reason);
const reasonInput = () => el('textarea', { id: 'reason', required: true, maxlength: 1000 });

/** The dataset and the tag of its head, as they are now. */
async function headNow(name) {
  const { value, reply } = await call('GET', pathOf('datasets', name));
  return { ...value, tag: reply.headers.get('etag') };
}

const served = ({ dataset, current, sequence }) => `${dataset} serves version ${current} (sequence ${sequence})`;
const builtText = ({ created_at: at, rows }) => `built ${at.slice(0, 16).replace('T', ' ')}, ${count(rows?.accepted)} records`;
const fromTo = (from, to) => el('p', {}, el('strong', { class: 'from-to' }, `version ${shown(from)} → version ${to}`));

function rollBackDialog(name) {
  dialogOf(`Roll ${name} back`, async (dialog) => {
    const head = await headNow(name), from = head.current;
    const { items } = await get(withQuery(pathOf('datasets', name, 'versions'), { limit: 1000 }));
    const targets = items.filter(({ state, current }) => state === 'SUCCEEDED' && !current);
    const sentence = el('div'), reason = reasonInput();
    if (!from || !targets.length) return el('p', {}, 'There is no version that it could go back to.');
    const target = el('select', { required: true, onchange: () => tell() },
      head.rollback_to === null ? el('option', { value: '' }, 'no version was served before it: choose one') : null,
      targets.map((row) => el('option', { value: row.version, selected: row.version === head.rollback_to },
                              `${row.version}, ${builtText(row)}${row.version === head.rollback_to ? ' (served before)' : ''}`)));
    const tell = () => target.value && sentence.replaceChildren(fromTo(from, target.value),
      el('p', {}, `Lookups are answered from version ${target.value} at once. Version ${from} is QUARANTINED: only a promotion serves it again.`));
    tell();
    return actForm(dialog, {
      sentence, controls: [field('target', 'Go back to', target), reasonField(reason)], verb: 'Roll back',
      act: async () => served(await post(pathOf('datasets', name, 'rollback'),
        { from, to: Number(target.value), reason: reason.value }, { 'if-match': head.tag })),
    });
  }, showAgain);
}

function promoteDialog(name, row) {
  dialogOf(`Promote version ${row.version} of ${name}`, async (dialog) => {
    const head = await headNow(name), reason = reasonInput();
    const sentence = [fromTo(head.current, row.version),
      el('p', {}, `Version ${row.version} is ${row.state}, ${builtText(row)}. Lookups are answered from it at once.`)];
    return actForm(dialog, {
      sentence, controls: [reasonField(reason)], verb: 'Promote',
      act: async () => served(await post(pathOf('datasets', name, 'versions', row.version, 'promote'),
        { reason: reason.value }, { 'if-match': head.tag })),
    });
  }, showAgain);
}

function retireDialog(name, row) {
  dialogOf(`Retire version ${row.version} of ${name}`, async (dialog) => {
    const head = await headNow(name), reason = reasonInput(), path = pathOf('datasets', name, 'versions', row.version);
    const sentence = el('p', {}, `Version ${row.version} of ${name} is ${row.state}, ${builtText(row)}. Its files are deleted, and nothing brings them back; the version's row stays.`);
    return actForm(dialog, {
      sentence, controls: [reasonField(reason)], verb: `Retire version ${row.version} of ${name}`, tone: 'danger',
      act: async () => {
        await call('DELETE', withQuery(path, { reason: reason.value }), { headers: { 'if-match': head.tag } });
        return `Version ${row.version} of ${name} is retired`;
      },
    });
  }, showAgain);
}
