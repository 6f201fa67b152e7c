import type { Telemetry } from '../telemetry/telemetry.ts'
import type { RegistryHost, Server } from './addresses.ts'
import type { CredentialProvider } from './kubelet.ts'
import type { Target } from './runtimes.ts'

/** The state of one runtime. */
export type RuntimeStatus = {
  readonly runtime: Target['name']
  readonly version: string | undefined
  /** Its configuration file and effective `config_path`, where it has them. */
  readonly configuration: string | undefined
  readonly path: string | undefined
  /** Whether it can pull images through Berth. */
  readonly canPull: boolean
  readonly files: readonly { readonly path: string; readonly since: string }[]
  readonly problems: readonly string[]
  readonly notes: readonly string[]
}

export type TrustStatus = {
  /** Whether at least one runtime of the node can pull. */
  readonly ready: boolean
  /** Problems that concern all runtimes: no runtime found, no authority. */
  readonly problems: readonly string[]
  readonly runtimes: readonly RuntimeStatus[]
  /** When the authority's certificate expires. */
  readonly authorityExpires: string | undefined
}

/** Configures the runtimes of a node to find and trust the registry, by files that they read at each pull. */
export interface Trust {
  /** Writes and removes files as needed. Rejects only for errors in Berth itself. */
  apply(): Promise<TrustStatus>
  /** The result of the last `apply`. */
  status(): TrustStatus
  /**
   * Restores everything. Returns what could not be restored because it was changed by others.
   * `keepCredentialProvider`: a kubelet whose flags name its files does not start without them.
   */
  undo(options?: { readonly keepCredentialProvider: boolean }): Promise<readonly string[]>
  /** Applies at an interval, in milliseconds, until `close`, to follow changes on the node. */
  follow(interval: number): void
  close(): Promise<void>
}

export type TrustOptions = {
  /** Where the node's file system is mounted. */
  readonly root: string
  readonly registries: readonly { readonly registry: RegistryHost; readonly server: Server }[]
  readonly mirrors: readonly RegistryHost[]
  /** PEM file; read at each `apply`. */
  readonly authority: string | undefined
  /** Addresses of the node besides localhost. */
  readonly nodeAddresses: readonly string[]
  /** The owner of the files; undefined: `undo` removes the files of all owners. */
  readonly owner: string | undefined
  /** The files of a kubelet's credential provider; undefined: none. */
  readonly credentialProvider?: CredentialProvider | undefined
  readonly telemetry: Telemetry
}
