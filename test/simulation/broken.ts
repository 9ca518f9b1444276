import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StoreLibrary } from './compare.js'
import type { Subject, Weather } from './simulate.js'
import type { Library } from './stage.js'

const DIST = fileURLToPath(new URL('../../dist', import.meta.url))

/** The core with one fault: a text of a built file, and what stands there instead. */
export interface Broken {
  /** What is wrong with it. */
  readonly fault: string
  /** A file of dist. */
  readonly file: string
  readonly from: string
  readonly to: string
  /** In whose simulation it shows; default: that of locks. */
  readonly subject?: Subject
  /** In which weather it shows; default: the wild one. */
  readonly weather?: Weather
  /** A part of what the simulation says of it. */
  readonly shows: RegExp
}

const LEASE = 'lock/holding/lease.js'
const ATTEMPT = 'lock/waiting/attempt.js'
const LOCKER = 'lock/locker.js'
const ROOM = 'lock/waiting/room.js'
const RUNS = 'job/running/runs.js'

const STORE = 'backends/memory/store.js'
const STORED = 'backends/memory/locks.js'

/** The memory backend with one fault, which comparing it with the specification has to find. */
export const brokenStores: readonly Omit<Broken, 'subject' | 'weather' | 'shows'>[] = [
  {
    fault: 'a release removes whoever holds the lock, without asking who that is',
    file: STORE,
    from: 'this.#locks.expire(lock);\n        const held = lock.holders.has(owner);',
    to: 'this.#locks.expire(lock);\n        owner = lock.holders.has(owner) ? owner : ([...lock.holders.keys()][0] ?? owner);\n        const held = lock.holders.has(owner);',
  },
  {
    fault: 'a renewal sets the lock, whoever holds it',
    file: STORE,
    from: "return mine === undefined\n            ? { status: 'lost' }",
    to: "return mine === undefined\n            ? { status: 'held', fence: this.#locks.hold(lock, { name, owner, mode: 'exclusive', limit: null, meta: null }, ttlMs).fence }",
  },
  {
    fault: 'a lock that is free is given to who comes, although others wait',
    file: STORE,
    from: 'if (lock.queue.size === 0 && (0, lock_js_1.fits)(lock, claim))',
    to: 'if ((0, lock_js_1.fits)(lock, claim))',
  },
  {
    fault: 'a lease never runs out',
    file: STORED,
    from: 'if (held.expiresAtMs <= now) {',
    to: 'if (false) {',
  },
  {
    fault: 'a grant that is pushed stands for the whole ttl of its claim',
    file: STORED,
    from: 'own ? ttlMs : Math.min(GRANT_MS, ttlMs ?? GRANT_MS)',
    to: 'ttlMs',
  },
  {
    fault: 'fences are counted anew when a lock was free',
    file: STORED,
    from: 'this.#lastFence = Math.max(this.#lastFence + 1, now * 1000);',
    to: 'this.#lastFence = lock.holders.size + 1;',
  },
  {
    fault: 'a claim of a client that is gone is still granted',
    file: STORED,
    from: 'return this.#listeners.has(client) && silentMs <= ALIVE_MS;',
    to: 'return true;',
  },
]

