import { Icon } from './icon.tsx'

type SearchFieldProps = {
  readonly label: string
  /** Default: the label. */
  readonly placeholder?: string
  readonly value: string
  readonly onValue: (value: string) => void
}

export function SearchField({ label, placeholder = label, value, onValue }: SearchFieldProps) {
  return (
    <label class="field">
      <Icon name="search" />
      <span class="hidden">{label}</span>
      <input
        type="search"
        placeholder={placeholder}
        value={value}
        autocomplete="off"
        spellcheck={false}
        onInput={({ currentTarget }) => onValue(currentTarget.value)}
      />
    </label>
  )
}
