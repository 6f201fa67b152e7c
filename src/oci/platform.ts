/** Whether an image for `platform` is meant by `wanted`: without a variant, any variant is. */
export function isForPlatform(platform: string | undefined, wanted: string): boolean {
  return platform === wanted || platform?.startsWith(`${wanted}/`) === true
}
