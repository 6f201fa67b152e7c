import { useState } from 'preact/hooks'
import type { Why } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Equivalent } from '../parts/equivalent.tsx'
import { Icon } from '../parts/icon.tsx'
import { ErrorMessage, Loading } from '../parts/message.tsx'
import { SearchField } from '../parts/search-field.tsx'
import { useTitle } from '../parts/title.ts'
import { imageLink, navigate, whyLink } from '../route.ts'
import { useAnswer } from '../use-answer.ts'
import { Steps } from './steps.tsx'

/** How the next pull of a name is served; also of a name that nobody has pulled yet. */
export function WhyView({ image }: { readonly image: string }) {
  useTitle(image === '' ? 'Why' : `Why ${image}`)
  const { value, error, isLoading, reload } = useAnswer(
    image === '' ? undefined : image,
    (signal) => api.why(image, signal),
  )
  return (
    <>
      <div class="view-head">
        <h1>How an image is served</h1>
      </div>
      <AskForm key={image} image={image} />
      {image !== '' && isLoading && <Loading label="Asking the registry and its upstream" />}
      {error !== undefined && <ErrorMessage error={error} onRetry={reload} />}
      {value !== undefined && <Answer why={value} />}
      {image !== '' && <Equivalent command={`kubectl berth why ${image}`} />}
    </>
  )
}

function AskForm({ image }: { readonly image: string }) {
  const [text, setText] = useState(image)
  return (
    <form
      class="why-form"
      onSubmit={(event) => {
        event.preventDefault()
        navigate(whyLink(text.trim()))
      }}
    >
      <SearchField
        label="Image"
        placeholder="docker.io/library/busybox:1.36"
        value={text}
        onValue={setText}
      />
      <button type="submit" class="primary" disabled={text.trim() === ''}>
        Explain
      </button>
    </form>
  )
}

const verdicts = {
  hosted: 'good',
  cache: 'good',
  upstream: 'good',
  stale: 'warning',
  nothing: 'bad',
} as const satisfies Record<Why['servedBy'], string>

function Answer({ why }: { readonly why: Why }) {
  const { name, tag, digest, servedBy, conclusion, steps, nodes } = why
  const verdict = verdicts[servedBy]
  const reference = tag ?? digest
  return (
    <>
      <p class={`why-verdict ${verdict}`} role="status">
        <Icon name={verdict === 'good' ? 'check' : 'alert'} />
        <span>{sentence(conclusion)}</span>
      </p>
      <Steps steps={steps} nodes={nodes} />
      {name !== undefined && reference !== undefined && servedBy !== 'nothing' && (
        <p class="why-link">
          <a href={imageLink(name, reference)}>Show the image</a>
        </p>
      )}
    </>
  )
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`
}
