import picomatch from 'picomatch'

export type Globs = {
  readonly include: readonly string[]
  readonly except?: readonly string[] | undefined
}

/**
 * Matches names by the globs in `include`, without those in `except`. A leading `!` does not negate: in
 * picomatch, `['team/**', '!team/secret/**']` matches every name outside `team/secret`.
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
