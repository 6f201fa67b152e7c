import { useState } from 'preact/hooks'
import type { Details, Manifest } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Crumbs } from '../catalogue/crumbs.tsx'
import { RunningNotice } from '../history/running-notice.tsx'
import { onDemand } from '../on-demand.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { ErrorMessage, Loading, Notice, PartError } from '../parts/message.tsx'
import { insecure } from '../parts/pull-commands.ts'
import { useTitle } from '../parts/title.ts'
import { fullReference, type ImageLink, imageLink, navigate, usageLink, whyLink } from '../route.ts'
import { useSession } from '../session.ts'
import { useAnswer } from '../use-answer.ts'
import { ImageActions } from './image-actions.tsx'
import { ImageCommands } from './image-commands.tsx'
import { ImageFacts } from './image-facts.tsx'
import { ManifestView } from './manifest-view.tsx'
import { Platforms } from './platforms.tsx'

const RemovalDialog = onDemand(
  async () => (await import('../removal/removal-dialog.tsx')).RemovalDialog,
)

type ImageProps = {
  readonly name: string
  readonly reference: string
  readonly platform: string | undefined
  readonly section: string | undefined
  readonly path: string
  readonly layer: number | undefined
}

/** One image: by a tag, or by a digest. */
export function ImageView(props: ImageProps) {
  const { name, reference } = props
  const session = useSession()
  useTitle(fullReference(name, reference))
  const image = useAnswer(`${name} ${reference}`, (signal) => api.manifest(name, reference, signal))
  const manifest = image.value
  const digest = manifest?.digest
  const details = useAnswer(digest && `${name} ${digest}`, (signal) =>
    api.details(name, digest ?? '', signal),
  )
  const [removing, setRemoving] = useState<string>()

  const end = name.lastIndexOf('/') + 1
  return (
    <>
      <div class="view-head">
        <Crumbs prefix={name.slice(0, end)} name={name.slice(end)} reference={reference} />
        {details.value !== undefined && (
          <ImageActions
            name={name}
            reference={reference}
            details={details.value}
            platforms={platformsOf(manifest)}
            onRemove={setRemoving}
            onChanged={() => {
              image.reload()
              details.reload()
            }}
          />
        )}
      </div>
      {image.error !== undefined && <ErrorMessage error={image.error} onRetry={image.reload} />}
      {image.isLoading && <Loading label="Loading the image" />}
      {manifest !== undefined && (
        <>
          <ImageFacts name={name} manifest={manifest} details={details.value} />
          <ImageCommands name={name} reference={reference} manifest={manifest} />
          {details.error !== undefined && (
            <PartError
              what="Tags and uses cannot be shown"
              error={details.error}
              onRetry={details.reload}
            />
          )}
          {details.value?.problems.map((problem) => (
            <Notice key={problem}>{problem}</Notice>
          ))}
          {details.value?.running.map((running) => (
            <RunningNotice key={running.tag} {...{ name, running }} digest={manifest.digest} />
          ))}
          <Content {...props} manifest={manifest} details={details.value} />
          <p class="summary">
            <a href={whyLink(fullReference(name, reference))}>How it is served</a>
            {' · '}
            <a href={usageLink(name)}>Where the bytes are</a>
          </p>
          <Equivalent
            command={`crane manifest${insecure(session)} ${session.pullHost}/${fullReference(name, reference)}`}
          />
        </>
      )}
      {removing !== undefined && (
        <RemovalDialog
          name={name}
          references={[removing]}
          onClose={(isChanged) => {
            setRemoving(undefined)
            if (isChanged) navigate(imageLink(name))
          }}
        />
      )}
    </>
  )
}

/** Without those of attestations. */
function platformsOf(manifest: Manifest | undefined): readonly string[] {
  const all = manifest?.children.flatMap(({ platform }) => platform ?? []) ?? []
  return [...new Set(all)].filter((platform) => platform !== 'unknown/unknown')
}

type ContentProps = ImageProps & {
  readonly manifest: Manifest
  readonly details: Details | undefined
}

function Content({ name, reference, platform, section, path, layer, ...shown }: ContentProps) {
  const { manifest, details } = shown
  const link = (to: ImageLink) => imageLink(name, reference, { platform, ...to })
  const view = { name, section, details, files: { path, layer, link } }
  const choose = (next: string) => navigate(link({ section: next }), { replace: true })
  if (manifest.children.length === 0)
    return <ManifestView {...view} manifest={manifest} onSection={choose} />
  return (
    <Platforms
      {...view}
      index={manifest}
      platform={platform}
      onPlatform={(next) => navigate(link({ platform: next, section }), { replace: true })}
      onSection={choose}
    />
  )
}
