import { mediaTypes } from '../oci/manifest.ts'
import type { Manifest } from './answers.ts'

type Types = {
  readonly mediaType?: string | undefined
  readonly artifactType?: string | undefined
}

/** Parts of artifact types, as cosign, notation, syft, trivy, BuildKit and Helm write them. */
const kinds: readonly (readonly [pattern: RegExp, kind: Manifest['kind']])[] = [
  [/^application\/vnd\.cncf\.helm\./, 'chart'],
  [/signature|\bcosign\b.*\bsimplesigning\b/, 'signature'],
  [/spdx|cyclonedx|sbom|\bsyft\b/, 'sbom'],
  [/in-toto|attestation|\bslsa\b|provenance|sigstore\.bundle|\bdsse\b/, 'attestation'],
]

const images = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

/** What a manifest is, by its media type and its artifact type. */
export function kindOf({ mediaType, artifactType = '' }: Types): Manifest['kind'] {
  const known = kinds.find(([pattern]) => pattern.test(artifactType))
  if (known !== undefined) return known[1]
  if (mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList) return 'index'
  if (artifactType === '' || images.includes(artifactType)) return 'image'
  return 'artifact'
}
