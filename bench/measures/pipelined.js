import { spawnSync } from 'node:child_process'

/** What the server itself bears: `redis-benchmark` with 50 connections and pipelines of 16, in SET commands a second. @param {string} url */
export function pipelinedSets(url) {
  const { port } = new URL(url)
  const args = ['-p', port, '-P', '16', '-n', '500000', '-r', '100000', '-t', 'set', '--csv']
  const { stdout } = spawnSync('redis-benchmark', args, { encoding: 'utf8' })
  const line = /^"SET","([\d.]+)"/m.exec(stdout ?? '')
  return line === null ? null : Number(line[1])
}
