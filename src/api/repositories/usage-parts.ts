/** What is directly below a prefix, and has a name: the prefix itself, or what follows it. Empty: elsewhere. */
export function partBelow(prefix: string, name: string): string {
  if (prefix === '') return name.split('/', 1)[0] ?? ''
  if (name === prefix) return name
  if (!name.startsWith(`${prefix}/`)) return ''
  const end = name.indexOf('/', prefix.length + 1)
  return end < 0 ? name : name.slice(0, end)
}

/** The name of one repository, or the longest prefix of several, with its slash. */
export function namePart(names: readonly string[]): string {
  const [first = '', ...others] = names
  if (others.length === 0) return first
  const segments = first.split('/')
  const differs = segments.findIndex((segment, at) =>
    others.some((name) => name.split('/')[at] !== segment),
  )
  return `${segments.slice(0, differs < 0 ? undefined : differs).join('/')}/`
}
