import picomatch from 'picomatch'

export type Globs = {
  readonly include: readonly string[]
  readonly except?: readonly string[] | undefined
}

/**
 * Whether a name matches a glob of `include` and none of `except`. A leading `!` does not negate: to
 * picomatch, `['team/**', '!team/secret/**']` is a match of every name outside `team/secret`.
 */
export function createMatcher({ include, except = [] }: Globs): (name: string) => boolean {
  const isIncluded = compile(include)
  if (except.length === 0) return isIncluded
  const isExcluded = compile(except)
  return (name) => isIncluded(name) && !isExcluded(name)
}

function compile(globs: readonly string[]): (name: string) => boolean {
  if (globs.length === 0) return () => false
  return globs.includes('**') ? () => true : picomatch([...globs], { nonegate: true })
}
