// Checks that the parts of the package agree with each other: what package.json promises, what was built, what is tested,
// what is documented, who imports whom, and what those get who install it. Needs a build. With `--write` it renews the list of public names instead.
import { checkBackends } from './checks/backends.js'
import { checkDocstrings } from './checks/docstrings.js'
import { checkExports } from './checks/exports.js'
import { checkLinks } from './checks/links.js'
import { checkPublicApi, writePublicApi } from './checks/public-api.js'
import { checkPublished } from './checks/published.js'
import { checkSources } from './checks/sources.js'
import { exists } from './checks/tree.js'

if (!exists('dist')) {
  console.error('dist: is missing: run "npm run build" first')
  process.exitCode = 1
} else if (process.argv.includes('--write')) {
  await writePublicApi()
} else {
  const problems = [
    ...(await checkExports()),
    ...checkSources(),
    ...checkBackends(),
    ...checkDocstrings(),
    ...checkLinks(),
    ...(await checkPublicApi()),
    ...(await checkPublished()),
  ]
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
  else console.log('check-package: the package agrees with itself')
}
