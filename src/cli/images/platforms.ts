/** Of this machine's containers, in Go's names. */
export function ownPlatform(): string {
  return `linux/${{ x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch}`
}
