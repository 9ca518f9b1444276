import { readFileSync, readlinkSync } from 'node:fs'
import process from 'node:process'

/** One process of one boot of one machine, so that another process there can prove that it has ended. */
export interface ProcessId {
  /** What process numbers and start times mean something in: the boot, and the namespaces of processes and of time. */
  readonly place: string
  readonly pid: number
  /** When it started, in the kernel's ticks since the boot. */
  readonly started: number
}

/** This process; `null` where nothing can be proven: without Linux' `/proc`, or with that of other processes. */
export const thisProcess: ProcessId | null = read()

/**
 * Whether this process has provably ended: none has its number, or another one that started at another time. `false` for
 * everything that cannot be known here: another machine or boot, another container, or a `/proc` that hides it.
 */
export function isGone({ place, pid, started }: ProcessId): boolean {
  if (thisProcess === null || place !== thisProcess.place || pid < 1) return false
  // Where other users' processes are hidden in `/proc`, this still tells them apart from none.
  if (!isThere(pid)) return true
  const now = stat(pid)
  return now !== null && (now.started !== started || now.ended)
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** `ended`: it is a zombie, which its parent has not asked about yet. */
function stat(pid: number | 'self'): { readonly started: number; readonly ended: boolean } | null {
  const text = orNull(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  // The name of the program stands in parentheses and may hold any of them.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, threads, started] = [fields?.[0], Number(fields?.[17]), Number(fields?.[19])]
  if (state === undefined || !Number.isSafeInteger(started) || started < 1) return null
  return { started, ended: (state === 'Z' || state === 'X') && threads <= 1 }
}

function read(): ProcessId | null {
  if (process.platform !== 'linux' || orNull(() => readlinkSync('/proc/self')) !== String(process.pid)) return null
  const boot = orNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())
  const pids = orNull(() => readlinkSync('/proc/self/ns/pid'))
  // Kernels before 5.6 have none of time.
  const time = orNull(() => readlinkSync('/proc/self/ns/time')) ?? ''
  const now = stat('self')
  return boot === null || pids === null || now === null
    ? null
    : { place: `${boot} ${pids} ${time}`, pid: process.pid, started: now.started }
}

/** What cannot be read cannot be proven. */
function orNull<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}
