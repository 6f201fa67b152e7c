/**
 * Control characters (C0, DEL, C1), line separators, and what changes the direction of text: names of an image
 * must not move the cursor, colour a terminal, add lines or look like others.
 */
const hostile =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\\]/g
const hostileInText =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

const short: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
}

/** A name on one line, as `ls --escape` shows it; backslashes are doubled. */
export function printable(name: string): string {
  return name.replace(hostile, escaped)
}

/** The content of a file for a terminal: lines and tabs stay. */
export function printableText(text: string): string {
  return text.replace(hostileInText, escaped)
}

function escaped(character: string): string {
  const code = character.charCodeAt(0)
  const hex = code.toString(16)
  return (
    short[character] ?? (code < 256 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`)
  )
}
