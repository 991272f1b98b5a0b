// A real browser without a window, driven by what is written on the page, as a person would. It is spoken to
// over a pipe, in the DevTools protocol.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { start, tempDir, until } from './process.mjs';

const PROGRAMS = ['chromium-headless-shell', 'chromium'];
const ORIGIN = /^https?:\/\/[^/]+/;

function browserPath() {
  for (const name of PROGRAMS)
    for (const directory of process.env.PATH.split(delimiter))
      try {
        accessSync(join(directory, name), constants.X_OK);
        return join(directory, name);
      } catch { /* not there */ }
  throw new Error(`none of ${PROGRAMS.join(', ')} is installed: run deploy/setup --test`);
}

export class Browser {
  constructor() {
    this.process = start(browserPath(), ['--headless', '--remote-debugging-pipe', '--no-first-run', '--disable-gpu',
      '--disable-dev-shm-usage', '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
      `--user-data-dir=${tempDir('browser')}`, ...(process.getuid() === 0 ? ['--no-sandbox'] : [])], { fds: ['pipe', 'pipe'] });
    [, , , this.to, this.from] = this.process.child.stdio;
    this.sent = 0;
    this.waiting = new Map();
    this.pages = new Map();
    let rest = '';
    this.to.on('error', () => {});
    this.from.setEncoding('utf8').on('data', (text) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop();
      for (const message of messages) this.take(JSON.parse(message));
    });
    this.process.ended.then(() => {
      for (const { reject } of this.waiting.values()) reject(new Error(`the browser ended: ${this.process.stderr}`));
    });
  }

  take({ id, sessionId, method, params, result, error }) {
    if (id === undefined) return this.pages.get(sessionId)?.take(method, params);
    const { resolve, reject, what } = this.waiting.get(id);
    this.waiting.delete(id);
    return error ? reject(new Error(`${what}: ${error.message}`)) : resolve(result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.sent;
    this.to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject, what: method }); });
  }

  /** A page with cookies and storage of its own. */
  async page() {
    const { browserContextId } = await this.send('Target.createBrowserContext');
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId, browserContextId);
    this.pages.set(sessionId, page);
    for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await page.send(`${domain}.enable`);
    return page;
  }

  async close() {
    if (!this.process.exited) await this.send('Browser.close').catch(() => {});
    await this.process.ended;
  }
}

/** In the page: the one visible element of the selector with that text, or of that label. */
function find(selector, text) {
  const scope = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document;
  const said = (element) => (element.labels?.[0] ?? element).textContent.trim();
  const found = [...scope.querySelectorAll(selector)].filter((element) =>
    (said(element) === text || element.getAttribute('aria-label') === text) && element.checkVisibility());
  if (found.length !== 1) throw new Error(`${found.length} of ${selector} say "${text}": ${scope.textContent}`);
  return found[0];
}

class Page {
  constructor(browser, sessionId, context) {
    Object.assign(this, { browser, sessionId, context, requests: [], complaints: [] });
  }

  send(method, params) { return this.browser.send(method, params, this.sessionId); }

  take(method, params) {
    if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') this.complaints.push(JSON.stringify(params.args));
    // What the server refused is told as an error of the network, too.
    if (method === 'Log.entryAdded' && params.entry.source !== 'network') this.complaints.push(params.entry.text);
  }

  /** Runs the function in the page. */
  async run(fn, ...args) {
    const expression = `${find}\n(${fn})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async go(url) {
    await this.send('Page.navigate', { url });
    await until(`${url} is there`, () => this.run((wanted) => document.readyState === 'complete' && location.href === wanted, url));
  }

  /** Presses what has that text, when it is in sight, nothing lies over it, and nothing is still being drawn. */
  press(text) {
    return this.waitFor(`"${text}" can be pressed`, (wanted) => {
      try {
        const element = find('a, button, summary', wanted);
        element.scrollIntoView({ block: 'center', behavior: 'instant' });
        const { left, top, width, height } = element.getBoundingClientRect();
        const seen = element.contains(document.elementFromPoint(left + width / 2, top + height / 2));
        if (!seen || element.disabled || document.querySelector('[aria-busy]')) return false;
        element.click(); // by mouse it could be drawn anew between down and up
        return true;
      } catch { return false; }
    }, text);
  }

  /** Types into the control of that label, instead of what it holds. */
  type(label, text) {
    return this.waitFor(`${label} takes "${text}"`, async (wanted, value) => {
      try {
        const control = find('input, textarea', wanted);
        control.focus();
        control.select();
        document.execCommand('insertText', false, value);
        return control.value.trim() === value.trim() && document.activeElement === control;
      } catch { return false; }
    }, label, text);
  }

  /** Chooses of the list with that label what has that value. */
  choose(label, value) {
    return this.run((wanted, chosen) => {
      const list = find('select', wanted);
      list.value = chosen;
      list.dispatchEvent(new Event('change', { bubbles: true }));
    }, label, value);
  }

  async key(key, code = key) {
    const text = key === 'Enter' ? '\r' : undefined, virtual = { Enter: 13, Tab: 9, Escape: 27 }[key];
    for (const type of ['keyDown', 'keyUp'])
      await this.send('Input.dispatchKeyEvent', { type, key, code, text, windowsVirtualKeyCode: virtual });
  }

  /** What a person sees, a dialog's alone while there is one. */
  text() { return this.run(() => ([...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body).innerText); }

  waitFor(what, fn, ...args) {
    return until(what, () => this.run(fn, ...args)).catch(async (error) => { throw new Error(`${error.message}\n${await this.text()}`); });
  }

  /** Waits until a person sees all of that. */
  async sees(...texts) {
    let seen;
    const all = async () => { seen = await this.text(); return texts.every((text) => seen.includes(text)); };
    await until(`the page says ${texts.join(', ')}`, all).catch((error) => { throw new Error(`${error.message}\n${seen}`); });
    return seen;
  }

  /** What was asked for beside that origin. */
  elsewhere(origin) { return this.requests.filter((url) => ORIGIN.exec(url)?.[0] !== origin && !url.startsWith('data:') && url !== 'about:blank'); }

  /** Sees the page as on such a screen. */
  async screen({ width = 1280, height = 900, dark = false } = {}) {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
  }

  /** What the page downloads is saved in that directory. */
  saveTo(downloadPath) { return this.browser.send('Browser.setDownloadBehavior', { behavior: 'allow', browserContextId: this.context, downloadPath }); }

}
