import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ArtifactRegistry, startArtifactRegistry } from './artifact-registry.ts'
import { type Aws, region, startAws } from './aws.ts'
import { startAzure, startContainerRegistry } from './azure.ts'
import { createAuthority } from './certificates.ts'
import { removeDirectory } from './directory.ts'
import { startDockerRegistry } from './docker-registry.ts'
import { type Ecr, startEcr } from './ecr.ts'
import { type Google, type GoogleOptions, startGoogle } from './google.ts'
import type { Image } from './images.ts'
import { type ObjectStore, startObjectStore } from './object-store.ts'

/** A registry to pull through, and what Berth's configuration must say to do so. */
export interface Upstream {
  readonly name: string
  /** An entry of `upstreams`. */
  readonly config: Readonly<Record<string, unknown>>
  /** What the environment must say besides. */
  readonly environment?: Readonly<Record<string, string>>
  /** What no other server, and no log, may see. */
  secrets(): readonly string[]
  put(name: string, tag: string, image: Image): Promise<void> | void
  /** Kills it at once, with all its parts. */
  stop(): Promise<void>
  close(): Promise<void>
}

export async function dockerRegistryUpstream(): Promise<Upstream> {
  const registry = await startDockerRegistry()
  const { url, login } = registry
  const credentials = { type: 'static', username: login.user, password: login.password }
  return {
    ...registry,
    name: 'docker-registry',
    config: { url, credentials },
    secrets: () => [login.password],
  }
}

export type ArtifactRegistryUpstream = Upstream & {
  readonly registry: ArtifactRegistry
  readonly google: Google
  /** The target of its redirects. */
  readonly storage: ObjectStore
}

/** Over TLS, with workload identity federation. */
export async function artifactRegistryUpstream(
  options: GoogleOptions,
): Promise<ArtifactRegistryUpstream> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-artifact-registry-'))
  const authority = await createAuthority('registry')
  const google = await startGoogle(options)
  const storage = await startObjectStore()
  const registry = await startArtifactRegistry({
    accessTokens: google.accessTokens,
    tls: await authority.issue(['IP:127.0.0.1']),
  })
  const stop = async () => {
    await Promise.all([registry.stop(), google.stop(), storage.stop()])
  }

  return {
    name: 'Artifact Registry',
    registry,
    google,
    storage,
    config: {
      url: registry.url,
      credentials: { type: 'google', file: await google.configure(directory) },
      certificateAuthorities: authority.file,
      redirects: [storage.url],
    },
    secrets: google.accessTokens.all,
    put: registry.put,
    stop,
    close: async () => {
      await stop()
      await authority.remove()
      await removeDirectory(directory)
    },
  }
}

/** Over TLS, with workload identity; blobs are in a store of their own. */
export async function azureUpstream(): Promise<Upstream> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-azure-'))
  const federatedTokenFile = join(directory, 'token')
  const authority = await createAuthority('registry')
  const azure = await startAzure()
  const storage = await startObjectStore()
  const tls = await authority.issue(['IP:127.0.0.1'])
  const registry = await startContainerRegistry({ azure, storage, tls })
  const token = azure.issuer.issue()
  await writeFile(federatedTokenFile, token)
  const { tenantId, application, entra } = azure
  const { clientId } = application
  const authorityHost = entra.url
  const stop = async () => {
    await Promise.all([registry.stop(), azure.stop(), storage.stop()])
  }

  return {
    name: 'Azure Container Registry',
    config: {
      url: registry.url,
      credentials: { type: 'azure', tenantId, clientId, federatedTokenFile, authorityHost },
      certificateAuthorities: authority.file,
      redirects: [storage.url],
    },
    secrets: () => [token, ...azure.tokens(), ...registry.tokens()],
    put: registry.put,
    stop,
    close: async () => {
      await stop()
      await authority.remove()
      await removeDirectory(directory)
    },
  }
}

export type EcrUpstream = Upstream & {
  readonly registry: Ecr
  readonly aws: Aws
  readonly storage: ObjectStore
}

/** With a role for service accounts (IRSA). */
export async function ecrUpstream(): Promise<EcrUpstream> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-ecr-'))
  const [aws, storage] = await Promise.all([startAws(), startObjectStore()])
  const registry = await startEcr({ aws, storage })
  const stop = async () => {
    await Promise.all([registry.stop(), aws.stop(), storage.stop()])
  }

  return {
    name: 'Amazon ECR',
    registry,
    aws,
    storage,
    config: {
      url: registry.url,
      credentials: { type: 'aws', region },
      redirects: [storage.url],
    },
    environment: { ...aws.endpoints, ...(await aws.irsa(directory)) },
    secrets: aws.secrets,
    put: registry.put,
    stop,
    close: async () => {
      await stop()
      await removeDirectory(directory)
    },
  }
}
