import { ErrorMessage, Loading, Message } from '../parts/message.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { useTitle } from '../parts/title.ts'
import { compareLink, fullReference, type ImageName, navigate } from '../route.ts'
import { choicesOf, chooseOne } from './choices.ts'
import { Chooser } from './chooser.tsx'
import { Difference } from './difference.tsx'
import { useManifest } from './use-manifest.ts'

type CompareProps = {
  readonly before: ImageName
  /** Undefined: it is not chosen yet. */
  readonly after: ImageName | undefined
  readonly platform: string | undefined
  readonly section: string | undefined
}

/** Two images, of one repository or of two: what differs between their layers, configs and files. */
export function CompareView({ before, after, platform, section }: CompareProps) {
  useTitle(
    after === undefined
      ? `Compare ${nameOf(before)}`
      : `${nameOf(before)} and ${fullReference(after.name, after.reference)}`,
  )
  return (
    <>
      <div class="view-head">
        <h1>Compare images</h1>
      </div>
      <Chooser before={before} after={after} options={{ platform, section }} />
      {after === undefined ? (
        <Message title="Choose the image to compare with" icon="compare">
          <p>A tag or a digest, of this repository or of another one.</p>
        </Message>
      ) : (
        <Comparison {...{ before, after, platform, section }} />
      )}
    </>
  )
}

function nameOf({ name, reference }: ImageName): string {
  return fullReference(name, reference)
}

type ComparisonProps = CompareProps & { readonly after: ImageName }

function Comparison({ before, after, platform, section }: ComparisonProps) {
  const left = useManifest(before)
  const right = useManifest(after)
  const failed = [left, right].find((answer) => answer.error !== undefined)
  if (failed?.error !== undefined)
    return <ErrorMessage error={failed.error} onRetry={failed.reload} />
  if (left.value === undefined || right.value === undefined)
    return <Loading label="Loading the images" />
  const manifests = [left.value, right.value] as const
  const choices = choicesOf(...manifests)
  const chosen = chooseOne(choices, platform, manifests)
  if (chosen === undefined) return <Message title="The indexes have no images" icon="box" />
  const choose = (options: { readonly platform?: string; readonly section?: string }) =>
    navigate(compareLink(before, after, { platform, section, ...options }), { replace: true })

  const missing = chosen.before === undefined ? before : after
  const difference =
    chosen.before === undefined || chosen.after === undefined ? (
      <Message title={`${nameOf(missing)} has no image for ${chosen.platform}`} icon="box">
        <p>The other one has. Choose a platform that both have.</p>
      </Message>
    ) : (
      <Difference
        key={`${chosen.before} ${chosen.after}`}
        before={{ ...before, digest: chosen.before }}
        after={{ ...after, digest: chosen.after }}
        platform={chosen.platform}
        section={section}
        onSection={(next) => choose({ section: next })}
      />
    )
  if (choices.length === 1) return difference
  return (
    <Tabs
      look="pills"
      label="Platform"
      tabs={choices.map((choice) => ({
        id: choice.platform,
        label: (
          <>
            {choice.platform}
            {(choice.before === undefined || choice.after === undefined) && (
              <span class="badge">only in one</span>
            )}
          </>
        ),
      }))}
      chosen={chosen.platform}
      onChoose={(next) => choose({ platform: next })}
    >
      {difference}
    </Tabs>
  )
}
