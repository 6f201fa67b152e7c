import { useId, useState } from 'preact/hooks'
import { api } from '../api.ts'
import { Icon } from '../parts/icon.tsx'
import {
  compareLink,
  fullReference,
  type ImageName,
  imageLink,
  navigate,
  parseImageName,
} from '../route.ts'
import { useAnswer } from '../use-answer.ts'

type ChooserProps = {
  readonly before: ImageName
  readonly after: ImageName | undefined
  readonly options: {
    readonly platform?: string | undefined
    readonly section?: string | undefined
  }
}

/** Which images are compared: their names can be edited, with the newest tags as suggestions. */
export function Chooser({ before, after, options }: ChooserProps) {
  const show = (left: ImageName, right: ImageName | undefined) =>
    navigate(compareLink(left, right, options))
  return (
    <div class="chooser">
      <Field
        label="Before"
        image={before}
        name={before.name}
        onChoose={(image) => show(image, after)}
      />
      <button
        type="button"
        class="quiet"
        aria-label="Swap both images"
        title="Swap both images"
        disabled={after === undefined}
        onClick={() => after !== undefined && show(after, before)}
      >
        <Icon name="compare" />
      </button>
      <Field
        label="After"
        image={after}
        name={after?.name ?? before.name}
        onChoose={(image) => show(before, image)}
      />
    </div>
  )
}

type FieldProps = {
  readonly label: string
  readonly image: ImageName | undefined
  /** The repository whose tags are suggested. */
  readonly name: string
  readonly onChoose: (image: ImageName) => void
}

/** Tags that are suggested. */
const suggested = 200

function Field({ label, image, name, onChoose }: FieldProps) {
  const list = useId()
  const [isFocused, setFocused] = useState(false)
  const order = { sort: 'date', order: 'desc', filter: '', offset: 0, n: suggested } as const
  const tags = useAnswer(isFocused ? name : undefined, (signal) => api.tags(name, order, signal))
  const choose = (text: string) => {
    const chosen = parseImageName(text.trim(), name)
    if (chosen !== undefined) onChoose(chosen)
  }
  return (
    <div class="chooser-field">
      <label>
        <span>{label}</span>
        <input
          type="text"
          list={list}
          value={image === undefined ? '' : fullReference(image.name, image.reference)}
          placeholder={`${name}:TAG`}
          autocomplete="off"
          spellcheck={false}
          onFocus={() => setFocused(true)}
          onChange={({ currentTarget }) => choose(currentTarget.value)}
        />
      </label>
      <datalist id={list}>
        {tags.value?.tags.map(({ tag }) => (
          <option key={tag} value={fullReference(name, tag)} />
        ))}
      </datalist>
      {image !== undefined && <a href={imageLink(image.name, image.reference)}>Show the image</a>}
    </div>
  )
}
