const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u
const ASCII = /^[\x20-\x7e]*$/
const NO_WIDTH = /^\p{M}+$/u
const URL_WITH_LOGIN = /(\b[a-z][a-z\d+.-]*:\/\/)\S*@/gi
const PASSWORD_PARAMETER = /([?&](?:sentinel_)?password=)[^&\s'"]*/gi
const SHOWN_CHARACTERS = 60

/**
 * The text with every character that could move a cursor, change a colour, hide or reorder what stands beside it
 * written out as `\x1b` or `\u202e`: for terminals. Text without such characters is returned as it is.
 */
export function visible(text: string): string {
  return text.replace(UNPRINTABLE, character => {
    const code = character.codePointAt(0) as number
    if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`
    return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** A value as a message shows it: quoted, visible, and not too long. */
export function quoted(text: string): string {
  return `'${clip(visible(text), SHOWN_CHARACTERS)}'`
}

/** The text without the user and the password of any URL in it. */
export function withoutLogins(text: string): string {
  return text.replace(URL_WITH_LOGIN, '$1***@').replace(PASSWORD_PARAMETER, '$1***')
}

/** How many columns of a terminal the text takes. */
export function width(text: string): number {
  if (ASCII.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += columnsOf(character)
  return columns
}

/** Which part of a text is cut away: of names that begin alike the end must stay. */
export type Cut = 'end' | 'middle'

/** The text in at most so many columns; what was cut is marked with an ellipsis. */
export function clip(text: string, columns: number, cut: Cut = 'end'): string {
  if (width(text) <= columns) return text
  if (columns <= 0) return ''
  const tail = cut === 'end' ? 0 : Math.floor((columns - 1) / 2)
  return `${fitting([...text], columns - 1 - tail)}…${fittingAtEnd([...text], tail)}`
}

/** As much of the start as takes at most so many columns. */
function fitting(characters: readonly string[], columns: number): string {
  let left = columns
  const end = characters.findIndex(character => {
    left -= columnsOf(character)
    return left < 0
  })
  return characters.slice(0, end).join('')
}

/** As much of the end as takes at most so many columns. */
function fittingAtEnd(characters: readonly string[], columns: number): string {
  let left = columns
  let from = characters.length
  while (from > 0 && left >= columnsOf(characters[from - 1] as string)) {
    from -= 1
    left -= columnsOf(characters[from] as string)
  }
  // An accent whose letter was cut away.
  while (from < characters.length && NO_WIDTH.test(characters[from] as string)) from += 1
  return characters.slice(from).join('')
}

function columnsOf(character: string): number {
  if (NO_WIDTH.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}
