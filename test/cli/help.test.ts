import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { finished, useBench } from './support.js'

const bench = useBench()

test('--version is the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(await finished(bench().startIn({}, ['--version']))).toEqual({
    exitCode: 0,
    stdout: `${version}\n`,
    stderr: '',
  })
})

test.each([[['--help']], [['run', '--help']], [['ls', '--help']], [['get', '-h']], [['unlock', '--help']]])(
  '%j goes to stdout with exit code 0 and fits 80 columns',
  async args => {
    const { exitCode, stdout, stderr } = await finished(bench().startIn({}, args))
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^Usage: soloist /)
    expect(Math.max(...stdout.split('\n').map(line => line.length))).toBeLessThanOrEqual(80)
  },
)

test.each(['run', 'ls', 'get', 'unlock', 'clear', 'watch', 'leader', 'crons'])(
  'docs/cli.md describes every option of %s',
  async verb => {
    const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
    const { stdout } = await finished(bench().startIn({}, [verb, '--help']))
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(match => match[1])
    expect(options).toContain('--store')
    for (const option of options) if (option !== '--help') expect(page).toContain(`\`${option}`)
  },
)
