/** A command of ioredis, which it has the server answer. */
export interface Command {
  readonly promise: Promise<unknown>
  toWritable(socket: unknown): string | Buffer
}

export type CommandClass = new (name: string, args: readonly string[], options: { replyEncoding: 'utf8' }) => Command

/** An `EVALSHA` as it goes over the wire. `key`: one of its keys, by which a Cluster finds the node; else `null`. */
export type ReadyCommandClass = new (key: string | null, encoded: string) => Command

const classes = new WeakMap<CommandClass, ReadyCommandClass>()

/**
 * Commands of this very ioredis that bring their own bytes. By itself ioredis takes as long to encode and write a command of
 * hundreds of arguments as everything else on this side of the wire.
 */
export function readyCommandClass(Command: CommandClass): ReadyCommandClass {
  let Ready = classes.get(Command)
  if (Ready === undefined) {
    Ready = class extends Command {
      readonly #encoded: string

      constructor(key: string | null, encoded: string) {
        super('evalsha', key === null ? [] : ['', '1', key], { replyEncoding: 'utf8' })
        this.#encoded = encoded
      }

      override toWritable(): string {
        return this.#encoded
      }
    }
    classes.set(Command, Ready)
  }
  return Ready
}
