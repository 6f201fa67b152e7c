import { CredentialError } from './credential-error.ts'
import type { CredentialSource } from './credentials.ts'

type DockerHelperOptions = { readonly helper: string; readonly host: string }

export function createDockerHelperSource(options: DockerHelperOptions): CredentialSource {
  return {
    identity: () => 'docker-helper',
    source: () => 'docker-helper',
    fetch: async () => {
      throw new CredentialError(`docker-helper for ${options.host} is being built`)
    },
  }
}
