import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A package of which a bundle has something. */
export type BundledPackage = {
  readonly name: string
  readonly version: string
  /** An SPDX expression. */
  readonly license?: string
  /** Relative to the project. */
  readonly directory: string
}

type Manifest = Omit<BundledPackage, 'directory'>

const root = join(import.meta.dirname, '..')

/** The packages of bundled files, which are relative to the project. */
export async function packagesOf(inputs: readonly string[]): Promise<readonly BundledPackage[]> {
  const directories = new Set(inputs.flatMap((input) => packageDirectory(input) ?? []))
  return Promise.all(
    [...directories].sort().map(async (directory) => {
      const { name, version, license } = await readJson<Manifest>(join(directory, 'package.json'))
      return { name, version, directory, ...(typeof license === 'string' && { license }) }
    }),
  )
}

/** `node_modules/@scope/name` of a bundled file; the innermost one. */
export function packageDirectory(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]
}

/** The licences of all packages, each under the package's name and version. */
export async function licensesOf(packages: readonly BundledPackage[]): Promise<string> {
  const texts = packages.map(async ({ name, version, license, directory }) => {
    const path = join(root, directory)
    const files = (await readdir(path)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
    const contents = files.sort().map((file) => readFile(join(path, file), 'utf8'))
    return [`${name} ${version}: ${license}`, ...(await Promise.all(contents))].join('\n\n')
  })
  return (await Promise.all(texts)).join(`\n\n${'-'.repeat(80)}\n\n`)
}

/** A bill of materials in SPDX 2.3: the packages and Berth itself, as `npm sbom` describes them. */
export async function sbomOf(packages: readonly BundledPackage[]): Promise<string> {
  const own = await readJson<Manifest>('package.json')
  const { packages: locked } = await readJson<{
    readonly packages: Readonly<Record<string, { readonly integrity?: string }>>
  }>('package-lock.json')
  const document = 'SPDXRef-DOCUMENT'
  // One package may be in several directories.
  const unique = new Map(packages.map((one) => [idOf(one), one]))
  const relationships = [...unique.keys()].map((id) => ({
    spdxElementId: id,
    relatedSpdxElement: idOf(own),
    relationshipType: 'DEPENDENCY_OF',
  }))
  return JSON.stringify({
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: document,
    name: `${own.name}@${own.version}`,
    documentNamespace: `http://spdx.org/spdxdocs/${own.name}-${own.version}-${randomUUID()}`,
    creationInfo: {
      created: `${new Date().toISOString().slice(0, 19)}Z`,
      creators: [`Tool: ${own.name}-${own.version}`],
    },
    packages: [
      describe(own),
      ...[...unique.values()].map((one) => describe(one, locked[one.directory]?.integrity)),
    ],
    relationships: [
      {
        spdxElementId: document,
        relatedSpdxElement: idOf(own),
        relationshipType: 'DESCRIBES',
      },
      ...relationships,
    ],
  })
}

function describe({ name, version, license }: Manifest, integrity?: string): object {
  const [algorithm, digest] = integrity?.split('-') ?? []
  return {
    name,
    SPDXID: idOf({ name, version }),
    versionInfo: version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseDeclared: license ?? 'NOASSERTION',
    externalRefs: [
      {
        referenceCategory: 'PACKAGE-MANAGER',
        referenceType: 'purl',
        referenceLocator: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      },
    ],
    ...(algorithm === 'sha512' &&
      digest !== undefined && {
        checksums: [
          { algorithm: 'SHA512', checksumValue: Buffer.from(digest, 'base64').toString('hex') },
        ],
      }),
  }
}

function idOf({ name, version }: Pick<Manifest, 'name' | 'version'>): string {
  return `SPDXRef-Package-${`${name}-${version}`.replace(/[^\w.-]+/g, '.').replace(/^\./, '')}`
}

async function readJson<Content>(path: string): Promise<Content> {
  return JSON.parse(await readFile(join(root, path), 'utf8')) as Content
}
