import { Digest } from '../parts/digest.tsx'
import { counted, formatBytes } from '../parts/format.ts'
import { ErrorMessage, Loading, Message, Notice } from '../parts/message.tsx'
import { Rows } from '../parts/rows.tsx'
import { useTitle } from '../parts/title.ts'
import { imageLink, navigate } from '../route.ts'
import {
  Partial,
  Sentence,
  UsageCells,
  UsageCommand,
  UsageHead,
  UsageHeading,
  UsageLegend,
} from './usage-parts.tsx'
import { type Tagged, useTaggedUsage } from './use-tagged-usage.ts'

/** The bytes of a repository, by tag; tags of one digest are one row. */
export function RepositoryUsage({ name }: { readonly name: string }) {
  useTitle(`Usage of ${name}`)
  const { value, tagged, error, reload, show } = useTaggedUsage(name)
  const max = tagged.reduce((most, { unique }) => Math.max(most, unique), 0)
  return (
    <>
      <UsageHead path={name} at={value?.at} />
      {value === undefined && error === undefined && <Loading label="Counting bytes" />}
      {error !== undefined && <ErrorMessage error={error} onRetry={reload} />}
      {value?.problem !== undefined && <Notice>{value.problem}</Notice>}
      {value?.partial && <Partial />}
      {value !== undefined && (
        <>
          <Sentence kind={value.kind} what="the repository" own={value.own} unique={value.unique} />
          <p class="summary">
            {counted(value.total, 'tagged image')}
            {value.untagged !== undefined &&
              ` · ${formatBytes(value.untagged.own)} in no tag, of which a pull needs the digest`}
            {' · '}
            <a href={imageLink(name)}>All tags</a>
          </p>
        </>
      )}
      {value !== undefined && value.total > 0 && (
        <Rows
          role="grid"
          name="usage tagged"
          label="Tags"
          count={value.total}
          heading={
            <UsageHeading>
              <span role="columnheader">Tags</span>
              <span role="columnheader" class="digest-cell">
                Digest
              </span>
            </UsageHeading>
          }
          row={(index) => rowOf({ name, index, max, tagged: tagged[index] })}
          onOpen={(index) => open(name, tagged[index])}
          onVisible={show}
        />
      )}
      {value !== undefined && value.total > 0 && <UsageLegend />}
      {value?.total === 0 && (
        <Message title="No tags" icon="box">
          <p>Images here can be pulled by their digests only.</p>
        </Message>
      )}
      <UsageCommand path={`repositories/${name}/-/usage`} />
    </>
  )
}

/** Tags that are named in a row. */
const maxTags = 3

type RowOptions = {
  readonly name: string
  readonly index: number
  readonly max: number
  /** Undefined: not loaded yet. */
  readonly tagged: Tagged | undefined
}

function rowOf({ name, index, max, tagged }: RowOptions) {
  if (tagged === undefined)
    return {
      key: String(index),
      cells: (
        <span role="gridcell">
          <span class="awaited" />
        </span>
      ),
    }
  const { tags, digest, own, unique } = tagged
  const more = tags.length - maxTags
  return {
    key: digest,
    cells: (
      <>
        <span role="gridcell" class="name">
          {tags.slice(0, maxTags).map((tag) => (
            <a key={tag} href={imageLink(name, tag)} class="repository" tabIndex={-1}>
              {tag}
            </a>
          ))}
          {more > 0 && <span class="count">{counted(more, 'more', 'more')}</span>}
        </span>
        <span role="gridcell" class="digest-cell">
          <Digest digest={digest} href={imageLink(name, digest)} tabIndex={-1} isShort />
        </span>
        <UsageCells own={own} unique={unique} max={max} />
      </>
    ),
  }
}

function open(name: string, tagged: Tagged | undefined): void {
  if (tagged !== undefined) navigate(imageLink(name, tagged.tags[0] ?? tagged.digest))
}
