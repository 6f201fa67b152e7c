type PullAdviceOptions = {
  readonly identity: string
  /** The file or program that the credential comes from. */
  readonly source: string
  /** As the upstream names it; empty: the whole registry. */
  readonly repository: string
}

/** What to change when a registry denies access to `identity`: for registries of any vendor. */
export function pullAdvice({ identity, source, repository }: PullAdviceOptions): string {
  const what = repository === '' ? 'this registry' : repository
  return `grant ${identity} read access to ${what} in the registry, or change ${source} so that it gives the credential of a user who has read access`
}
