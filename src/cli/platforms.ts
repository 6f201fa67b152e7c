/** Of this machine's containers, in Go's names. */
export function ownPlatform(): string {
  return `linux/${{ x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch}`
}

/** Whether an image for `platform` is meant by `wanted`: without a variant, any variant is. */
export function isPlatform(platform: string | undefined, wanted: string): boolean {
  return platform === wanted || platform?.startsWith(`${wanted}/`) === true
}
