import type { Manifest } from '../../../api/answers.ts'

/** Two images of one platform; a side that lacks the platform is undefined. */
export type Choice = {
  readonly platform: string
  readonly before: string | undefined
  readonly after: string | undefined
}

/** What can be compared: platform by platform, if one of both is an index. */
export function choicesOf(before: Manifest, after: Manifest): readonly Choice[] {
  const [left, right] = [imagesOf(before), imagesOf(after)]
  if (left === undefined && right === undefined)
    return [{ platform: '', before: before.digest, after: after.digest }]
  const platforms = new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])])
  return [...platforms].map((platform) => ({
    platform,
    before: left === undefined ? before.digest : left.get(platform),
    after: right === undefined ? after.digest : right.get(platform),
  }))
}

/** The wanted one, or that of the image that has only one platform, or one that both have. */
export function chooseOne(
  choices: readonly Choice[],
  wanted: string | undefined,
  manifests: readonly Manifest[],
): Choice | undefined {
  const single = manifests.find(({ children }) => children.length === 0)?.config?.platform
  const both = choices.filter(({ before, after }) => before !== undefined && after !== undefined)
  const named = (platform: string | undefined) =>
    both.find((choice) => choice.platform === platform)
  return (
    choices.find(({ platform }) => platform === wanted) ??
    named(single) ??
    named('linux/amd64') ??
    both[0] ??
    choices[0]
  )
}

/** Digests by platform; undefined: it is no index. Attestations are not compared. */
function imagesOf({ children }: Manifest): ReadonlyMap<string, string> | undefined {
  if (children.length === 0) return undefined
  const images = new Map<string, string>()
  for (const { platform, digest, attests } of children) {
    const label = platform ?? digest.slice(0, 19)
    if (attests === undefined && !images.has(label)) images.set(label, digest)
  }
  return images
}
