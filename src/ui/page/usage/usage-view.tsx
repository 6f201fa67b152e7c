import { PrefixUsage } from './prefix-usage.tsx'
import { RepositoryUsage } from './repository-usage.tsx'

/** Where the bytes are, and what deleting or evicting them frees. */
export function UsageView({ path }: { readonly path: string }) {
  return path === '' || path.endsWith('/') ? (
    <PrefixUsage prefix={path} />
  ) : (
    <RepositoryUsage name={path} />
  )
}
