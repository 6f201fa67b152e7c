/** Control characters, and what changes the direction of text: names must not look like others. */
const hostile =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
const hostileInText =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** A name with what cannot be seen in it as escapes. */
export function visibleName(name: string): string {
  return name.replace(hostile, escaped)
}

/** The content of a file, whose lines stay. */
export function visibleText(text: string): string {
  return text.replace(hostileInText, escaped)
}

/** A word for bash and zsh, on one line: it can be pasted. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  if (text.search(hostile) < 0) return `'${text.replaceAll("'", "'\\''")}'`
  return `$'${text.replace(/['\\]/g, '\\$&').replace(hostile, escaped)}'`
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