export const broken: readonly Broken[] = [
  {
    fault: 'a lease counts as valid 400 ms too long',
    file: LEASE,
    from: 'return Math.min(ttlMs * 0.01 + 2, ttlMs / 2);',
    to: 'return -400;',
    shows: /counts on/,
  },
  {
    fault: 'no part of a lease is set aside for clocks of different speeds',
    file: LEASE,
    from: 'return Math.min(ttlMs * 0.01 + 2, ttlMs / 2);',
    to: 'return 0;',
    shows: /counts on/,
  },
  {
    fault: 'a deadline goes by the wall clock alone',
    file: 'internal/clock.js',
    from: 'return Math.max(clock.monotonicMs() - since.monotonicMs, clock.wallMs() - since.wallMs);',
    to: 'return clock.wallMs() - since.wallMs;',
    shows: /counts on|did not fire|things happened/,
  },
  {
    fault: 'a deadline goes by the monotonic clock alone, which stands still while the machine sleeps',
    file: 'internal/clock.js',
    from: 'return Math.max(clock.monotonicMs() - since.monotonicMs, clock.wallMs() - since.wallMs);',
    to: 'return clock.monotonicMs() - since.monotonicMs;',
    shows: /counts on/,
  },
  {
    fault: 'a renewed lease counts from its answer, and not from its request',
    file: LEASE,
    from: 'this.#provenAt = sentAt;',
    to: 'this.#provenAt = { monotonicMs: this.#host.clock.monotonicMs(), wallMs: this.#host.clock.wallMs() };',
    shows: /counts on/,
  },
  {
    fault: 'a grant that was on its way for longer than the lease lasts is taken',
    file: ATTEMPT,
    from: 'return tookMs >= ttlMs - (0, lease_js_1.driftMs)(ttlMs);',
    to: 'return false;',
    shows: /that has run out|did not fire|no record/,
  },
  {
    fault: 'a pushed grant is taken without asking whether it still stands',
    file: LOCKER,
    from: 'this.waiting.grant(standing);',
    to: 'standing.handed(claim.fence, Object.assign({ answeredAtMs: this.clock.monotonicMs(), tookMs: 0 }, { monotonicMs: this.clock.monotonicMs(), wallMs: this.clock.wallMs() }));',
    shows: /counts on|fence/,
  },
  {
    fault: 'who gives up waiting leaves its claim in the queue',
    file: ATTEMPT,
    from: 'this.#leaving = this.#host.dequeue(this);\n        this.#withdraw(UNHEARD);',
    to: 'this.#withdraw(UNHEARD);',
    weather: 'calm',
    shows: /nobody knows of it/,
  },
  {
    fault: 'nobody asks again for a claim whose push was lost',
    file: ROOM,
    from: 'queue.plan(this.#delay(retryAfterMs), this.#beat);',
    to: '',
    shows: /did not end/,
  },
  {
    fault: 'a lease whose time is up is not ended',
    file: 'lock/holding/renewal.js',
    from: 'if (!lease.valid)\n                continue;',
    to: '',
    shows: /did not fire|things happened/,
  },
  {
    fault: 'a renewal that was denied is not heard',
    file: LEASE,
    from: "if (fence !== this.fence || this.#state !== 'held')\n            return;",
    to: 'return;',
    weather: 'calm',
    shows: /has not learned/,
  },
  {
    fault: 'a lease is never renewed',
    file: 'lock/holding/renewal.js',
    from: 'this.#host.collector.add(step, null, false, new Renewal(this, lease, asker));',
    to: 'if (asker !== null) this.#host.collector.add(step, null, false, new Renewal(this, lease, asker));',
    weather: 'calm',
    shows: /nothing was wrong/,
  },
  {
    fault: 'a release that failed is not sent again',
    file: 'lock/holding/releases.js',
    from: "this.#host.collector.add({ kind: 'release', name, owner, result }, lock, true, new LeaseRelease(this, lease));",
    to: "this.#host.collector.add({ kind: 'release', name, owner, result }, lock, false, new LeaseRelease(this, lease));",
    weather: 'lossy',
    shows: /nobody knows of it/,
  },
  {
    fault: 'a claim that was given up counts as taken back as soon as that is sent',
    file: 'lock/holding/releases.js',
    from: 'const pending = this.#host.collector.add(step, this.#host.locks.at(name), true, listener);',
    to: 'const pending = this.#host.collector.add(step, null, false, listener);',
    weather: 'lossy',
    shows: /nobody knows of it/,
  },
  {
    fault: 'a lease that ran out is taken again under its old fence',
    file: LEASE,
    from: "this.#state = 'held';\n        this.fence = fence;",
    to: "this.#state = 'held';",
    shows: /was told/,
  },
  {
    fault: 'a process that was closed keeps its timers',
    file: LOCKER,
    from: 'standing.timer.cancel();\n        await',
    to: '{}\n        await',
    shows: /timers after close/,
  },
  {
    fault: 'who relied on a run whose place was taken is told of that run',
    subject: 'jobs',
    file: RUNS,
    from: `if (fate.status === 'displaced')
            return await this.end(trigger, fate.by);`,
    to: `if (fate.status === 'displaced')
            return { status: 'ended', settled: { ok: true, value: { run: id } } };`,
    weather: 'calm',
    shows: /which never ran/,
  },
  {
    fault: 'a run that another took the place of, before it began, runs all the same',
    subject: 'jobs',
    file: 'job/running/pending.js',
    from: `if (answer.status === 'displaced')
            return answer;`,
    to: `if (answer.status === 'displaced')
            return { status: 'begun', hold, notes: null };`,
    shows: /counts on its lock|started with fence/,
  },
  {
    fault: 'a trigger whose run was displaced while its answer was lost is not told so, and asks again and again',
    subject: 'jobs',
    weather: 'lossy',
    file: ATTEMPT,
    from: "if (answer.status === 'displaced') {",
    to: 'if (false) {',
    shows: /did not end/,
  },
  {
    fault: 'of two triggers that one run covers the one is forgotten',
    subject: 'jobs',
    weather: 'calm',
    file: 'job/asking/triggers.js',
    from: 'return { outcome: besides, settled: this.#covered(each, id, strategy), waits: true, own: false };',
    to: 'return { outcome: besides, settled: new Promise(() => {}), waits: true, own: false };',
    shows: /did not end/,
  },
  {
    fault: 'a trigger relies on the run that executes, and not on one that starts after it',
    subject: 'jobs',
    weather: 'calm',
    file: 'internal/job-decision.js',
    from: "return adds ? { running: 'follow', pending: 'follow' } : { running: 'displace', pending: 'displace' };",
    to: "return adds ? { running: 'follow', pending: 'follow' } : { running: 'meet', pending: 'displace' };",
    shows: /had started before it came/,
  },
  {
    fault: 'a handler is called although the lease was lost',
    subject: 'jobs',
    file: 'job/running/run.js',
    from: `this.#assertValid();
        const args = this.#arguments();
        for (let attempt = 1;; attempt += 1) {
            this.#assertValid();`,
    to: `const args = this.#arguments();
        for (let attempt = 1;; attempt += 1) {`,
    shows: /signal that had fired|with fence|begun twice/,
  },
  {
    fault: 'who joined a run that died is told that it succeeded',
    subject: 'jobs',
    file: RUNS,
    from: "await this.end(trigger, ending.by) : { status: 'gone', id };",
    to: "await this.end(trigger, ending.by) : { status: 'ended', settled: { ok: true, value: { run: id } } };",
    shows: /which never ran|times in|had started before/,
  },
  {
    fault: 'a run begins without the arguments that were left with it, since they were lost with its place',
    subject: 'jobs',
    file: RUNS,
    from: 'if (merge !== null && notes !== null && !notes.some(({ owner }) => owner === claim.id)) {',
    to: 'if (false) {',
    shows: /are 0 times in|Reduce of empty array/,
  },
  {
    fault: 'of triggers that go together only the arguments of the first are carried',
    subject: 'jobs',
    weather: 'calm',
    file: 'job/asking/asking.js',
    from: '(0, merge_js_1.noteOf)(triggers.map(entryOf))',
    to: '(0, merge_js_1.noteOf)(triggers.slice(0, 1).map(entryOf))',
    shows: /are 0 times in/,
  },
  {
    fault: 'what was left with a run is folded twice',
    subject: 'jobs',
    weather: 'calm',
    file: 'job/merge.js',
    from: 'return [...new Map(notes.flatMap(note => JSON.parse(note))).values()];',
    to: 'return [...notes, ...notes].flatMap(note => JSON.parse(note)).map(([, args]) => args);',
    shows: /are 2 times in/,
  },
  {
    fault: 'arguments are folded from the last to the first',
    subject: 'jobs',
    weather: 'calm',
    file: 'job/merge.js',
    from: 'return all.reduce((pending, newest) => {',
    to: 'return all.reduceRight((pending, newest) => {',
    shows: /comes after/,
  },
  {
    fault: 'a run is begun twice',
    subject: 'jobs',
    weather: 'calm',
    file: 'job/asking/triggers.js',
    from: 'const local = this.#runs.start({ claim, triggers: carrying, begins: pending });',
    to: 'this.#runs.start({ claim, triggers: carrying, begins: pending });\n        const local = this.#runs.start({ claim, triggers: carrying, begins: pending });',
    shows: /begun twice/,
  },
  {
    fault: 'a trigger that starts anew keeps its id when the answer to that is lost',
    subject: 'jobs',
    file: 'job/asking/asking.js',
    from: 'const id = this.#locker.newOwner();\n            const claim',
    to: 'const id = (trigger.kept ??= this.#locker.newOwner());\n            const claim',
    shows: /are 0 times in|begun twice|did not end/,
  },
  {
    fault: 'a trigger whose grant was lost before its answer came is sent once more under the same id',
    subject: 'jobs',
    file: ATTEMPT,
    from: "if (answer.status === 'lost' && this.#triggers && (0, request_js_1.mayBePending)(this.#request)) {",
    to: 'if (false) {',
    shows: /are 0 times in/,
  },
]

