import type { Details, Manifest } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { counted } from '../parts/format.ts'
import { ErrorMessage, Loading, Message, PartError } from '../parts/message.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { useAnswer } from '../use-answer.ts'
import { type FilesPlace, ManifestView } from './manifest-view.tsx'

type Child = Manifest['children'][number]

type PlatformsProps = {
  readonly name: string
  readonly index: Manifest
  readonly details: Details | undefined
  readonly platform: string | undefined
  readonly section: string | undefined
  readonly files: FilesPlace
  readonly onPlatform: (platform: string) => void
  readonly onSection: (section: string) => void
}

/** The images of an index, one at a time. Attestations of builders are shown with the platform they are about. */
export function Platforms({
  name,
  index,
  details,
  platform,
  section,
  files,
  onPlatform,
  onSection,
}: PlatformsProps) {
  const children = index.children.filter(({ attests }) => attests === undefined)
  const labels = labelsOf(children)
  const missing = new Set(
    details?.children.filter(({ stored }) => !stored).map(({ digest }) => digest),
  )
  const chosen =
    children.find((child) => labels.get(child) === platform) ??
    children.find((child) => child.platform === 'linux/amd64' && !missing.has(child.digest)) ??
    children.find(({ digest }) => !missing.has(digest)) ??
    children[0]
  if (chosen === undefined) return <Message title="This index has no images" icon="box" />
  return (
    <Tabs
      look="pills"
      label={counted(children.length, 'platform')}
      tabs={children.map((child) => ({
        id: labels.get(child) ?? child.digest,
        label: (
          <>
            {labels.get(child)}
            {missing.has(child.digest) && <span class="badge">not stored</span>}
          </>
        ),
      }))}
      chosen={labels.get(chosen) ?? chosen.digest}
      onChoose={onPlatform}
    >
      <Platform
        key={chosen.digest}
        {...{ name, section, files, onSection }}
        child={chosen}
        attestations={index.children.filter(({ attests }) => attests === chosen.digest)}
        indexDetails={details}
        isMissing={missing.has(chosen.digest)}
      />
    </Tabs>
  )
}

type PlatformProps = {
  readonly name: string
  readonly child: Child
  readonly attestations: readonly Child[]
  readonly indexDetails: Details | undefined
  readonly isMissing: boolean
  readonly section: string | undefined
  readonly files: FilesPlace
  readonly onSection: (section: string) => void
}

function Platform({
  name,
  child,
  attestations,
  indexDetails,
  isMissing,
  section,
  files,
  onSection,
}: PlatformProps) {
  const { digest } = child
  const manifest = useAnswer(digest, (signal) => api.manifest(name, digest, signal))
  const details = useAnswer(isMissing ? undefined : digest, (signal) =>
    api.details(name, digest, signal),
  )
  if (manifest.isLoading) return <Loading label="Loading the platform" />
  if (manifest.value === undefined) {
    if (isMissing && indexDetails?.kind === 'hosted')
      return (
        <Message title="This platform is not here" icon="box">
          <p>
            The index names it, but its manifest was not pushed. The other platforms can be pulled.
          </p>
          <p>
            <code>{digest}</code>
          </p>
        </Message>
      )
    return manifest.error && <ErrorMessage error={manifest.error} onRetry={manifest.reload} />
  }
  return (
    <>
      {details.error !== undefined && (
        <PartError
          what="What is stored cannot be shown"
          error={details.error}
          onRetry={details.reload}
        />
      )}
      <ManifestView
        name={name}
        manifest={manifest.value}
        details={details.value}
        indexDetails={indexDetails}
        attestations={attestations}
        section={section}
        files={files}
        onSection={onSection}
      />
    </>
  )
}

/** By which tabs are told apart: platforms, unless several are equal or missing. */
function labelsOf(children: readonly Child[]): ReadonlyMap<Child, string> {
  const labels = new Map<Child, string>()
  const used = new Set<string>()
  for (const child of children) {
    const wanted = child.platform ?? child.artifactType ?? child.digest.slice(0, 19)
    const label = used.has(wanted) ? `${wanted} (${child.digest.slice(7, 15)})` : wanted
    used.add(label)
    labels.set(child, label)
  }
  return labels
}
