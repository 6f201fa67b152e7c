import { hasUsers, isLoopback } from './rules.ts'
import type { Config, ConfigInput } from './schema.ts'

const wellKnown = {
  'docker.io': 'https://registry-1.docker.io',
  'ghcr.io': 'https://ghcr.io',
  'quay.io': 'https://quay.io',
  'registry.k8s.io': 'https://registry.k8s.io',
  'mcr.microsoft.com': 'https://mcr.microsoft.com',
  'public.ecr.aws': 'https://public.ecr.aws',
} as const

const google = [
  'gcr.io',
  'us-docker.pkg.dev',
  'europe-docker.pkg.dev',
  'asia-docker.pkg.dev',
] as const

/**
 * The configuration without a file: the well-known registries, and Artifact Registry with the
 * credentials that the machine has for Google.
 */
export const embeddedDefault: ConfigInput = {
  upstreams: [
    {
      prefix: '',
      url: 'https://us-central1-docker.pkg.dev',
      credentials: { type: 'google', optional: true },
    },
    ...google.map((host) => ({
      prefix: host,
      url: `https://${host}`,
      credentials: { type: 'google', optional: true } as const,
    })),
    ...Object.entries(wellKnown).map(([prefix, url]) => ({ prefix, url })),
  ],
}

/**
 * Without a file and without users, everyone on this machine may push below `local/`. The danger: with
 * users, or reachable by other machines, pushing needs a rule that somebody has written.
 */
export function withLocalAccess(config: Config): Config {
  const { auth, listen } = config
  const isOpen = !hasUsers(auth) && auth.anonymous === 'none'
  if (!isOpen || auth.access.length > 0 || !isLoopback(listen.host)) return config
  return { ...config, auth: { ...auth, access: localAccess } }
}

const localAccess: Config['auth']['access'] = [
  { users: ['*'], groups: [], repositories: ['**'], except: [], actions: ['pull'] },
  { users: ['*'], groups: [], repositories: ['local/**'], except: [], actions: ['push', 'delete'] },
]
