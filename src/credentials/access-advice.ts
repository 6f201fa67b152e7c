import type { Access } from './credential.ts'

type AccessAdviceOptions = {
  readonly identity: string
  /** The file or program that the credential comes from. */
  readonly source: string
  /** As the upstream names it; empty: the whole registry. */
  readonly repository: string
  readonly access?: Access | undefined
}

const names = { pull: 'read', push: 'write', delete: 'delete' } as const

/** What to change when a registry denies access to `identity`: for registries of any vendor. */
export function accessAdvice({
  identity,
  source,
  repository,
  access = 'pull',
}: AccessAdviceOptions): string {
  const what = repository === '' ? 'this registry' : repository
  const name = names[access]
  return `grant ${identity} ${name} access to ${what} in the registry, or change ${source} so that it gives the credential of a user who has ${name} access`
}
