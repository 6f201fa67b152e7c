import type { Manifest, Tags } from '../../../api/answers.ts'

const kinds = {
  image: 'image',
  index: 'multi-platform image',
  chart: 'Helm chart',
  signature: 'signature',
  sbom: 'SBOM',
  attestation: 'attestation',
  artifact: 'artifact',
} as const satisfies Record<Manifest['kind'], string>

export function kindLabel(kind: Manifest['kind']): string {
  return kinds[kind]
}

/** At most three, and how many more; without the system if that is Linux for all. */
export function platformsLabel(platforms: readonly string[]): string {
  const isLinux = platforms.every((platform) => platform.startsWith('linux/'))
  const names = isLinux ? platforms.map((platform) => platform.slice('linux/'.length)) : platforms
  const shown = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shown} +${names.length - 3}` : shown
}

export function storedLabel(stored: Tags['tags'][number]['stored']): string {
  if (stored === 'all') return 'All of it is on the disk'
  return stored === 'part'
    ? 'A part of it is on the disk; a pull fetches the rest from the upstream'
    : 'A pull fetches it from the upstream'
}
