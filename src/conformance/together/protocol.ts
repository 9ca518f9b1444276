import type { Recorded } from './recorder.js'

/** What a child process can be asked to do. Every answer can be sent as JSON. */
export interface ChildCommands {
  /** Opens the datastore with the module at `store`. */
  open(store: string, prefix: string): Promise<void>
  /** Waits for a lock, keeps it, and tells whose it is. */
  lock(name: string, ttlMs: number): Promise<{ readonly owner: string; readonly fence: number }>
  /** Gives the kept lease back, as its owner. */
  release(): Promise<void>
  /** Releases as the owner of the kept lease, and leaves this text for `keepMs`. */
  leave(text: string, keepMs: number): Promise<void>
  /** Waits until the kept lease is over. @returns the code its signal was aborted with */
  lost(): Promise<string>
  /** Asks the kept lease whether it is valid. @returns the code of what it threw, or `'valid'` */
  assertValid(): Promise<string>
  /** Renews and releases as the owner of the kept lease, past all checks of the library, as a late packet would. */
  insist(): Promise<{ readonly renewal: string; readonly released: boolean }>
  /** Takes the target for `rounds` short sections, each recorded as a line of the file `log` under a `label/round`. */
  sections(target: Recorded, rounds: number, log: string, label: string): Promise<void>
}

export type ChildCommand = keyof ChildCommands

export interface Request {
  readonly id: number
  readonly command: ChildCommand
  readonly args: readonly unknown[]
}

export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string }
