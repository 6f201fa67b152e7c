/**
 * One challenge of a `WWW-Authenticate` header (RFC 9110, section 11.6.1). Scheme and parameter
 * names in lower case.
 */
export type Challenge = {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

/** Longer headers are ignored: no genuine challenge is this long, in characters. */
const maxHeaderLength = 8192

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const quoted = /"((?:[^"\\]|\\.)*)"/y
const equals = /\s*=\s*/y
const separators = /[\s,]*/y
const token68 = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y

/**
 * All challenges of one header, which may hold several, each with parameters separated by the same
 * commas. Parsing stops at the first syntax error: a broken challenge is ignored.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  if (header.length > maxHeaderLength) return []
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const reader = createReader(header)
  for (reader.take(separators); !reader.atEnd(); reader.take(separators)) {
    const name = reader.take(token)
    if (name === undefined) break
    const current = challenges.at(-1)
    if (current !== undefined && reader.take(equals) !== undefined) {
      const value = reader.take(quoted) ?? reader.take(token)
      if (value === undefined) break
      current.parameters[name.toLowerCase()] = unquote(value)
    } else {
      challenges.push({ scheme: name.toLowerCase(), parameters: {} })
      reader.take(/\s+/y)
      if (!startsParameter(header, reader.position())) reader.take(token68)
    }
  }
  return challenges
}

function startsParameter(header: string, position: number): boolean {
  const rest = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+\s*=\s*[^=\s,]/y
  rest.lastIndex = position
  return rest.test(header)
}

function unquote(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
}

function createReader(text: string) {
  let at = 0
  return {
    position: () => at,
    atEnd: () => at >= text.length,
    take: (pattern: RegExp): string | undefined => {
      pattern.lastIndex = at
      const match = pattern.exec(text)?.[0]
      at += match?.length ?? 0
      return match
    },
  }
}
