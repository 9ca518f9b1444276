import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('children/instance.js', import.meta.url))
const CLOCK = fileURLToPath(new URL('children/shifted-clock.cjs', import.meta.url))
/** The clocks of the instances are this much ahead of the machine's. */
const OFFSETS_MS = [850, 425, 0]
/** How long an instance may take to be the one that runs a tick. */
const PATIENCE_MS = 30_000
/** At both ends, where some instances are up and others are not. */
const MARGIN_MS = 2_500

/** What an instance wrote down. */
export interface Line {
  readonly pid: number
  readonly event: 'begin' | 'end' | 'outcome' | 'came' | 'missed' | 'SIGKILL' | 'SIGSTOP'
  readonly tick: number
  readonly fence: number
  readonly status?: string
}

export interface FleetOptions {
  readonly url: string
  readonly scheduler: 'soloist' | 'node-cron' | 'own'
  readonly seconds: number
  /** How long one stays stopped. */
  readonly stoppedMs: number
  /** The options of the job. */
  readonly job?: object
}

/** What a fleet did. */
export interface Story {
  readonly lines: readonly Line[]
  /** Ticks that had to be run, by their time. */
  readonly ticks: readonly number[]
  /** Who ran each of them. */
  readonly runs: ReadonlyMap<number, readonly Line[]>
}

/**
 * Three instances whose clocks differ and whose event loops are blocked at random. The one that comes first to every tick is
 * killed in the middle of a run, and the next one is stopped in the middle of a run and goes on later.
 */
export async function runFleet({ url, scheduler, seconds, stoppedMs, job = {} }: FleetOptions): Promise<Story> {
  const folder = mkdtempSync(join(tmpdir(), 'soloist-cron-'))
  const instances = OFFSETS_MS.map((offsetMs, i) => {
    const args = [url, join(folder, `${i}.jsonl`), scheduler, '600', JSON.stringify(job)]
    const env = { ...process.env, CLOCK_OFFSET_MS: String(offsetMs) }
    const child = spawn(process.execPath, ['--require', CLOCK, SCRIPT, ...args], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    // One that was killed takes no commands.
    child.stdin.on('error', () => {})
    return { child, lines: createInterface({ input: child.stdout }) }
  })
  try {
    await Promise.all(instances.map(({ lines }) => once(lines, 'line')))
    const fromMs = Date.now() + MARGIN_MS
    const [first, second, third] = instances as [Instance, Instance, Instance]
    await sleep((seconds * 1_000) / 4)
    await told(first, 'kill')
    await sleep((seconds * 1_000) / 4)
    await told(second, 'stop')
    await sleep(stoppedMs)
    second.child.kill('SIGCONT')
    await sleep(Math.max(fromMs + seconds * 1_000 - MARGIN_MS - Date.now(), MARGIN_MS))
    const untilMs = Date.now() - MARGIN_MS
    const exits = [second, third].map(({ child }) => ended(child))
    // However late they are: each goes on until it has come to the last tick that is looked at.
    for (const { child } of [second, third]) child.stdin.write(`end ${untilMs}\n`)
    await Promise.all(exits)
    const everyMs = scheduler === 'soloist' ? 1_000 : 2_000
    return storyOf(linesIn(folder), Math.ceil(fromMs / everyMs) * everyMs, untilMs, everyMs)
  } finally {
    for (const { child } of instances) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

type Child = ChildProcessByStdio<Writable, Readable, null>

interface Instance {
  readonly child: Child
  readonly lines: ReturnType<typeof createInterface>
}

/** Has it do something in its next run, which need not come soon. Resolves when it says that it does. */
async function told({ child, lines }: Instance, command: string): Promise<void> {
  const said = once(lines, 'line', { signal: AbortSignal.timeout(PATIENCE_MS) })
  child.stdin.write(`${command}\n`)
  await said
}

async function ended(child: Child): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function linesIn(folder: string): readonly Line[] {
  const texts = readdirSync(folder).flatMap(file => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'))
  return texts.filter(Boolean).map(text => JSON.parse(text))
}

function storyOf(lines: readonly Line[], fromMs: number, untilMs: number, everyMs: number): Story {
  const ticks: number[] = []
  for (let tick = fromMs; tick <= untilMs; tick += everyMs) ticks.push(tick)
  const begun = lines.filter(({ event }) => event === 'begin')
  const runs = new Map(ticks.map(tick => [tick, begun.filter(line => line.tick === tick)]))
  return { lines, ticks, runs }
}
