import { useState } from 'preact/hooks'
import type { TagHistory } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Crumbs } from '../catalogue/crumbs.tsx'
import { Digest } from '../parts/digest.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { ErrorMessage, Loading, Notice } from '../parts/message.tsx'
import { None, Time } from '../parts/time.tsx'
import { useTitle } from '../parts/title.ts'
import { compareLink, fullReference, imageLink } from '../route.ts'
import { useAnswer } from '../use-answer.ts'
import { Content } from './content.tsx'
import { RestoreDialog } from './restore-dialog.tsx'

type Version = TagHistory['versions'][number]

type TagHistoryProps = { readonly name: string; readonly tag: string }

/** What a tag pointed to, newest first, with the way back. */
export function TagHistoryView({ name, tag }: TagHistoryProps) {
  useTitle(`History of ${fullReference(name, tag)}`)
  const history = useAnswer(`${name} ${tag}`, (signal) => api.tagHistory(name, tag, signal))
  const [restoring, setRestoring] = useState<Version>()
  const { value, error } = history
  const end = name.lastIndexOf('/') + 1
  const current = value?.versions.find((version) => version.current)
  return (
    <>
      <div class="view-head">
        <Crumbs prefix={name.slice(0, end)} name={name.slice(end)} reference={tag} />
        <p class="summary">History of the tag</p>
      </div>
      {error !== undefined && <ErrorMessage error={error} onRetry={history.reload} />}
      {history.isLoading && <Loading label="Loading the history" />}
      {value !== undefined && (
        <>
          {current === undefined && <Notice>The tag was deleted.</Notice>}
          {value.truncated && <Notice>There are more versions than are shown.</Notice>}
          <div class="scroll">
            <table class="uses versions">
              <thead>
                <tr>
                  <th scope="col">Set</th>
                  <th scope="col">Image</th>
                  <th scope="col">Pushed by</th>
                  <th scope="col">Can be restored</th>
                  <th scope="col">
                    <span class="hidden">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {value.versions.map((version, at) => (
                  <Row
                    key={version.digest}
                    {...{ name, tag, version }}
                    previous={value.versions[at + 1]}
                    onRestore={
                      value.may.push && !version.current && version.content !== 'deleted'
                        ? () => setRestoring(version)
                        : undefined
                    }
                  />
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      <Equivalent command={`berth tag history ${fullReference(name, tag)}`} />
      {restoring !== undefined && (
        <RestoreDialog
          {...{ name, tag }}
          digest={restoring.digest}
          current={current?.digest}
          onClose={(isChanged) => {
            setRestoring(undefined)
            if (isChanged) history.reload()
          }}
        />
      )}
    </>
  )
}

type RowProps = TagHistoryProps & {
  readonly version: Version
  /** The version before it. */
  readonly previous: Version | undefined
  /** Undefined: the user may not, or there is nothing to restore. */
  readonly onRestore: (() => void) | undefined
}

function Row({ name, version, previous, onRestore }: RowProps) {
  const { digest, at, current, pushedBy, content, until } = version
  const canCompare = previous !== undefined && content === 'stored' && previous.content === 'stored'
  return (
    <tr>
      <td>
        <Time at={at} />
      </td>
      <td>
        <Digest digest={digest} {...(content === 'stored' && { href: imageLink(name, digest) })} />
        {current && <span class="badge strong">now</span>}
      </td>
      <td>{pushedBy ?? <None />}</td>
      <td>{current ? '' : <Content content={content} until={until} />}</td>
      <td class="row-actions">
        {canCompare && (
          <a
            class="button"
            href={compareLink({ name, reference: previous.digest }, { name, reference: digest })}
          >
            Compare with the one before
          </a>
        )}
        {onRestore !== undefined && (
          <button type="button" onClick={onRestore}>
            Restore…
          </button>
        )}
      </td>
    </tr>
  )
}
