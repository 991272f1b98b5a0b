// The event log of one dataset, and what it says was so at each moment. Times are milliseconds since 1970.
import assert from 'node:assert/strict';

/** Date.parse leaves out what is below a millisecond. */
const timeMs = (text) => Date.parse(`${text.slice(0, 23)}Z`) + Number(text.slice(23, -1)) / 1000;

/** What each event does with its version: the states it may come from, and the one it goes to. */
const MOVES = {
  started: { from: [undefined], to: 'IN_PROGRESS' },
  flipped: { from: ['IN_PROGRESS'], to: 'SUCCEEDED', flips: true },
  succeeded: { from: ['IN_PROGRESS'], to: 'SUCCEEDED' },
  held: { from: ['IN_PROGRESS'], to: 'HELD' },
  failed: { from: ['IN_PROGRESS'], to: 'FAILED' },
  promoted: { from: ['SUCCEEDED', 'HELD', 'QUARANTINED'], to: 'SUCCEEDED', flips: true },
  rolled_back: { from: ['SUCCEEDED'], to: 'QUARANTINED', flips: true },
  retired: { from: ['SUCCEEDED', 'HELD', 'QUARANTINED'], to: 'RETIRED' },
};

export class EventLog {
  /** `events` of GET .../events, oldest first. Version 0 is none. */
  constructor(events) {
    this.events = events.map((event) => ({ ...event, at: timeMs(event.time), from: event.from ?? 0, to: event.to ?? 0 }));
    this.turns = []; /* the pointer came to `version` at `at`, with event `sequence`, and left at `until` */
    this.states = new Map(); /* version -> [{state, at, until}] */
    for (const event of this.events) {
      if (event.to !== event.from) {
        if (this.turns.length) this.turns.at(-1).until = event.at;
        this.turns.push({ version: event.to, sequence: event.sequence, at: event.at, until: Infinity });
      }
      if (!MOVES[event.event]) continue;
      if (!this.states.has(event.version)) this.states.set(event.version, []);
      const states = this.states.get(event.version);
      if (states.length) states.at(-1).until = event.at;
      states.push({ state: MOVES[event.event].to, at: event.at, until: Infinity });
    }
  }

  /** The states that a version had between two moments; undefined: there was none. */
  statesWithin(version, from, to) {
    const states = this.states.get(version) ?? [];
    const within = states.filter((one) => one.at <= to && one.until >= from).map((one) => one.state);
    return !states.length || states[0].at > from ? [undefined, ...within] : within;
  }

  /** The place in `turns` of what was current after event `sequence`; -1: nothing. */
  turnOf(sequence) {
    return this.turns.findLastIndex((turn) => turn.sequence <= sequence);
  }

  /** What is wrong with the log itself. */
  faults() {
    const found = [];
    const states = new Map();
    let last = { sequence: 0, at: -Infinity, to: 0 };
    for (const event of this.events) {
      const name = `event ${event.sequence} (${event.event} ${event.version})`;
      const say = (text) => found.push({ at: event.at, text: `${name} ${text}` });
      const move = MOVES[event.event];
      const state = states.get(event.version);
      if (event.sequence !== last.sequence + 1) say(`follows event ${last.sequence}`);
      if (!(event.at > last.at)) say('is not later than the one before');
      if (event.from !== last.to) say(`leaves version ${event.from}, but ${last.to} was current`);
      if (move && !move.from.includes(state)) say(`found the version ${state}`);
      if (move?.flips ? event.from === event.to : event.from !== event.to) say(`went from ${event.from} to ${event.to}`);
      if (event.event === 'rolled_back' ? event.version !== event.from : move?.flips && event.version !== event.to)
        say(`went from ${event.from} to ${event.to}`);
      if (event.event === 'rolled_back' && states.get(event.to) !== 'SUCCEEDED') say(`went to a version that is ${states.get(event.to)}`);
      if (event.event === 'retired' && event.version === event.to) say('took the current version');
      if (move) states.set(event.version, move.to);
      last = event;
    }
    return found;
  }

  /** The events around a moment, for people. */
  around(at, count = 4) {
    const next = this.events.findIndex((event) => event.at > at);
    const middle = next < 0 ? this.events.length : next;
    return this.events.slice(Math.max(0, middle - count), middle + count)
      .map(({ sequence, event, version, from, to, time }) => `${time} ${sequence} ${event} ${version}: ${from} -> ${to}`);
  }
}

/** All events of a dataset, as this server tells them. */
export async function readLog(server, dataset, token) {
  const events = [];
  for (let cursor = ''; cursor !== null;) {
    const reply = await server.get(`/v1/datasets/${dataset}/events?limit=200${cursor && `&cursor=${cursor}`}`, token);
    assert.equal(reply.status, 200, reply.text);
    events.push(...reply.json.items);
    cursor = reply.json.next;
  }
  return new EventLog(events.reverse());
}
