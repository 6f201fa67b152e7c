type ChoiceProps = {
  readonly platforms: readonly string[]
  readonly chosen: ReadonlySet<string>
  readonly onChoose: (chosen: ReadonlySet<string>) => void
}

/** Which platforms of an index are wanted. */
export function PlatformChoice({ platforms, chosen, onChoose }: ChoiceProps) {
  const toggle = (platform: string) => {
    const after = new Set(chosen)
    if (!after.delete(platform)) after.add(platform)
    onChoose(after)
  }
  return (
    <fieldset class="choices">
      <legend>Platforms</legend>
      {platforms.map((platform) => (
        <label key={platform}>
          <input type="checkbox" checked={chosen.has(platform)} onChange={() => toggle(platform)} />
          {platform}
        </label>
      ))}
    </fieldset>
  )
}
