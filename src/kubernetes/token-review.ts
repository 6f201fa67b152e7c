import { z } from 'zod'
import type { ApiClient } from './api-client.ts'

const path = '/apis/authentication.k8s.io/v1/tokenreviews'
const maxAnswer = 256 * 1024

/** TokenReviewStatus. Its `error` may quote the token, so it is not read. */
const review = z.object({
  status: z.object({
    authenticated: z.boolean().default(false),
    user: z.object({ username: z.string().default('') }).default({ username: '' }),
    audiences: z.array(z.string()).default([]),
  }),
})

/**
 * Asks the API server whether a token is valid for one of the audiences. It also checks that the token's
 * pod, Secret or node, and its service account, still exist.
 * @throws Error if it denies the request, or does not answer.
 */
export async function reviewToken(
  client: ApiClient,
  token: string,
  audiences: readonly string[],
): Promise<{ authenticated: boolean; username: string; audiences: readonly string[] }> {
  const object = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences },
  }
  const { status, text } = await client.post(path, object, { maxBytes: maxAnswer })
  if (status !== 200 && status !== 201) {
    const advice =
      status === 401 || status === 403
        ? "; Berth's service account needs permission to create tokenreviews"
        : ''
    throw new Error(`the API server answered ${status} to a TokenReview${advice}`)
  }
  const { authenticated, user, audiences: valid } = review.parse(JSON.parse(text)).status
  return { authenticated, username: user.username, audiences: valid }
}
