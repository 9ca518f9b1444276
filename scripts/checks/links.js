// Relative links in the documentation lead to a file, and to a heading of it; llms.txt leads to every page.
import { posix } from 'node:path'
import { exists, filesBelow, read } from './tree.js'

const CONTENTS = 'llms.txt'
const PAGES = [CONTENTS, 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md']

/** @param {string} text */
const withoutCode = text => text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')

/** The anchors that GitHub gives to the headings of a page. @param {string} page */
function anchorsOf(page) {
  const headings = read(page)
    .replace(/^```[\s\S]*?^```/gm, '')
    .matchAll(/^#+ +(.*)$/gm)
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** @param {string} page @param {string} link */
function problemOf(page, link) {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : posix.join(posix.dirname(page), decodeURI(path))
  if (!exists(target)) return `${page}: the link "${link}" leads nowhere`
  if (anchor === undefined || !target.endsWith('.md') || anchorsOf(target).includes(anchor)) return null
  return `${page}: the link "${link}" names a heading that ${target} does not have`
}

/** @returns {string[]} */
export function checkLinks() {
  const below = [...filesBelow('docs'), ...filesBelow('examples')].filter(file => file.endsWith('.md'))
  const problems = []
  for (const page of [...PAGES, ...below]) {
    if (!exists(page)) {
      problems.push(`${page}: is missing`)
      continue
    }
    for (const [, link = ''] of withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      const problem = /^[a-z]+:/i.test(link) ? null : problemOf(page, link)
      if (problem !== null) problems.push(problem)
    }
  }
  return [...problems, ...unlistedPages()]
}

/** What a reader of the table of contents would not find. */
function unlistedPages() {
  const contents = exists(CONTENTS) ? read(CONTENTS) : ''
  return filesBelow('docs')
    .filter(file => file.endsWith('.md') && !contents.includes(`](${file})`))
    .map(file => `${CONTENTS}: has no link to ${file}`)
}
