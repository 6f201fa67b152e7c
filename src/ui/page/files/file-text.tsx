import { useState } from 'preact/hooks'
import { api } from '../api.ts'
import { Copy } from '../parts/copy.tsx'
import { formatBytes } from '../parts/format.ts'
import { Loading, PartError } from '../parts/message.tsx'
import { useAnswer } from '../use-answer.ts'
import { maxShown, readBeginning } from './file-content.ts'
import { formattedJson } from './json.ts'
import type { Place } from './use-files.ts'
import { visibleText } from './visible-text.ts'

/** The text of a file, or its beginning. It is only ever text of the page, whatever it contains. */
export function FileText({ place }: { readonly place: Place }) {
  const content = useAnswer(JSON.stringify(place), async (signal) => {
    const beginning = await readBeginning(await api.file(place, signal))
    const isWhole = beginning.kind === 'text' && !beginning.isCut
    return { ...beginning, json: isWhole ? formattedJson(beginning.text) : undefined }
  })
  const [isFormatted, setFormatted] = useState(true)
  const { value, error } = content
  if (error !== undefined)
    return <PartError what="The content cannot be shown" error={error} onRetry={content.reload} />
  if (value === undefined) return <Loading label="Reading the file" />
  if (value.kind === 'binary')
    return <p class="empty">This is no text in UTF-8, so it is not shown. Download it to see it.</p>
  const text = (isFormatted ? value.json : undefined) ?? value.text
  return (
    <section class="file-text" aria-label="Content">
      <div class="file-text-head">
        <p>
          {value.text === '' && 'The file is empty.'}
          {value.isCut && `The first ${formatBytes(maxShown)}. Download the file to see all of it.`}
        </p>
        {value.json !== undefined && (
          <label>
            <input
              type="checkbox"
              checked={isFormatted}
              onChange={() => setFormatted(!isFormatted)}
            />
            Format JSON
          </label>
        )}
        {!value.isCut && <Copy text={value.text} what="the text" />}
      </div>
      <pre>{visibleText(text)}</pre>
    </section>
  )
}