/** A copy of the built library with that fault. */
export async function load({ fault, file, from, to }: Pick<Broken, 'fault' | 'file' | 'from' | 'to'>): Promise<{
  library: Library & StoreLibrary
  dispose(): Promise<void>
}> {
  const folder = await mkdtemp(join(tmpdir(), 'soloist-broken-'))
  await cp(DIST, folder, { recursive: true })
  const { path, text, before, after } = await partOf(folder, file)
  if (text.split(from).length !== 2) {
    await rm(folder, { recursive: true })
    throw new Error(
      `"${fault}" changes a text that dist/${file} has ${text.split(from).length - 1} times, and not once`,
    )
  }
  await writeFile(path, before + text.replace(from, () => to) + after)
  const require = createRequire(import.meta.url)
  const library: Library & StoreLibrary = require(join(folder, 'index.js'))
  return { library, dispose: () => rm(folder, { recursive: true }) }
}

/** Where the text of a built file stands: in that file, or with others in the one that the build makes of them. */
async function partOf(folder: string, file: string) {
  const core = join(folder, 'core.js')
  const all = await readFile(core, 'utf8')
  const start = all.indexOf(`modules['dist/${file}'] = `)
  if (start < 0) {
    const path = join(folder, file)
    return { path, before: '', text: await readFile(path, 'utf8'), after: '' }
  }
  const end = all.indexOf('\nreturn exports\n', start)
  return { path: core, before: all.slice(0, start), text: all.slice(start, end), after: all.slice(end) }
}
