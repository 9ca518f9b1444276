// The other side of crowd.ts.
import { createInterface } from 'node:readline'

/**
 * Answers each line of the input by the command it names.
 *
 * @param {Record<string, (...args: any[]) => unknown>} commands
 */
export function answer(commands) {
  const say = line => process.stdout.write(`${JSON.stringify(line)}\n`)
  createInterface({ input: process.stdin })
    .on('line', async line => {
      const [command, ...args] = JSON.parse(line)
      say((await commands[command](...args)) ?? null)
    })
    .on('close', () => process.exit())
  say('ready')
}
