import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, type Soloist } from 'soloist'
import { expect, vi } from 'vitest'
import { type RedisProxy, startProxy } from '../support/proxy.js'

const SCRIPT = fileURLToPath(new URL('children/candidate.js', import.meta.url))
/** How long a change may take before the test gives up. */
const PATIENCE_MS = 30_000

/** What ends a term, by the test's hand. */
export type Cause = 'resign' | 'ask' | 'kill' | 'stop' | 'block' | 'partition'

/** One change of leader. */
export interface Change {
  readonly cause: Cause
  readonly fence: number
  /** From the moment the cause was set until the next candidate knew that it leads. */
  readonly tookMs: number
  /** From then until the leader before knew that it leads no more; `null`: it has not said so. */
  readonly heardMs: number | null
}

/** The moments in which a term was valid for sure. */
export interface Span {
  readonly fence: number
  readonly fromMs: number
  readonly untilMs: number
}

interface Elected {
  readonly candidate: Candidate
  readonly fence: number
  readonly atMs: number
}

/** Milliseconds of the monotonic clock, which all processes of this machine share. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

class Candidate {
  /** The last it said. */
  readonly said: string[] = []
  readonly process: ChildProcessWithoutNullStreams
  readonly proxy: RedisProxy | null

  constructor(process: ChildProcessWithoutNullStreams, proxy: RedisProxy | null) {
    this.process = process
    this.proxy = proxy
  }

  tell(command: string): void {
    this.process.stdin.write(`${command}\n`)
  }
}

/** Candidates in processes of their own, whose leaders are ended in turn. */
export class Fleet implements AsyncDisposable {
  readonly changes: Change[] = []
  readonly #url: string
  readonly #redisPort: number | null
  readonly #ttlMs: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'soloist-leader-'))
  readonly #candidates = new Set<Candidate>()
  /** No candidate: it asks leaders to resign. */
  readonly #solo: Soloist
  #leader: Elected | null = null
  /** When each term was over, by those who led. */
  readonly #over = new Map<number, number>()
  #onElected: () => void = () => {}

  constructor(store: { readonly url: string; readonly redisPort: number | null }, ttlMs: number) {
    this.#url = store.url
    this.#redisPort = store.redisPort
    this.#ttlMs = ttlMs
    this.#solo = connect(store.url)
  }

  async start(): Promise<void> {
    const proxy = this.#redisPort === null ? null : await startProxy(this.#redisPort)
    const file = join(this.#folder, `${this.#candidates.size}-${nowMs()}.jsonl`)
    const child = spawn(process.execPath, [SCRIPT, proxy?.url ?? this.#url, String(this.#ttlMs), file])
    child.stderr.pipe(process.stderr)
    // A process that was killed takes no commands.
    child.stdin.on('error', () => {})
    const candidate = new Candidate(child, proxy)
    this.#candidates.add(candidate)
    const ready = new Promise<void>(resolve => {
      createInterface({ input: child.stdout }).on('line', line => {
        candidate.said.push(line)
        const { event, fence, atMs } = JSON.parse(line)
        if (event === 'ready') resolve()
        if (event === 'lost') this.#over.set(fence, atMs)
        if (event !== 'elected' || fence <= (this.#leader?.fence ?? 0)) return
        this.#leader = { candidate, fence, atMs }
        this.#onElected()
      })
    })
    await ready
    // So that what is measured is no first connection of who asks leaders to resign.
    await this.#solo.inspect('leader:main')
  }

  /** Ends the present term in this way, and waits for the next. */
  async end(cause: Cause): Promise<void> {
    const leader = this.#leader ?? (await this.#electedAfter(0))
    const { candidate, fence } = leader
    // So that the term is seen, and its renewals are at different points.
    await sleep(5 + Math.random() * 60)
    if (cause === 'ask') await this.#hears()
    const sinceMs = nowMs()
    const afterwards = await this.#cause(cause, candidate)
    const next = await this.#electedAfter(fence, cause)
    const overMs = this.#over.get(fence)
    const heardMs = overMs === undefined ? null : overMs - sinceMs
    this.changes.push({ cause, fence: next.fence, tookMs: next.atMs - sinceMs, heardMs })
    await afterwards()
  }

  /** The moments that the candidates wrote down, by term. */
  spans(): readonly Span[] {
    const byFence = new Map<number, { fromMs: number; untilMs: number }>()
    for (const file of readdirSync(this.#folder)) {
      const lines = readFileSync(join(this.#folder, file), 'utf8').split('\n')
      // The last line may have been cut off by a kill.
      for (const line of lines.filter(text => text.endsWith('}'))) {
        const { fence, earliest, latest } = JSON.parse(line)
        const span = byFence.get(fence) ?? { fromMs: latest, untilMs: earliest }
        byFence.set(fence, { fromMs: Math.min(span.fromMs, latest), untilMs: Math.max(span.untilMs, earliest) })
      }
    }
    return [...byFence].map(([fence, span]) => ({ fence, ...span })).sort((a, b) => a.fence - b.fence)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.#candidates) process.kill('SIGKILL')
    await Promise.all([this.#solo.close(), ...[...this.#candidates].map(({ proxy }) => proxy?.close())])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** @returns what is to be done once the next one leads */
  async #cause(cause: Cause, candidate: Candidate): Promise<() => Promise<void>> {
    const { process: child, proxy } = candidate
    switch (cause) {
      case 'resign':
        candidate.tell('resign')
        return async () => {}
      case 'ask':
        expect(await this.#solo.leader('main').requestResign()).toBe(true)
        return async () => {}
      case 'block':
        candidate.tell(`block ${2 * this.#ttlMs}`)
        return async () => {}
      case 'stop':
        // By itself, so never in the middle of a write to an SQLite file, which would keep all others from writing.
        candidate.tell('stop')
        return async () => void child.kill('SIGCONT')
      case 'partition':
        proxy?.blackhole()
        return async () => proxy?.heal()
      case 'kill': {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
        this.#candidates.delete(candidate)
        return async () => {
          await proxy?.close()
          await this.start()
        }
      }
    }
  }

  /** Waits until the leader can be asked to resign. */
  async #hears(): Promise<void> {
    const owner = async (name: string) => (await this.#solo.inspect(name))?.holders[0]?.owner
    // The tests run side by side, so there is no telling here which one this belongs to.
    await vi.waitFor(
      async () => expect(await owner('leader-stop:main')).toBe((await owner('leader:main')) ?? 'nobody'),
      { timeout: PATIENCE_MS },
    )
  }

  /** What the candidates said last, for a test that fails. */
  #story(): string {
    const lines = [...this.#candidates].map(({ process, said }) => `${process.pid}: ${said.slice(-6).join(' ')}`)
    return `${this.#leader?.candidate.process.pid} led\n${lines.join('\n')}`
  }

  async #electedAfter(fence: number, cause = 'start'): Promise<Elected> {
    const untilMs = nowMs() + PATIENCE_MS
    while (this.#leader === null || this.#leader.fence <= fence) {
      if (nowMs() > untilMs) throw new Error(`nobody was elected after ${cause}: ${this.#story()}`)
      await Promise.race([
        sleep(1_000),
        new Promise<void>(resolve => {
          this.#onElected = resolve
        }),
      ])
    }
    return this.#leader
  }
}
