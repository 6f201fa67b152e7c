import type { Readable } from 'node:stream'

/** Ends a body that nobody reads. An error without a listener would end the process. */
export function discardBody(body: Readable): void {
  body.on('error', () => {})
  body.destroy()
}
