/** Nodes cannot pull an image that was copied to them. */
export function pullPolicyFor(image: string): 'Never' | 'IfNotPresent' {
  return image.startsWith('localhost/') ? 'Never' : 'IfNotPresent'
}
