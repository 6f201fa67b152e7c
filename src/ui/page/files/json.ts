/**
 * JSON with a line for each value. Only the space between values changes: a number that JavaScript cannot hold
 * stays as it is. Undefined: it is no JSON, or has these lines already.
 */
export function formattedJson(text: string): string | undefined {
  try {
    JSON.parse(text)
  } catch {
    return undefined
  }
  let depth = 0
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`
  const formatted = text.replace(tokens, (token) => {
    if (token === '{' || token === '[') {
      depth += 1
      return `${token}${line()}`
    }
    if (token === '}' || token === ']') {
      depth -= 1
      return `${line()}${token}`
    }
    if (token === ',') return `,${line()}`
    if (token === ':') return ': '
    return token.startsWith('"') || /^[{[]/.test(token) ? token.replace(/^([{[])\s+/, '$1') : ''
  })
  // Lists in lists in lists would become nothing but space.
  const isReadable = formatted.length <= 8 * text.length && formatted.trim() !== text.trim()
  return isReadable ? formatted : undefined
}

/** Texts, empty objects and lists, marks, and space. */
const tokens = /"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|\s+/g
