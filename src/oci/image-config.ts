const configTypes = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

/** Whether a config's media type is that of an image; other artifacts have other configs. */
export function isImageConfig(mediaType: string): boolean {
  return configTypes.includes(mediaType)
}
