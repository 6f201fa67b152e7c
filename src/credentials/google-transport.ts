import type { gaxios } from 'google-auth-library'

/** How the library speaks HTTP: through the proxies that the environment names. */
export type Transport = gaxios.Gaxios

/** In milliseconds. Ends before whoever waits gives up, and so can say what did not answer. */
export const usualDeadline = 9000

/** In bytes. */
const longestAnswer = 256 * 1024

/**
 * What all requests of one exchange go through. The library waits for ever otherwise, and goes on
 * when nobody waits any more; and it follows redirects, with the subject token, to whomever they
 * name. A failure of Google's is tried twice more, within a second.
 */
export async function withTransport<Result>(
  deadline: number,
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const { gaxios } = await import('google-auth-library')
  const end = new AbortController()
  // A reason other than a time-out, which the library would try again.
  const timer = setTimeout(
    () => end.abort(new Error(`no answer within ${deadline / 1000} seconds`)),
    deadline,
  )
  const retryConfig = { retry: 2, noResponseRetries: 1 }
  const transport = new gaxios.Gaxios({
    signal: end.signal,
    retryConfig,
    redirect: 'manual',
    size: longestAnswer,
  })
  transport.interceptors.response.add({ rejected: (error) => askWithSlash(error, transport) })
  try {
    return await work(transport)
  } finally {
    clearTimeout(timer)
    end.abort(new Error('nobody waits for it any more'))
  }
}

/**
 * Some of AWS's metadata services lead from a directory's name to the same with a slash behind it,
 * which the library leaves out. That alone is followed, and nothing with a body.
 */
async function askWithSlash(error: gaxios.GaxiosError, transport: Transport): Promise<unknown> {
  const location = error.response?.headers.get('location')
  if (!location) throw error
  const { url, method, headers, responseType } = error.config
  const target = URL.parse(location)?.href
  if (method !== 'GET' || url.href.endsWith('/') || target !== `${url.href}/`) throw error
  return transport.request({ url: target, headers, ...(responseType && { responseType }) })
}
